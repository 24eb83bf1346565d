import type { Reply } from "../../protocol/smtp/reply.ts";

/** A filter's answer about one recipient, as the one reply for all of them: whoever reads it has to know whom it is about. */
export function aboutRecipient(recipient: string, reply: Reply): Reply {
  return { ...reply, lines: reply.lines.map((line) => (line.includes(recipient) ? line : `<${recipient}>: ${line}`)) };
}
