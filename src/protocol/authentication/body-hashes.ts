import { createHash, type Hash } from "node:crypto";
import { relaxedLines, type Canonicalization } from "./canonical.ts";

/**
 * The hashes of a body that its signatures ask for, made in one reading: the same question is answered once, however many
 * signatures put it. Pieces may be cut anywhere.
 */
export class BodyHashes {
  readonly #hashes = new Map<string, BodyHash>();

  /** Before the first piece. `limitBytes` is the signature's `l=`. */
  want(how: Canonicalization, limitBytes?: number): BodyHash {
    const key = `${how} ${limitBytes ?? ""}`;
    let hash = this.#hashes.get(key);
    if (hash === undefined) {
      hash = new BodyHash(how, limitBytes);
      this.#hashes.set(key, hash);
    }
    return hash;
  }

  get isWanted(): boolean {
    return this.#hashes.size > 0;
  }

  update(piece: Buffer): void {
    for (const hash of this.#hashes.values()) hash.update(piece);
  }

  finish(): void {
    for (const hash of this.#hashes.values()) hash.finish();
  }
}

/** SHA-256 over a body in canonical form (RFC 6376 sections 3.4.3 and 3.4.4). */
export class BodyHash {
  readonly #how: Canonicalization;
  readonly #limit: number;
  readonly #hash: Hash = createHash("sha256");
  /** What can't be judged before the next piece: blanks and a CR at the end; for `relaxed` at most one blank. */
  #held = "";
  /** Empty lines, which count only when something follows. */
  #lineEnds = 0;
  #bytes = 0;
  #digest: string | undefined;

  constructor(how: Canonicalization, limitBytes: number | undefined) {
    this.#how = how;
    this.#limit = limitBytes ?? Number.POSITIVE_INFINITY;
  }

  update(piece: Buffer): void {
    if (piece.length === 0) return;
    if (this.#how === "simple" && this.#held === "" && piece.at(-1) !== CR) this.#take(piece);
    else this.#hold(this.#held + piece.toString("latin1"));
  }

  finish(): void {
    // A blank that ends the body ends its last line; a CR alone is content.
    const rest = this.#how === "relaxed" && this.#held === " " ? "" : this.#held;
    if (rest !== "") this.#take(Buffer.from(this.#how === "relaxed" ? relaxedLines(rest) : rest, "latin1"));
    // RFC 6376: a body without a CRLF at its end gets one; an empty one is CRLF in simple form, nothing in the other.
    if (this.#bytes > 0 || this.#how === "simple") this.#emit(CRLF);
    this.#digest = this.#hash.digest("base64");
  }

  /** Base64. Behind `finish`. */
  get digest(): string {
    return this.#digest ?? "";
  }

  /** Of the canonical body, whatever the limit: longer than `l=` says means that a part is not covered. */
  get totalBytes(): number {
    return this.#bytes;
  }

  #hold(text: string): void {
    let end = text.length;
    if (text[end - 1] === "\r") end--;
    const cr = text.slice(end);
    if (this.#how === "simple") {
      this.#held = cr;
      if (end > 0) this.#take(Buffer.from(text.slice(0, end), "latin1"));
      return;
    }
    const blanksTo = end;
    while (end > 0 && (text[end - 1] === " " || text[end - 1] === "\t")) end--;
    this.#held = (end < blanksTo ? " " : "") + cr;
    if (end > 0) this.#take(Buffer.from(relaxedLines(text.slice(0, end)), "latin1"));
  }

  /** Holds back the line ends behind the last that is something else. */
  #take(bytes: Buffer): void {
    let end = bytes.length;
    while (end >= 2 && bytes[end - 2] === CR && bytes[end - 1] === LF) end -= 2;
    if (end > 0) {
      for (; this.#lineEnds > 0; this.#lineEnds -= Math.min(this.#lineEnds, LINES_AT_ONCE))
        this.#emit(MANY_LINES.subarray(0, 2 * Math.min(this.#lineEnds, LINES_AT_ONCE)));
      this.#emit(end === bytes.length ? bytes : bytes.subarray(0, end));
    }
    this.#lineEnds += (bytes.length - end) / 2;
  }

  #emit(bytes: Buffer): void {
    const room = this.#limit - this.#bytes;
    if (room > 0) this.#hash.update(bytes.length > room ? bytes.subarray(0, room) : bytes);
    this.#bytes += bytes.length;
  }
}

const CR = 13;
const LF = 10;
const CRLF = Buffer.from("\r\n");
const LINES_AT_ONCE = 1024;
const MANY_LINES = Buffer.from("\r\n".repeat(LINES_AT_ONCE));
