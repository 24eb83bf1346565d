import { join } from "node:path";
import { startPostfix } from "../../test/peers/postfix.ts";
import { inPeer } from "../../test/peers/running.ts";
import type { Contender, Wanted } from "./contender.ts";

/**
 * Debian's postfix with its default durability, log to a file. Kept mail is deferred (`defer_transports`), or in the other
 * form held, where its scheduler never looks at it.
 */
export async function startDebiansPostfix(name: "Postfix" | "Postfix, held", wanted: Wanted): Promise<Contender> {
  const { task, hasTls } = wanted;
  const keeping = name === "Postfix" ? "defer_transports = smtp" : "smtpd_client_restrictions = static:HOLD";
  const peer = await startPostfix({
    ...(task.kind === "relay" ? { relayTo: task.to } : {}),
    ...(hasTls === true ? { hasTls } : {}),
    settings: [
      // Room for a thousand sessions, each of which is a process there.
      "default_process_limit = 1100",
      ...(task.kind === "keep" ? [keeping] : []),
      ...(task.kind === "local" ? ["virtual_mailbox_domains = bench.test"] : []),
    ],
  });
  return {
    name,
    ports: [Number(peer.at)],
    pid: peer.pid,
    mailbox: join(peer.folder, "mail", "box", "new"),
    list: {
      command: inPeer("postfix", ["postqueue", "-c", join(peer.folder, "etc"), "-p"]),
      row: /^[0-9A-Za-z]{6,}[*!#]? /,
    },
    [Symbol.asyncDispose]: () => peer[Symbol.asyncDispose](),
  };
}
