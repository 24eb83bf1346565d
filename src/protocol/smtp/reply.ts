/**
 * An SMTP reply (RFC 5321 section 4.2) as data. `lines` are without code, status, separator and end of line; there is
 * at least one, possibly empty. `status` is the enhanced status code (RFC 3463) as text, `5.7.1`.
 */
export interface Reply {
  readonly code: number;
  readonly status?: string | undefined;
  readonly lines: readonly string[];
}

export function reply(code: number, status: string | undefined, ...lines: readonly string[]): Reply {
  return { code, status, lines: lines.length === 0 ? [""] : lines };
}

/** One line for logs and DSNs: `550 5.1.1 No such user`; several lines are joined by a space. */
export function replyText(of: Reply): string {
  const text = of.lines.join(" ").trim();
  return `${of.code}${of.status === undefined ? "" : ` ${of.status}`}${text === "" ? "" : ` ${text}`}`;
}
