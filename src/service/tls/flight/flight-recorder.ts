import type { Clock } from "../../../foundation/clock.ts";
import { escapeControls } from "../../../foundation/escape.ts";
import { ByteReader } from "./byte-reader.ts";
import { clientHelloFacts, readClientHello } from "./client-hello.ts";
import type { ClientHello } from "./client-hello.ts";
import type { TlsRole } from "../facts.ts";
import type { ClientHelloFacts, Direction, Flight, FlightEvent, ServerHelloFacts } from "./flight.ts";
import { HandshakeAssembly } from "./handshake-assembly.ts";
import { clientHelloLine, serverHelloLine } from "./hello-lines.ts";
import { RecordScanner } from "./record-scanner.ts";
import type { RecordSink } from "./record-scanner.ts";
import { readServerHello } from "./server-hello.ts";
import type { WireWatch } from "../tls.ts";
import { alertName, groupName, handshakeName, versionName } from "./wire-names.ts";
import { WireTape } from "./wire-tape.ts";

/** What is counted of one direction, also after everything is encrypted. */
export interface WireCounts {
  readonly bytes: number;
  readonly records: number;
  /** Records of the handshake type that came after the handshake: in TLS 1.2 and older a renegotiation. */
  readonly lateHandshakes: number;
  /**
   * Records in a row that are as long as a KeyUpdate (RFC 8446 section 4.6.3) and encrypted. Content of five bytes looks
   * the same; many of them with nothing decrypted in between are a flood.
   */
  readonly keyUpdateSized: number;
}

/**
 * Steps kept; alerts have a few places more, and so have the ends of a connection behind those, so that a story always has its
 * end: what the driver notes is at most an end each way and a deadline, while alerts are as many as the peer likes.
 */
const STEPS_LIMIT = 58;
const ALERTS_LIMIT = 61;
const EVENTS_LIMIT = 64;
/** What is shown of bytes that are no TLS. */
const FOREIGN_LIMIT = 80;

const CHANGE_CIPHER_SPEC = 20;
const ALERT = 21;
const HANDSHAKE = 22;
const APPLICATION_DATA = 23;
const TLS13 = 0x0304;

interface Step {
  readonly atMs: number;
  readonly direction: Direction;
  what: string;
  /** A function where the words are work: few flights are ever looked at. */
  detail?: string | (() => string) | undefined;
  bytes: number;
  records: number;
  readonly isNote: boolean;
}

interface Side {
  readonly scanner: RecordScanner;
  assembly: HandshakeAssembly | undefined;
  bytes: number;
  records: number;
  lateHandshakes: number;
  keyUpdateSized: number;
  lastByteMs: number;
  /** TLS 1.2 and older: everything after ChangeCipherSpec. In TLS 1.3 the record's type says it. */
  isSecret: boolean;
  alertLevel: number | undefined;
  foreign: (Step & { detail: string }) | undefined;
  hasCertificate: boolean;
}

/**
 * Sees every byte of a TLS connection as it is on the wire and keeps, bounded, what is worth knowing of it: the handshake
 * messages that travel in clear, alerts, ends, and the first bytes of each direction. Never throws, whatever comes, and the
 * same bytes in other pieces give the same flight. Once the driver has said that the handshake succeeded, only record
 * headers are looked at.
 */
export class FlightRecorder {
  readonly #role: TlsRole;
  readonly #clock: Clock;
  readonly #watch: WireWatch | undefined;
  readonly #startedAt: number;
  readonly #startedMs: number;
  readonly #sides: Record<Direction, Side> = { in: newSide(), out: newSide() };
  readonly #sinks: Record<Direction, RecordSink> = { in: this.#sink("in"), out: this.#sink("out") };
  readonly #steps: Step[] = [];
  #omitted = 0;
  #tape: WireTape | undefined = new WireTape();
  #isDone = false;
  /** Of the ServerHello or HelloRetryRequest. */
  #version = 0;
  #clientHello: ClientHello | undefined;
  #helloFacts: ClientHelloFacts | undefined;
  #serverHello: ServerHelloFacts | undefined;

  constructor(options: { role: TlsRole; clock: Clock; watch?: WireWatch | undefined }) {
    this.#role = options.role;
    this.#clock = options.clock;
    this.#watch = options.watch;
    this.#startedAt = options.clock.now();
    this.#startedMs = options.clock.monotonicMs();
  }

  feed(direction: Direction, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const side = this.#sides[direction];
    side.bytes += bytes.length;
    this.#watch?.bytes?.(direction, bytes, !this.#isDone);
    if (this.#tape !== undefined || !this.#isDone) side.lastByteMs = this.elapsedMs;
    this.#tape?.add(this.#startedAt + side.lastByteMs, direction, bytes);
    const wasForeign = side.foreign !== undefined;
    side.scanner.push(bytes, this.#sinks[direction]);
    if (!wasForeign && side.foreign !== undefined) this.#watch?.event?.(eventOf(side.foreign));
  }

  /** What the driver saw besides bytes: `FIN`, `RST`, `timeout`. */
  note(direction: Direction, what: string, detail?: string): void {
    this.#add({ atMs: this.elapsedMs, direction, what, detail, bytes: 0, records: 0, isNote: true });
  }

  /** The handshake succeeded: what was kept for an explanation of its failure is let go. */
  handshakeDone(): void {
    this.#isDone = true;
    this.#tape = undefined;
    this.#sides.in.assembly = undefined;
    this.#sides.out.assembly = undefined;
  }

  /** A record has begun and is not whole: an end now has lost data for certain. */
  isMidRecord(direction: Direction): boolean {
    return this.#sides[direction].scanner.isMidRecord;
  }

  /** For a server: no ClientHello will come. What came is no TLS, or TLS that began with something else. */
  get isWithoutHello(): boolean {
    const { foreign, records, assembly } = this.#sides.in;
    return foreign !== undefined || (assembly === undefined ? records > 0 : !assembly.mayGiveHello);
  }

  /** For a server: what came is no TLS, and a whole line of it. */
  get isForeignLine(): boolean {
    return this.#sides.in.foreign?.detail.includes("\\x0a") === true;
  }

  counts(direction: Direction): WireCounts {
    const { bytes, records, lateHandshakes, keyUpdateSized } = this.#sides[direction];
    return { bytes, records, lateHandshakes, keyUpdateSized };
  }

  /** The ClientHello, whoever sent it. */
  get hello(): ClientHelloFacts | undefined {
    if (this.#helloFacts === undefined && this.#clientHello !== undefined) {
      this.#helloFacts = clientHelloFacts(this.#clientHello);
      this.#clientHello = undefined;
    }
    return this.#helloFacts;
  }

  get serverHello(): ServerHelloFacts | undefined {
    return this.#serverHello;
  }

  /** The name of the negotiated key exchange group; undefined when none was seen (RSA key exchange, resumed TLS 1.2). */
  get group(): string | undefined {
    const group = this.#serverHello?.group;
    return group === undefined ? undefined : groupName(group);
  }

  /** Milliseconds since the recorder was made. */
  get elapsedMs(): number {
    return Math.max(0, Math.round(this.#clock.monotonicMs() - this.#startedMs));
  }

  flight(): Flight {
    return {
      role: this.#role,
      startedAt: this.#startedAt,
      events: this.#events(),
      omitted: this.#omitted,
      hello: this.hello,
      serverHello: this.#serverHello,
      bytes: { in: this.#sides.in.bytes, out: this.#sides.out.bytes },
      wire: this.#tape?.pieces() ?? [],
    };
  }

  #sink(direction: Direction): RecordSink {
    return {
      onPiece: (type, piece) => {
        if (!this.#isDone) this.#onPiece(direction, type, piece);
      },
      onRecord: (type, length) => {
        this.#onRecord(direction, type, length);
      },
      onForeign: (bytes, why) => {
        this.#onForeign(direction, bytes, why);
      },
    };
  }

  #onPiece(direction: Direction, type: number, piece: Uint8Array): void {
    const side = this.#sides[direction];
    if (side.isSecret) return;
    if (type === HANDSHAKE) {
      side.assembly ??= new HandshakeAssembly();
      side.assembly.push(piece, (message, length, body) => {
        this.#onMessage(direction, message, length, body);
      });
    } else if (type === ALERT) {
      for (const byte of piece) this.#onAlertByte(direction, byte);
    }
  }

  #onRecord(direction: Direction, type: number, length: number): void {
    const side = this.#sides[direction];
    side.records += 1;
    const isKeyUpdateSized = type === APPLICATION_DATA && (length === 22 || length === 14);
    side.keyUpdateSized = isKeyUpdateSized ? side.keyUpdateSized + 1 : 0;
    if (this.#isDone) {
      if (type === HANDSHAKE) side.lateHandshakes += 1;
      return;
    }
    const bytes = length + 5;
    if (type === CHANGE_CIPHER_SPEC) {
      this.#step(direction, "ChangeCipherSpec", undefined, bytes);
      this.#onChangeCipherSpec(direction);
    } else if (type === APPLICATION_DATA) this.#encrypted(direction, "encrypted", bytes);
    else if (side.isSecret && type === ALERT) this.#step(direction, "Alert", "encrypted", bytes);
    // After its ChangeCipherSpec the first thing a side sends is its Finished (RFC 5246 section 7.4.9).
    else if (side.isSecret && type === HANDSHAKE) this.#encrypted(direction, "Finished", bytes);
  }

  #onChangeCipherSpec(direction: Direction): void {
    const side = this.#sides[direction];
    // In TLS 1.3 it is there for old middle boxes only and changes nothing (RFC 8446 section 5).
    if (this.#version === 0 || this.#version === TLS13) return;
    side.isSecret = true;
    side.assembly = undefined;
    if (this.#serverHello !== undefined && direction === this.#fromServer && !side.hasCertificate) {
      this.#serverHello = { ...this.#serverHello, isResumption: true };
    }
  }

  #onMessage(direction: Direction, type: number, length: number, body: Uint8Array | undefined): void {
    const side = this.#sides[direction];
    const bytes = length + 4;
    if (body === undefined || (type !== 1 && type !== 2 && type !== 11 && type !== 12)) {
      const detail = length > 65_536 ? `${length} bytes, more than is looked at` : undefined;
      this.#step(direction, handshakeName(type), detail, bytes);
      return;
    }
    if (type === 1) {
      this.#helloFacts = undefined;
      const hello = readClientHello(body);
      this.#clientHello = hello;
      this.#step(direction, "ClientHello", () => clientHelloLine(hello), bytes);
    } else if (type === 2) this.#onServerHello(direction, body, bytes);
    else if (type === 11) {
      side.hasCertificate = true;
      const count = countCertificates(body);
      const detail = count === 0 ? "none" : `${count} ${count === 1 ? "certificate" : "certificates"}, ${length} bytes`;
      this.#step(direction, "Certificate", detail, bytes);
    } else {
      side.hasCertificate = true;
      const group = namedCurveOf(body);
      if (group !== undefined && this.#serverHello !== undefined) this.#serverHello = { ...this.#serverHello, group };
      this.#step(direction, "ServerKeyExchange", group === undefined ? undefined : groupName(group), bytes);
    }
  }

  #onServerHello(direction: Direction, body: Uint8Array, bytes: number): void {
    const hello = readServerHello(body);
    this.#version = hello.version;
    this.#serverHello = {
      version: versionName(hello.version),
      cipher: hello.cipher,
      group: hello.group,
      alpn: hello.alpn,
      isResumption: hello.hasChosenSession,
      wasRetried: hello.isRetryRequest || (this.#serverHello?.wasRetried ?? false),
    };
    this.#step(
      direction,
      hello.isRetryRequest ? "HelloRetryRequest" : "ServerHello",
      () => serverHelloLine(hello),
      bytes,
    );
  }

  #onAlertByte(direction: Direction, byte: number): void {
    const side = this.#sides[direction];
    if (side.alertLevel === undefined) {
      side.alertLevel = byte;
      return;
    }
    const level = side.alertLevel === 2 ? "fatal " : side.alertLevel === 1 ? "warning " : "";
    side.alertLevel = undefined;
    this.#step(direction, "Alert", `${level}${alertName(byte)} (${byte})`, 2);
  }

  #onForeign(direction: Direction, bytes: Uint8Array, why: string): void {
    if (this.#isDone) return;
    const side = this.#sides[direction];
    const isNew = side.foreign === undefined;
    side.foreign ??= { atMs: this.elapsedMs, direction, what: why, detail: "", bytes: 0, records: 0, isNote: false };
    const left = FOREIGN_LIMIT - side.foreign.bytes;
    if (left > 0) {
      const text = Buffer.from(bytes.subarray(0, left)).toString("latin1");
      side.foreign.detail = `${side.foreign.detail}${escapeControls(text)}`;
    }
    side.foreign.bytes += bytes.length;
    if (isNew) this.#keep(side.foreign);
  }

  #encrypted(direction: Direction, what: string, bytes: number): void {
    const last = this.#steps.at(-1);
    if (last?.direction === direction && last.what === what && this.#omitted === 0) {
      last.bytes += bytes;
      last.records += 1;
    } else this.#add({ atMs: this.elapsedMs, direction, what, bytes, records: 1, isNote: false });
  }

  #step(direction: Direction, what: string, detail: Step["detail"], bytes: number): void {
    this.#add({ atMs: this.elapsedMs, direction, what, detail, bytes, records: 0, isNote: false });
  }

  #add(step: Step): void {
    this.#keep(step);
    this.#watch?.event?.(eventOf(step));
  }

  #keep(step: Step): void {
    const limit = step.isNote ? EVENTS_LIMIT : step.what === "Alert" ? ALERTS_LIMIT : STEPS_LIMIT;
    if (this.#steps.length < limit) this.#steps.push(step);
    else this.#omitted += 1;
  }

  /** With what has begun and is not whole, before the ends that cut it. */
  #events(): readonly FlightEvent[] {
    const events = this.#steps.map(eventOf);
    if (this.#isDone) return events;
    let end = events.length;
    while (end > 0 && this.#steps[end - 1]?.isNote === true) end -= 1;
    const begun = [this.#begun("in"), this.#begun("out")].filter((event) => event !== undefined);
    return [...events.slice(0, end), ...begun, ...events.slice(end)];
  }

  #begun(direction: Direction): FlightEvent | undefined {
    const { assembly, scanner, lastByteMs: atMs, isSecret } = this.#sides[direction];
    const message = assembly?.open;
    const type = scanner.openType;
    if (message?.type !== undefined) {
      const detail = message.length === 0 ? "only its beginning" : `${message.got} of ${message.length} bytes`;
      return { atMs, direction, what: `part of a ${handshakeName(message.type)}`, detail, bytes: message.got };
    }
    if (!scanner.isMidRecord) return undefined;
    const isEncrypted = type === APPLICATION_DATA || (isSecret && type !== undefined);
    return { atMs, direction, what: isEncrypted ? "part of an encrypted record" : "part of a record", bytes: 0 };
  }

  get #fromServer(): Direction {
    return this.#role === "server" ? "out" : "in";
  }
}

function newSide(): Side {
  return {
    scanner: new RecordScanner(),
    assembly: undefined,
    bytes: 0,
    records: 0,
    lateHandshakes: 0,
    keyUpdateSized: 0,
    lastByteMs: 0,
    isSecret: false,
    alertLevel: undefined,
    foreign: undefined,
    hasCertificate: false,
  };
}

function eventOf(step: Step): FlightEvent {
  const { atMs, direction, what, bytes, records } = step;
  if (typeof step.detail === "function") step.detail = step.detail();
  const detail = records > 1 ? `${records} records` : step.detail;
  return { atMs, direction, what, bytes, ...(detail === undefined ? {} : { detail }) };
}

/** RFC 5246 section 7.4.2. */
function countCertificates(body: Uint8Array): number {
  const list = new ByteReader(body).vector(3);
  let count = 0;
  while (list.left > 0 && !list.isShort) {
    list.vector(3);
    count += 1;
  }
  return count;
}

/** RFC 8422 section 5.4: curve type 3, then the curve. */
function namedCurveOf(body: Uint8Array): number | undefined {
  const reader = new ByteReader(body);
  return reader.number(1) === 3 && reader.left >= 2 ? reader.number(2) : undefined;
}
