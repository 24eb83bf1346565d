import { ContentLines } from "./content-lines.ts";

/**
 * The client's side of DATA (RFC 5321 section 4.5.2): content in, what goes over the wire out. Dots at line starts are
 * doubled, every CR or LF that stands alone becomes CRLF, and the end is CRLF "." CRLF, whatever the content ended in.
 *
 * NUL octets are left out: mail sent by DATA has none (RFC 5321 section 2.3.8 and RFC 2045 section 2.8), and a next host that
 * removes them later would see a line begin where we saw none.
 */
export class DotStuffer {
  readonly #lines = new ContentLines({ bareEndings: "normalise", doubleDots: true });

  push(chunk: Buffer): readonly Buffer[] {
    return this.#lines.push(withoutNul(chunk));
  }

  /** The rest of the content and the end mark. */
  end(): readonly Buffer[] {
    const rest = this.#lines.end();
    return [...rest, Buffer.from(this.#lines.isAtLineStart ? ".\r\n" : "\r\n.\r\n")];
  }
}

/** What leaves of mail that is not binary. */
export function withoutNul(chunk: Buffer): Buffer {
  return chunk.includes(0) ? (chunk.filter((byte) => byte !== 0) as Buffer) : chunk;
}
