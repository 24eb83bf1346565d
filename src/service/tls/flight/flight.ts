import type { TlsRole } from "../facts.ts";

/** What the flight recorder saw of one connection: plain data, bounded (`flight-recorder.ts` makes it). */
export interface Flight {
  readonly role: TlsRole;
  /** Instant of the first event. */
  readonly startedAt: number;
  /** At most 64; later ones are only counted. */
  readonly events: readonly FlightEvent[];
  readonly omitted: number;
  readonly hello?: ClientHelloFacts | undefined;
  readonly serverHello?: ServerHelloFacts | undefined;
  /** Bytes of whole connection on the wire. */
  readonly bytes: { readonly in: number; readonly out: number };
  /** The first bytes each way as they were on the wire, bounded, for `posthorn tls show --pcapng`; base64. */
  readonly wire: readonly { readonly at: number; readonly direction: Direction; readonly bytes: string }[];
}

export type Direction = "in" | "out";

export interface FlightEvent {
  /** Milliseconds since `startedAt`. */
  readonly atMs: number;
  readonly direction: Direction;
  /** `ClientHello`, `ServerHello`, `HelloRetryRequest`, `Certificate`, `encrypted`, `Alert`, `ChangeCipherSpec`, `FIN`, `RST`, `not TLS`, … */
  readonly what: string;
  /** One short line: versions, cipher, group, names, the alert's name; printable. */
  readonly detail?: string | undefined;
  readonly bytes: number;
}

export interface ClientHelloFacts {
  /** Highest first: `TLSv1.3`. */
  readonly versions: readonly string[];
  /** As numbers of the IANA registries, in the order sent. */
  readonly ciphers: readonly number[];
  readonly groups: readonly number[];
  readonly keyShares: readonly number[];
  readonly signatures: readonly number[];
  readonly extensions: readonly number[];
  readonly serverName?: string | undefined;
  readonly alpn: readonly string[];
  /** It came with a ticket or session id to resume. */
  readonly offersResumption: boolean;
  readonly ja4: string;
}

export interface ServerHelloFacts {
  readonly version: string;
  readonly cipher: number;
  readonly group?: number | undefined;
  readonly alpn?: string | undefined;
  readonly isResumption: boolean;
  /** A HelloRetryRequest came first. */
  readonly wasRetried: boolean;
}
