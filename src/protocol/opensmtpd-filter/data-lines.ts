/**
 * Content as the lines of the protocol: without their ends, and as in DATA a dot doubled where a line begins with one, for a
 * single dot ends it all. A line feed ends a line, with a carriage return before it or not; a last line without an end is
 * a line.
 */
export class LineCutter {
  readonly #mostBytes: number;
  #parts: Buffer[] = [];
  #keptBytes = 0;
  #isTooLong = false;

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes;
  }

  /** Whether a line was longer than may be: what was given since is not the content. */
  get isTooLong(): boolean {
    return this.#isTooLong;
  }

  /** The lines that are complete. The chunk's memory may be used again. */
  push(chunk: Buffer): readonly string[] {
    const lines: string[] = [];
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(LF, from);
      if (end < 0) break;
      lines.push(this.#line(chunk.subarray(from, end)));
      from = end + 1;
    }
    if (from < chunk.length) this.#keep(Buffer.from(chunk.subarray(from)));
    return lines;
  }

  end(): readonly string[] {
    return this.#keptBytes === 0 ? [] : [this.#line(NOTHING)];
  }

  #line(last: Buffer): string {
    const isWhole = this.#parts.length === 0;
    this.#keep(last);
    const text = lineOf(isWhole ? last : Buffer.concat(this.#parts));
    this.#parts = [];
    this.#keptBytes = 0;
    return text;
  }

  #keep(part: Buffer): void {
    this.#keptBytes += part.length;
    if (this.#keptBytes > this.#mostBytes) {
      this.#isTooLong = true;
      this.#parts = [];
    } else this.#parts.push(part);
  }
}

export const END_OF_DATA = ".";

/** The line of content that a line of the protocol stands for, without its end. Not for the single dot. */
export function contentLine(line: string): string {
  return line.startsWith(".") ? line.slice(1) : line;
}

/** Lines as content: each ends in CRLF; a carriage return inside one is a line's end too, for only CRLF ends lines. */
export function contentBytes(lines: readonly string[]): Buffer {
  const text = `${lines.join("\r\n")}\r\n`;
  return Buffer.from(/\r(?!\n)/.test(text) ? text.replace(/\r+\n|\r/g, "\r\n") : text, "latin1");
}

const LF = 0x0a;
const CR = 0x0d;
const NOTHING = Buffer.alloc(0);

function lineOf(bytes: Buffer): string {
  const text = bytes.toString("latin1", 0, bytes.at(-1) === CR ? bytes.length - 1 : bytes.length);
  return text.startsWith(".") ? `.${text}` : text;
}
