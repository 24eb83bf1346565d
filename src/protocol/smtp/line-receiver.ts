/**
 * The server's ear for commands: bytes in, lines out. Lines are asked for one at a time (`next`), because a command may
 * change what the bytes behind it are: data, a TLS handshake.
 *
 * A line ends in CRLF. A CR or LF alone comes as an event of its own, so that the session refuses or normalises it
 * knowingly (RFC 5321 section 2.3.8). An over-long line is swallowed up to its LF and costs no more memory than the limit.
 */
export type LineEvent =
  /** Without its CRLF. A view into what was pushed: use it before the next push. */
  | { readonly kind: "line"; readonly bytes: Buffer }
  /** What stood before a CR without LF, or an LF without CR. */
  | { readonly kind: "bare"; readonly character: "CR" | "LF"; readonly bytes: Buffer }
  /** A line longer than the limit has ended. */
  | { readonly kind: "too-long"; readonly lengthBytes: number };

const LF = 10;
const CR = 13;
const EMPTY = Buffer.alloc(0);
const UNKNOWN = -2;

export class LineReceiver {
  /** What a line may hold, CRLF not counted. May change between lines (AUTH exchanges are longer). */
  maxLineBytes: number;
  #bytes: Buffer = EMPTY;
  #at = 0;
  /** The length so far of an over-long line whose end has not come. */
  #swallowedBytes = 0;
  #lastSwallowed = 0;
  /** Where the next CR and LF stand, once looked for; -1 for nowhere. Kept, so that each byte is looked at once for each. */
  #lf = UNKNOWN;
  #cr = UNKNOWN;

  constructor(maxLineBytes: number) {
    this.maxLineBytes = maxLineBytes;
  }

  /** Bytes held: at most a line's limit when `next` has been asked until it had nothing more. */
  get heldBytes(): number {
    return this.#bytes.length - this.#at;
  }

  /** Nothing of a line has arrived; a swallowed line counts as begun. */
  get isIdle(): boolean {
    return this.heldBytes === 0 && this.#swallowedBytes === 0;
  }

  push(chunk: Buffer): void {
    if (this.#at === this.#bytes.length) this.#bytes = chunk;
    else this.#bytes = Buffer.concat([this.#bytes.subarray(this.#at), chunk]);
    this.#at = 0;
    this.#lf = UNKNOWN;
    this.#cr = UNKNOWN;
  }

  next(): LineEvent | undefined {
    if (this.#swallowedBytes > 0) return this.#swallow();
    const bytes = this.#bytes;
    const from = this.#at;
    if (this.#lf !== -1 && this.#lf < from) this.#lf = bytes.indexOf(LF, from);
    if (this.#cr !== -1 && this.#cr < from) this.#cr = bytes.indexOf(CR, from);
    const lf = this.#lf;
    const cr = this.#cr;
    const end = lf < 0 ? cr : cr < 0 || lf < cr ? lf : cr;
    const lengthBytes = (end < 0 ? bytes.length : end) - from;
    if (lengthBytes > this.maxLineBytes) return this.#swallow();
    if (end < 0) return undefined;
    if (end === lf) return this.#bare("LF", end);
    // A CR at the very end may yet become a CRLF.
    if (end + 1 === bytes.length) return undefined;
    if (bytes[end + 1] !== LF) return this.#bare("CR", end);
    this.#at = end + 2;
    return { kind: "line", bytes: bytes.subarray(from, end) };
  }

  /** The bytes behind the last line, which are not commands; they are no longer held here. */
  takeRest(): Buffer {
    const rest = this.#bytes.subarray(this.#at);
    this.#forget();
    return rest;
  }

  #forget(): void {
    this.#bytes = EMPTY;
    this.#at = 0;
    this.#lf = UNKNOWN;
    this.#cr = UNKNOWN;
  }

  #bare(character: "CR" | "LF", end: number): LineEvent {
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end + 1;
    return { kind: "bare", character, bytes };
  }

  #swallow(): LineEvent | undefined {
    const lf = this.#bytes.indexOf(LF, this.#at);
    const end = lf < 0 ? this.#bytes.length : lf;
    if (end > this.#at) this.#lastSwallowed = this.#bytes[end - 1] ?? 0;
    this.#swallowedBytes += end - this.#at;
    if (lf < 0) {
      this.#forget();
      return undefined;
    }
    this.#at = lf + 1;
    const lengthBytes = this.#swallowedBytes - (this.#lastSwallowed === CR ? 1 : 0);
    this.#swallowedBytes = 0;
    return { kind: "too-long", lengthBytes };
  }
}
