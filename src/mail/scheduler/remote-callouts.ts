import { messageOf } from "../../foundation/error.ts";
import type { Callouts } from "./callouts.ts";

/** Callouts of another process, which may be away. */
export function remoteCallouts(port: Callouts): Callouts {
  return {
    async callOut(ask) {
      try {
        return await port.callOut(ask);
      } catch (thrown) {
        return { kind: "unknown", text: messageOf(thrown) };
      }
    },
  };
}
