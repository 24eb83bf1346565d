/** RFC 8446 section 5.1: the header of a record, and the longest record. */
const HEADER_BYTES = 5;
const LONGEST_BYTES = HEADER_BYTES + 16_384;
const HANDSHAKE = 0x16;

/**
 * A ClientHello where plaintext is spoken first. It is waited for until its record is whole, so that the log can say what
 * it asked for; with the key shares of today it seldom fits into one packet.
 */
export class StrayHello {
  #bytes: Buffer;

  constructor(first: Buffer) {
    this.#bytes = first;
  }

  push(more: Buffer): void {
    if (!this.isWhole) this.#bytes = Buffer.concat([this.#bytes, more]);
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  /** The record has come, or there is too much for one. */
  get isWhole(): boolean {
    const { length } = this.#bytes;
    return length >= HEADER_BYTES && length >= Math.min(HEADER_BYTES + this.#bytes.readUInt16BE(3), LONGEST_BYTES);
  }
}

/** A TLS record of a handshake: type 22, major version 3. */
export function isTlsHello(bytes: Buffer): boolean {
  return bytes[0] === HANDSHAKE && (bytes.length < 2 || bytes[1] === 0x03);
}
