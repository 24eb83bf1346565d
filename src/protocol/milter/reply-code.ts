import { ok, refused, type Result } from "../../foundation/result.ts";

/** As SMTP's replies are: what SMTP calls one is of another language. */
export interface MilterReply {
  readonly code: number;
  /** The enhanced status code. */
  readonly status: string | undefined;
  /** Without code, status and end of line; at least one. */
  readonly lines: readonly string[];
}

const LINE = /^([45][0-9]{2})([ -]|$)(.*)$/;
const STATUS = /^([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$)/;
const MOST_LINES = 32;
const MOST_CHARACTERS = 480;

/**
 * The SMTP reply that a milter wants the client to get: `550 5.7.1 No`, or several lines as SMTP writes them. A per cent sign
 * is doubled, since Sendmail took the text for a format; single ones fall away, as Postfix does it. Refused is what is no
 * refusal, or whose lines don't agree.
 */
export function parseReplyCode(text: string): Result<MilterReply, string> {
  // An expression for the line ends at the end would begin anew at each of those that stand in the middle.
  let end = text.length;
  while (text.endsWith("\n", end) || text.endsWith("\r", end)) end--;
  const lines = text.slice(0, end).replace(/%(.?)/gs, "$1").split(/\r?\n/);
  if (lines.length > MOST_LINES) return refused(`a reply of ${lines.length} lines`);
  let code = "";
  let status: string | undefined;
  const texts: string[] = [];
  for (const [at, line] of lines.entries()) {
    const found = LINE.exec(line);
    if (found === null || (at > 0 && found[1] !== code)) return refused("a reply that is no 4xx or 5xx");
    code = found[1] ?? "";
    const rest = found[3] ?? "";
    const own = STATUS.exec(rest);
    // RFC 3463: the class says what the code says.
    if (own?.[1] !== undefined && !own[1].startsWith(code.charAt(0)))
      return refused("a reply whose enhanced status code is of another class");
    if (at === 0) status = own?.[1];
    texts.push(fit(own === null ? rest : rest.slice(own[0].length)));
  }
  return ok({ code: Number(code), status, lines: texts });
}

/** What a line of a reply may hold: no controls, and no more than a client must take (RFC 5321 section 4.5.3.1.5). */
function fit(text: string): string {
  return text
    .replace(/[\x00-\x1f\x7f-\x9f]+/g, " ")
    .slice(0, MOST_CHARACTERS)
    .toWellFormed()
    .trimEnd();
}
