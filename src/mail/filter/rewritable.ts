import { addressOfPath, parsePath } from "../../protocol/address/path.ts";
import { filterFailed } from "./failed.ts";
import type { FilterStage } from "./filter.ts";

/** What a filter puts in the place of a command's argument, as it is kept; throws `FILTER_FAILED` for what could not stand there. */
export function rewritable(stage: FilterStage, to: string): string {
  switch (stage) {
    case "helo":
      if (/^[\x21-\x7e\x80-\u{10ffff}]{1,255}$/u.test(to)) return to;
      break;
    case "mail":
    case "rcpt": {
      const path = parsePath(`<${to}>`, { isInternational: true });
      if (path.ok && (path.value.kind === "mailbox" || path.value.kind === ALSO[stage]))
        return addressOfPath(path.value);
      break;
    }
    case "connect":
    case "auth":
    case "data":
    case "message":
      // There is nothing to rewrite, and what it says is passed over.
      return to;
  }
  throw filterFailed(
    `the filter puts ${JSON.stringify(to.slice(0, 100))} in the place of what came with ${stage.toUpperCase()}`,
    "see what it does: that could not stand there",
  );
}

const ALSO = { mail: "null", rcpt: "postmaster" } as const;
