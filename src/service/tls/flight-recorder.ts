import type { Clock } from "../../foundation/clock.ts";
import type { TlsRole } from "./facts.ts";
import type { ClientHelloFacts, Direction, Flight, FlightEvent, ServerHelloFacts } from "./flight.ts";
import type { WireWatch } from "./tls.ts";

/** What is counted of one direction, also after everything is encrypted. */
export interface WireCounts {
  readonly bytes: number;
  readonly records: number;
  /** Records of the handshake type that came after the handshake (TLS 1.2 only: a renegotiation). */
  readonly lateHandshakes: number;
}

interface Side {
  bytes: number;
  records: number;
  lateHandshakes: number;
  header: number[];
  /** Bytes of the current record that have not come yet. */
  due: number;
}

/**
 * Sees every byte of a TLS connection as it is on the wire and keeps, bounded, what is worth knowing of it. Never throws,
 * whatever comes. The driver says when the handshake succeeded; from then on only record headers are counted.
 */
export class FlightRecorder {
  readonly #role: TlsRole;
  readonly #clock: Clock;
  readonly #watch: WireWatch | undefined;
  readonly #startedAt: number;
  readonly #startedMs: number;
  readonly #sides: Record<Direction, Side> = { in: newSide(), out: newSide() };
  readonly #events: FlightEvent[] = [];
  #omitted = 0;
  #isDone = false;
  #hello: ClientHelloFacts | undefined;
  #serverHello: ServerHelloFacts | undefined;

  constructor(options: { role: TlsRole; clock: Clock; watch?: WireWatch | undefined }) {
    this.#role = options.role;
    this.#clock = options.clock;
    this.#watch = options.watch;
    this.#startedAt = options.clock.now();
    this.#startedMs = options.clock.monotonicMs();
  }

  feed(direction: Direction, bytes: Uint8Array): void {
    const side = this.#sides[direction];
    side.bytes += bytes.length;
    this.#watch?.bytes?.(direction, bytes, !this.#isDone);
    for (let at = 0; at < bytes.length;) {
      if (side.due > 0) {
        const taken = Math.min(side.due, bytes.length - at);
        side.due -= taken;
        at += taken;
        continue;
      }
      side.header.push(bytes[at] ?? 0);
      at += 1;
      if (side.header.length < 5) continue;
      side.due = ((side.header[3] ?? 0) << 8) | (side.header[4] ?? 0);
      if (this.#isDone && side.header[0] === 22) side.lateHandshakes += 1;
      side.records += 1;
      side.header = [];
    }
  }

  /** What the driver saw besides bytes: `FIN`, `RST`, `timeout`. */
  note(direction: Direction, what: string, detail?: string): void {
    this.#record({ atMs: this.#sinceStart(), direction, what, bytes: 0, ...(detail === undefined ? {} : { detail }) });
  }

  /** The handshake succeeded: what was kept for an explanation of its failure is let go. */
  handshakeDone(): void {
    this.#isDone = true;
  }

  /** A record has begun and is not whole: an end now has lost data for certain. */
  isMidRecord(direction: Direction): boolean {
    const side = this.#sides[direction];
    return side.due > 0 || side.header.length > 0;
  }

  counts(direction: Direction): WireCounts {
    const { bytes, records, lateHandshakes } = this.#sides[direction];
    return { bytes, records, lateHandshakes };
  }

  /** The ClientHello as far as it came, on both sides. */
  get hello(): ClientHelloFacts | undefined {
    return this.#hello;
  }

  get serverHello(): ServerHelloFacts | undefined {
    return this.#serverHello;
  }

  /** The name of the negotiated key exchange group; undefined when none was seen (RSA key exchange, resumed TLS 1.2). */
  get group(): string | undefined {
    return undefined;
  }

  /** Milliseconds since the recorder was made. */
  get elapsedMs(): number {
    return this.#sinceStart();
  }

  flight(): Flight {
    return {
      role: this.#role,
      startedAt: this.#startedAt,
      events: [...this.#events],
      omitted: this.#omitted,
      hello: this.#hello,
      serverHello: this.#serverHello,
      bytes: { in: this.#sides.in.bytes, out: this.#sides.out.bytes },
      wire: [],
    };
  }

  #sinceStart(): number {
    return Math.max(0, Math.round(this.#clock.monotonicMs() - this.#startedMs));
  }

  #record(event: FlightEvent): void {
    if (this.#events.length < 64) this.#events.push(event);
    else this.#omitted += 1;
    this.#watch?.event?.(event);
  }
}

function newSide(): Side {
  return { bytes: 0, records: 0, lateHandshakes: 0, header: [], due: 0 };
}
