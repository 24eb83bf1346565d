/**
 * Reads the vectors of TLS's messages (RFC 8446 section 3.4). Past the end everything is empty and `isShort` is set:
 * callers read on without care and ask once.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;
  #isShort = false;

  constructor(bytes: Uint8Array, from = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#at = from;
    this.#end = Math.min(end, bytes.length);
  }

  get left(): number {
    return this.#end - this.#at;
  }

  get isShort(): boolean {
    return this.#isShort;
  }

  /** A number of `size` bytes, at most 3; 0 past the end. */
  number(size: number): number {
    if (!this.#has(size)) return 0;
    let value = 0;
    for (let n = 0; n < size; n += 1) value = (value << 8) | (this.#bytes[this.#at + n] ?? 0);
    this.#at += size;
    return value;
  }

  skip(size: number): void {
    if (this.#has(size)) this.#at += size;
  }

  /** The next bytes as they are, not copied; fewer past the end. */
  bytes(size: number): Uint8Array {
    const from = this.#at;
    this.skip(size);
    return this.#bytes.subarray(from, this.#at);
  }

  /** A vector with a length of `lengthSize` bytes in front; cut short when its bytes are missing. */
  vector(lengthSize: number): ByteReader {
    const length = this.number(lengthSize);
    const taken = this.#has(length) ? length : this.left;
    const inner = new ByteReader(this.#bytes, this.#at, this.#at + taken);
    this.#at += taken;
    return inner;
  }

  /** All that is left, one character a byte; bounded. */
  text(limit: number): string {
    const end = Math.min(this.#end, this.#at + limit);
    let text = "";
    for (let at = this.#at; at < end; at += 1) text += String.fromCharCode(this.#bytes[at] ?? 0);
    this.#at = this.#end;
    return text;
  }

  #has(size: number): boolean {
    if (size <= this.left) return true;
    this.#isShort = true;
    this.#at = size > 3 ? this.#at : this.#end;
    return false;
  }
}
