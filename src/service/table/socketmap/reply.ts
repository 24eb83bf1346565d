import type { RowValue } from "../row-value.ts";

/** Postfix' and Sendmail's bound on a reply. */
export const MOST_REPLY_BYTES = 100_000;

/**
 * What a socketmap server said (socketmap_table(5), Sendmail's op guide): a word, a space, and data or a reason.
 *
 * | reply | means |
 * |---|---|
 * | `OK data` | found |
 * | `NOTFOUND ` | not there |
 * | `TEMP reason`, `TIMEOUT reason` | could not be found out now |
 * | `PERM reason` | will never be found out: the question or the server's settings are wrong |
 *
 * Whatever is neither found nor certainly not there is a failure, and that is never "no".
 */
export function parseReply(reply: string): RowValue {
  const space = reply.indexOf(" ");
  const word = space < 0 ? reply : reply.slice(0, space);
  const rest = space < 0 ? "" : reply.slice(space + 1);
  switch (word) {
    case "OK":
      return { kind: "found", value: rest };
    case "NOTFOUND":
      return { kind: "none" };
    case "TEMP":
    case "TIMEOUT":
    case "PERM":
      return { kind: "failed", text: rest === "" ? word : `${word} ${JSON.stringify(rest.slice(0, SHOWN))}` };
    default:
      return { kind: "failed", text: `${JSON.stringify(reply.slice(0, SHOWN))} is no reply of a socketmap` };
  }
}

const SHOWN = 200;
