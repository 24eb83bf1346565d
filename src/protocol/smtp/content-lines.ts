import { noFacts, noteLine, noteSlice, type ContentFacts } from "./content-facts.ts";

/**
 * Message content on its way in (BDAT) or out (DATA): finds the facts, turns every CR or LF that stands alone into CRLF
 * where asked, and doubles the dots at line starts where asked. Gives views into the chunks, not copies.
 */
export interface ContentLinesOptions {
  readonly bareEndings: "keep" | "normalise";
  readonly doubleDots: boolean;
}

const LF = 10;
const DOT = 46;
const CRLF = Buffer.from("\r\n");
const ONE_CR = Buffer.from("\r");
const ONE_DOT = Buffer.from(".");

export class ContentLines {
  readonly facts: ContentFacts = noFacts();
  readonly #options: ContentLinesOptions;
  #at: "line-start" | "middle" | "cr" = "line-start";
  #lineBytes = 0;
  #content: Buffer[] = [];

  constructor(options: ContentLinesOptions) {
    this.#options = options;
  }

  /** What was given so far is whole lines, or nothing. */
  get isAtLineStart(): boolean {
    return this.#at === "line-start";
  }

  push(chunk: Buffer): readonly Buffer[] {
    this.#scan(chunk);
    return this.#take();
  }

  /** No more content: what was withheld. */
  end(): readonly Buffer[] {
    if (this.#at === "cr") this.#bareCrBefore();
    return this.#take();
  }

  #take(): readonly Buffer[] {
    const content = this.#content;
    this.#content = [];
    return content;
  }

  #scan(chunk: Buffer): void {
    let at = 0;
    let from = 0;
    // As in data-receiver.ts: searching a string is cheaper than searching a buffer; a character is a byte.
    const text = chunk.toString("latin1");
    let lf = -2;
    let cr = -2;
    while (at < chunk.length) {
      if (this.#at === "cr") {
        if (chunk[at] === LF) {
          at++;
          from = at;
          this.#endLine();
          this.#emit(CRLF);
        } else this.#bareCrBefore();
      }
      if (this.#at === "line-start") {
        if (at === chunk.length) break;
        if (chunk[at] === DOT && this.#options.doubleDots) {
          // The dot itself follows with the line; here comes the one that the receiver takes away.
          if (at > from) this.#emit(chunk.subarray(from, at));
          from = at;
          this.#content.push(ONE_DOT);
        }
        this.#at = "middle";
      }
      if (lf !== -1 && lf < at) lf = text.indexOf("\n", at);
      if (cr !== -1 && cr < at) cr = text.indexOf("\r", at);
      if (cr >= 0 && (lf < 0 || cr < lf)) {
        this.#lineBytes += cr - at;
        at = cr + 1;
        if (at === chunk.length) {
          if (cr > from) this.#emit(chunk.subarray(from, cr));
          from = at;
          this.#at = "cr";
        } else if (chunk[at] === LF) {
          at++;
          this.#endLine();
        } else from = this.#bare(chunk, from, cr);
      } else if (lf >= 0) {
        this.#lineBytes += lf - at;
        at = lf + 1;
        from = this.#bare(chunk, from, lf);
      } else {
        this.#lineBytes += chunk.length - at;
        at = chunk.length;
      }
    }
    if (at > from) this.#emit(chunk.subarray(from, at));
    noteLine(this.facts, this.#lineBytes);
  }

  #bare(chunk: Buffer, from: number, at: number): number {
    this.facts.bareEndings++;
    this.#endLine();
    if (this.#options.bareEndings === "keep") return from;
    if (at > from) this.#emit(chunk.subarray(from, at));
    this.#emit(CRLF);
    return at + 1;
  }

  #bareCrBefore(): void {
    this.facts.bareEndings++;
    this.#endLine();
    this.#emit(this.#options.bareEndings === "keep" ? ONE_CR : CRLF);
  }

  #endLine(): void {
    noteLine(this.facts, this.#lineBytes);
    this.#lineBytes = 0;
    this.#at = "line-start";
  }

  #emit(slice: Buffer): void {
    noteSlice(this.facts, slice);
    this.#content.push(slice);
  }
}
