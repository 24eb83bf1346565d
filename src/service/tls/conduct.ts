import type { TlsRole } from "./facts.ts";
import type { TlsReason } from "./finding/finding.ts";

const HEADER_BYTES = 5;
const ALERT = 21;
const HANDSHAKE = 22;
const APPLICATION = 23;
/** A close_notify of TLS 1.3: two bytes of alert, one of content type, sixteen of tag. */
const SEALED_ALERT_BYTES = 19;
/** Tickets and key updates of a good peer come nowhere near this. */
const MOST_BARE_RECORDS = 100;
/** One more for so many that carried data: keys are renewed on long connections. */
const DATA_RECORDS_FOR_A_BARE_ONE = 64;
/** A server may ask for a renegotiation that we ignore; a few times. */
const MOST_REQUESTS = 3;

/** What a peer did too much of. */
export type Misconduct = Extract<TlsReason, "key-update-flood" | "renegotiation-refused">;

/**
 * What a peer may do on a connection once the handshake is over, judged by record headers and by what TLS made of them:
 * a record that yields no data is a ticket or a key update (TLS 1.3, where the types are encrypted), and each of those
 * costs us work while it costs the peer nothing. It also says where a chunk must be cut so that bytes behind a
 * close_notify are seen.
 */
export class Conduct {
  readonly #role: TlsRole;
  /** Undefined during the handshake, when nothing is judged. */
  #version: string | undefined;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;
  /** Bytes of the present record that have not come. */
  #due = 0;
  #records = 0;
  #dataPieces = 0;
  #lateHandshakes = 0;
  #bare = 0;
  #withData = 0;

  constructor(role: TlsRole) {
    this.#role = role;
  }

  established(version: string): void {
    this.#version = version;
    this.#records = 0;
    this.#dataPieces = 0;
    this.#lateHandshakes = 0;
  }

  /** The chunk in pieces, to be given to TLS one by one: cut behind every record that may be a close_notify. */
  *pieces(chunk: Buffer): Iterable<Buffer> {
    let from = 0;
    for (let at = 0; at < chunk.length;) {
      if (this.#due === 0 && this.#headerBytes < HEADER_BYTES) {
        this.#header[this.#headerBytes++] = chunk[at++] ?? 0;
        if (this.#headerBytes < HEADER_BYTES) continue;
        this.#due = this.#lengthBytes();
        if (this.#header[0] === HANDSHAKE) this.#lateHandshakes++;
      }
      const taken = Math.min(this.#due, chunk.length - at);
      this.#due -= taken;
      at += taken;
      if (this.#due > 0) continue;
      this.#records++;
      this.#headerBytes = 0;
      if (!this.#mayBeClose() || at === chunk.length) continue;
      yield chunk.subarray(from, at);
      from = at;
    }
    yield from === 0 ? chunk : chunk.subarray(from);
  }

  /** TLS made data of what it was given. */
  decrypted(): void {
    this.#dataPieces++;
  }

  /** TLS has used up what it was given: what the peer did too much of, undefined when it behaves. */
  judge(): Misconduct | undefined {
    const [records, pieces] = [this.#records, this.#dataPieces];
    this.#records = 0;
    this.#dataPieces = 0;
    if (this.#version === undefined) return undefined;
    if (this.#version !== "TLSv1.3") {
      // Types are in the clear. Empty records are not counted: old peers send one before each to protect a weak mode.
      return this.#lateHandshakes > (this.#role === "server" ? 0 : MOST_REQUESTS) ? "renegotiation-refused" : undefined;
    }
    this.#withData += Math.min(records, pieces);
    this.#bare += Math.max(0, records - pieces);
    const most = MOST_BARE_RECORDS + this.#withData / DATA_RECORDS_FOR_A_BARE_ONE;
    return this.#bare > most ? "key-update-flood" : undefined;
  }

  #lengthBytes(): number {
    return ((this.#header[3] ?? 0) << 8) | (this.#header[4] ?? 0);
  }

  #mayBeClose(): boolean {
    if (this.#version === undefined) return false;
    return this.#header[0] === ALERT || (this.#header[0] === APPLICATION && this.#lengthBytes() === SEALED_ALERT_BYTES);
  }
}
