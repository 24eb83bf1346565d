import { noFacts, noteLine, noteSlice, type ContentFacts } from "./content-facts.ts";

/**
 * The server's ear for DATA (RFC 5321 sections 4.1.1.4 and 4.5.2): takes the stream that follows 354 and gives the
 * content, transparency dots removed, and what is left behind the end.
 *
 * Only CRLF "." CRLF ends the data, where the first CRLF may be the DATA command's own. A CR or LF alone is a line end
 * to some servers and not to others, and a message that ends early for one of them smuggles commands into the other.
 * So such endings are counted (a session that rejects then refuses the message), and with `normalise` they become CRLF,
 * but they neither begin a line for the end mark nor for dot removal.
 */
export interface DataProgress {
  /** Views into the chunk; consecutive content. */
  readonly content: readonly Buffer[];
  /** Set when the data has ended: the bytes behind the end mark, possibly none. */
  readonly rest: Buffer | undefined;
}

export type BareEndings = "keep" | "normalise";

type At = "line-start" | "dot" | "dot-cr" | "middle" | "cr" | "ended";

const LF = 10;
const CR = 13;
const DOT = 46;
const CRLF = Buffer.from("\r\n");
const ONE_CR = Buffer.from("\r");

export class DataReceiver {
  readonly facts: ContentFacts = noFacts();
  readonly #bareEndings: BareEndings;
  #at: At = "line-start";
  /** The length so far of the line being received. */
  #lineBytes = 0;
  #content: Buffer[] = [];

  constructor(bareEndings: BareEndings) {
    this.#bareEndings = bareEndings;
  }

  get hasEnded(): boolean {
    return this.#at === "ended";
  }

  push(chunk: Buffer): DataProgress {
    const end = this.#scan(chunk);
    const content = this.#content;
    this.#content = [];
    return { content, rest: end === undefined ? undefined : chunk.subarray(end) };
  }

  /** The offset behind the end mark, when it came. `from` is the first byte that has not been emitted. */
  #scan(chunk: Buffer): number | undefined {
    let at = 0;
    let from = 0;
    // A search in a string is a third of the price of one in a buffer, which leaves the engine for each line. A character
    // is a byte here. Finds are kept over lines: each byte is looked at once for LF and once for CR.
    const text = chunk.toString("latin1");
    let lf = -2;
    let cr = -2;
    while (at < chunk.length) {
      switch (this.#at) {
        case "line-start":
          if (chunk[at] !== DOT) {
            this.#at = "middle";
            break;
          }
          this.#emit(chunk, from, at);
          at++;
          from = at;
          this.#at = "dot";
          break;
        case "dot":
          if (chunk[at] === CR) {
            at++;
            from = at;
            this.#at = "dot-cr";
          } else this.#at = "middle";
          break;
        case "dot-cr":
          if (chunk[at] === LF) {
            this.#at = "ended";
            return at + 1;
          }
          this.#bareCrBefore();
          break;
        case "cr":
          if (chunk[at] === LF) {
            at++;
            from = at;
            this.#endLine();
            this.#emitWhole(CRLF);
            this.#at = "line-start";
          } else this.#bareCrBefore();
          break;
        case "middle": {
          if (lf !== -1 && lf < at) lf = text.indexOf("\n", at);
          if (cr !== -1 && cr < at) cr = text.indexOf("\r", at);
          if (cr >= 0 && (lf < 0 || cr < lf)) {
            this.#lineBytes += cr - at;
            at = cr + 1;
            if (at === chunk.length) {
              this.#emit(chunk, from, cr);
              from = at;
              this.#at = "cr";
            } else if (chunk[at] === LF) {
              at++;
              this.#endLine();
              this.#at = "line-start";
            } else from = this.#bare(chunk, from, cr);
          } else if (lf >= 0) {
            this.#lineBytes += lf - at;
            at = lf + 1;
            from = this.#bare(chunk, from, lf);
          } else {
            this.#lineBytes += chunk.length - at;
            at = chunk.length;
          }
          break;
        }
        case "ended":
          return 0;
      }
    }
    this.#emit(chunk, from, at);
    noteLine(this.facts, this.#lineBytes);
    return undefined;
  }

  /** A CR or LF alone at `at`; returns where unemitted content goes on. */
  #bare(chunk: Buffer, from: number, at: number): number {
    this.facts.bareEndings++;
    this.#endLine();
    if (this.#bareEndings === "keep") return from;
    this.#emit(chunk, from, at);
    this.#emitWhole(CRLF);
    return at + 1;
  }

  /** A withheld CR turned out to stand alone. */
  #bareCrBefore(): void {
    this.facts.bareEndings++;
    this.#endLine();
    this.#emitWhole(this.#bareEndings === "keep" ? ONE_CR : CRLF);
    this.#at = "middle";
  }

  #endLine(): void {
    noteLine(this.facts, this.#lineBytes);
    this.#lineBytes = 0;
  }

  #emit(chunk: Buffer, from: number, to: number): void {
    if (to > from) this.#emitWhole(chunk.subarray(from, to));
  }

  #emitWhole(slice: Buffer): void {
    noteSlice(this.facts, slice);
    this.#content.push(slice);
  }
}
