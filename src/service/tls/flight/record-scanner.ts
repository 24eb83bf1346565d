/** What a scanner tells of one direction's bytes. Pieces of a record come as they come, never joined. */
export interface RecordSink {
  onPiece(type: number, piece: Uint8Array): void;
  onRecord(type: number, length: number): void;
  /** From here on these bytes are no TLS records, for this reason; told again for all that follows. */
  onForeign(bytes: Uint8Array, why: "not TLS" | "SSLv2" | "oversized record"): void;
}

const FIRST_TYPE = 20;
const LAST_TYPE = 24;
/** RFC 5246 section 6.2.3: the longest record that any version allows, with what encryption adds. */
const LONGEST = 16_384 + 2048;
const HEADER_LENGTH = 5;

/**
 * Finds the records (RFC 8446 section 5.1) in one direction of a TLS connection. Keeps nothing of their content. Bytes
 * that begin no record end the search: there is no way back into step.
 */
export class RecordScanner {
  #headerSize = 0;
  #type = 0;
  #version = 0;
  #length = 0;
  /** Bytes of the current record that have not come. */
  #due = 0;
  #foreign: "not TLS" | "SSLv2" | "oversized record" | undefined;
  #isFirst = true;

  /** A record has begun and is not whole. */
  get isMidRecord(): boolean {
    return this.#due > 0 || this.#headerSize > 0;
  }

  /** The type of the record that has begun, when its header is whole. */
  get openType(): number | undefined {
    return this.#due > 0 ? this.#type : undefined;
  }

  push(bytes: Uint8Array, sink: RecordSink): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#foreign !== undefined) {
        sink.onForeign(at === 0 ? bytes : bytes.subarray(at), this.#foreign);
        return;
      }
      if (this.#due > 0) {
        const size = Math.min(this.#due, bytes.length - at);
        this.#due -= size;
        sink.onPiece(this.#type, bytes.subarray(at, at + size));
        at += size;
        if (this.#due === 0) sink.onRecord(this.#type, this.#length);
        continue;
      }
      this.#takeHeader(bytes[at] ?? 0, sink);
      at += 1;
    }
  }

  #takeHeader(byte: number, sink: RecordSink): void {
    const size = this.#headerSize;
    this.#headerSize += 1;
    if (size === 0) {
      this.#type = byte;
      if (byte >= FIRST_TYPE && byte <= LAST_TYPE) return;
      this.#giveUp(this.#isFirst && byte >= 0x80 ? "SSLv2" : "not TLS", [byte], sink);
    } else if (size === 1) {
      if (byte !== 3) this.#giveUp("not TLS", [this.#type, byte], sink);
    } else if (size === 2) this.#version = byte;
    else if (size === 3) this.#length = byte << 8;
    else {
      this.#length |= byte;
      if (this.#length > LONGEST) {
        const header = [this.#type, 3, this.#version, this.#length >> 8, this.#length & 0xff];
        this.#giveUp("oversized record", header, sink);
        return;
      }
      this.#isFirst = false;
      this.#headerSize = 0;
      this.#due = this.#length;
      if (size + 1 === HEADER_LENGTH && this.#due === 0) sink.onRecord(this.#type, 0);
    }
  }

  #giveUp(why: "not TLS" | "SSLv2" | "oversized record", header: readonly number[], sink: RecordSink): void {
    this.#foreign = why;
    this.#headerSize = 0;
    sink.onForeign(Uint8Array.from(header), why);
  }
}
