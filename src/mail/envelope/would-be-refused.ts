import { replyText, type Reply } from "../../protocol/smtp/reply.ts";
import type { RestrictionNote } from "./policy.ts";

/** What the log calls the rights of senders where they only warn. */
export const SENDER_RIGHTS = "sender-rights";

/** What a restriction that only warns has to say, with the cause where the reply does not have it. */
export function wouldBeRefused(restriction: string, no: Reply, because = ""): RestrictionNote {
  const text = replyText(no);
  const isTold = because === "" || text.includes(because);
  return { restriction, text: isTold ? text : `${text} (${because})`, isWarning: true };
}
