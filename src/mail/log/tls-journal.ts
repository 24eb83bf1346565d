import type { Closing, TlsFacts } from "../../service/tls/facts.ts";
import type { TlsFinding } from "../../service/tls/finding/finding.ts";
import type { Flight } from "../../service/tls/flight/flight.ts";
import type { Moment } from "../../service/tls/told.ts";
import type { JournalEntry } from "./journal.ts";

/**
 * What the journal keeps of TLS, beside its events: a row a session with how it closed, a row a failure with its finding
 * and what the same peer did next, bounded flights, who went without encryption, and what changed on our side. The rows
 * are made by the journal's thread from the `details` of events (`service/tls/told.ts`); people ask through `posthorn tls`
 * and plain SQL.
 *
 * Ids are the journal's (milliseconds × 1024 and a count), one sequence for sessions and failures; people see them in
 * base 36.
 */
export const TLS_SCHEMA = `
CREATE TABLE IF NOT EXISTS tls_session (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, process INTEGER NOT NULL, session TEXT NOT NULL, direction TEXT NOT NULL,
  peer TEXT NOT NULL, address TEXT NOT NULL, place TEXT NOT NULL, version TEXT NOT NULL, cipher TEXT NOT NULL,
  key_exchange TEXT, server_name TEXT, ja4 TEXT, is_resumed INTEGER NOT NULL, handshake_ms INTEGER NOT NULL,
  verify TEXT NOT NULL, certificate TEXT, rule TEXT, change INTEGER, facts TEXT NOT NULL,
  closed_at INTEGER, closed_peer TEXT, closed_we TEXT, closed_moment TEXT, closed_after TEXT, closed_because TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS tls_session_session ON tls_session (session);
CREATE INDEX IF NOT EXISTS tls_session_address ON tls_session (address, direction, id);
CREATE TABLE IF NOT EXISTS tls_failure (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, process INTEGER NOT NULL, session TEXT NOT NULL, direction TEXT NOT NULL,
  peer TEXT NOT NULL, address TEXT NOT NULL, place TEXT NOT NULL, reason TEXT NOT NULL, fault TEXT NOT NULL,
  server_name TEXT, ja4 TEXT, certificate TEXT, rule TEXT, change INTEGER, was_up INTEGER NOT NULL, finding TEXT NOT NULL,
  next_at INTEGER, next_session TEXT, next_how TEXT, next_after TEXT, next_mails INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS tls_failure_session ON tls_failure (session);
CREATE INDEX IF NOT EXISTS tls_failure_address ON tls_failure (address, direction, id);
CREATE TABLE IF NOT EXISTS tls_flight (
  id INTEGER PRIMARY KEY, address TEXT NOT NULL, direction TEXT NOT NULL, is_failure INTEGER NOT NULL, flight TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS tls_flight_address ON tls_flight (address, direction, is_failure, id);
CREATE TABLE IF NOT EXISTS tls_plaintext (
  direction TEXT NOT NULL, address TEXT NOT NULL, place TEXT NOT NULL, rule TEXT NOT NULL, peer TEXT NOT NULL,
  first_at INTEGER NOT NULL, last_at INTEGER NOT NULL, mails INTEGER NOT NULL, last_session TEXT NOT NULL,
  PRIMARY KEY (direction, address, place, rule)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tls_certificate (
  place TEXT NOT NULL, fingerprint TEXT NOT NULL, first_at INTEGER NOT NULL, PRIMARY KEY (place, fingerprint)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS change (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, what TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
`;

/** Bounds of what is kept of flights, apart from the journal's retention and size. */
export const MOST_FAILED_FLIGHTS_PER_PEER = 10;
export const MOST_FLIGHTS = 5_000;
export const MOST_PLAINTEXT_PEERS = 20_000;
export const MOST_CHANGES = 2_000;

/** What changed on our side: the software (`start`), the settings (`reload`), a certificate, a lost process. */
export interface ChangeRow {
  readonly at: number;
  readonly what: string;
  readonly text: string;
}

export interface SessionRow {
  readonly id: number;
  readonly at: number;
  readonly session: string;
  readonly direction: "in" | "out";
  readonly peer: string;
  readonly address: string;
  readonly place: string;
  readonly facts: TlsFacts;
  readonly rule?: string | undefined;
  readonly closed?:
    | { readonly at: number; readonly closing: Closing; readonly moment: Moment; readonly after: string }
    | undefined;
}

export interface FailureRow {
  readonly id: number;
  readonly at: number;
  readonly session: string;
  readonly direction: "in" | "out";
  readonly peer: string;
  readonly address: string;
  readonly place: string;
  readonly ja4?: string | undefined;
  readonly serverName?: string | undefined;
  readonly certificate?: string | undefined;
  readonly rule?: string | undefined;
  readonly wasUp: boolean;
  /** Without its flight. */
  readonly finding: TlsFinding;
  readonly next?: NextConnection | undefined;
}

/** What the same peer did within a minute of a failure. */
export interface NextConnection {
  readonly at: number;
  readonly session: string;
  /** It came back (or we went) with TLS that worked, without TLS, or failed again. */
  readonly how: "tls" | "plaintext" | "failed";
  /** How far it got, in the protocol's words (`MAIL`, `QUIT`); absent while it goes on. */
  readonly after?: string | undefined;
  readonly mails: number;
}

/** A session or a failure with all that is kept of it. */
export type TlsRecord =
  | { readonly kind: "session"; readonly row: SessionRow; readonly flight?: Flight | undefined }
  | { readonly kind: "failure"; readonly row: FailureRow; readonly flight?: Flight | undefined };

export interface ShownRecord {
  readonly record: TlsRecord;
  /** The log's lines of the same session. */
  readonly events: readonly JournalEntry[];
  /** What was in force: the last start and the last reload before it. */
  readonly inForce: readonly ChangeRow[];
}

export interface CloseCount {
  readonly direction: "in" | "out";
  readonly address: string;
  /** The newest name of the peer. */
  readonly peer: string;
  readonly ending: Closing["peer"];
  readonly moment: Moment;
  readonly count: number;
  readonly lastAt: number;
}

export interface PlaintextRow {
  readonly direction: "in" | "out";
  readonly peer: string;
  readonly address: string;
  readonly place: string;
  readonly rule: string;
  readonly firstAt: number;
  readonly lastAt: number;
  readonly mails: number;
}

/** `mhzu1c0k3q`: an id as people type it. */
export function tlsIdText(id: number): string {
  return id.toString(36);
}

export function parseTlsId(text: string): number | undefined {
  if (!/^[0-9a-z]{9,11}$/.test(text)) return undefined;
  const id = Number.parseInt(text, 36);
  return Number.isSafeInteger(id) ? id : undefined;
}
