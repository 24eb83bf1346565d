/** What of a message's body is kept for reading; above it the message is only named. */
const BODY_LIMIT = 65_536;
const CLIENT_HELLO = 1;
/** The types whose bodies somebody reads: ClientHello, ServerHello, Certificate, ServerKeyExchange. */
const READ_TYPES = new Set([1, 2, 11, 12]);

/**
 * Puts the handshake messages of one direction together, over records and cuts (RFC 8446 section 5.1). Bounded: only the
 * bodies that are read are kept, and only until they are whole.
 */
export class HandshakeAssembly {
  #first: number | undefined;
  #headerSize = 0;
  #type = 0;
  #length = 0;
  #got = 0;
  #body: Uint8Array | undefined;

  /** Its first message is a ClientHello, or may still become one, and is not too long to be read. */
  get mayGiveHello(): boolean {
    if (this.#first === undefined) return true;
    return this.#first === CLIENT_HELLO && (this.#headerSize < 4 || this.#length <= BODY_LIMIT);
  }

  /** The message that has begun and is not whole. */
  get open(): { readonly type: number | undefined; readonly length: number; readonly got: number } | undefined {
    if (this.#headerSize === 0) return undefined;
    return this.#headerSize < 4
      ? { type: this.#headerSize > 0 ? this.#type : undefined, length: 0, got: this.#headerSize }
      : { type: this.#type, length: this.#length, got: this.#got };
  }

  /** `onMessage` gets each whole message; its body when that is one to read: to look at there and then, not to keep. */
  push(piece: Uint8Array, onMessage: (type: number, length: number, body: Uint8Array | undefined) => void): void {
    let at = 0;
    while (at < piece.length) {
      if (this.#headerSize < 4) {
        this.#takeHeader(piece[at] ?? 0);
        at += 1;
      } else {
        const size = Math.min(this.#length - this.#got, piece.length - at);
        const bytes = piece.subarray(at, at + size);
        // Most messages come whole: nothing is copied for them.
        if (size === this.#length && this.#isRead) this.#body = bytes;
        else this.#keep(bytes);
        this.#got += size;
        at += size;
      }
      if (this.#headerSize === 4 && this.#got === this.#length) {
        const body = this.#body?.subarray(0, this.#length);
        const { type, length } = { type: this.#type, length: this.#length };
        this.reset();
        onMessage(type, length, body);
      }
    }
  }

  reset(): void {
    this.#headerSize = 0;
    this.#type = 0;
    this.#length = 0;
    this.#got = 0;
    this.#body = undefined;
  }

  #takeHeader(byte: number): void {
    if (this.#headerSize === 0) {
      this.#type = byte;
      this.#first ??= byte;
    } else this.#length = (this.#length << 8) | byte;
    this.#headerSize += 1;
  }

  /** Grows with what has come, never with what a length only announces. */
  #keep(bytes: Uint8Array): void {
    if (!this.#isRead) return;
    const wanted = this.#got + bytes.length;
    if (this.#body === undefined || this.#body.length < wanted) {
      const larger = new Uint8Array(Math.min(this.#length, Math.max(wanted, (this.#body?.length ?? 0) * 2)));
      if (this.#body !== undefined) larger.set(this.#body.subarray(0, this.#got));
      this.#body = larger;
    }
    this.#body.set(bytes, this.#got);
  }

  get #isRead(): boolean {
    return READ_TYPES.has(this.#type) && this.#length <= BODY_LIMIT;
  }
}
