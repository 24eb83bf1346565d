/**
 * What somebody seems to speak who does not speak TLS, by the first bytes as `flight-recorder.ts` shows them: control
 * characters escaped.
 */
export function guessForeign(shown: string): "smtp" | "http" | "other" {
  if (/^(?:EHLO|HELO|LHLO|MAIL|RCPT|DATA|QUIT|RSET|NOOP|AUTH|STARTTLS|VRFY|XCLIENT|BDAT|HELP)\b/i.test(shown))
    return "smtp";
  if (/^[2-5][0-9]{2}(?:[ -]|\\x0d)/.test(shown)) return "smtp";
  if (/^(?:GET|POST|HEAD|PUT|OPTIONS|CONNECT|DELETE|PATCH|PRI|TRACE) \S/.test(shown) || shown.startsWith("HTTP/"))
    return "http";
  return "other";
}

/** Its first line for a sentence: without the escaped line end, and short. */
export function firstLine(shown: string): string {
  const line = shown.split(/\\x0d|\\x0a/, 1)[0] ?? "";
  return line.length > 60 ? `${line.slice(0, 60)}…` : line;
}
