import type { DatabaseSync, StatementSync } from "node:sqlite";
import { flightIn, parseTold, type TlsFailed, type TlsPeer, type TlsUp } from "../../service/tls/told.ts";
import type { Flight } from "../../service/tls/flight/flight.ts";
import type { Fields } from "./record.ts";
import { certificateChange, changeOf, isChange } from "./tls-changes.ts";
import { MOST_FAILED_FLIGHTS_PER_PEER } from "./tls-journal.ts";
import { furthest, TlsReturns, type Link } from "./tls-returns.ts";

const IDS_PER_MS = 1024;
/** Clients behind one address differ; a few of their working handshakes are kept. */
const WORKING_FLIGHTS_PER_PEER = 3;
const MOST_KNOWN_CERTIFICATES = 10_000;

/** One event as the journal's thread has it. */
export interface HeardEvent {
  readonly at: number;
  /** The row of its process. */
  readonly process: number;
  readonly name: string;
  readonly session?: string | undefined;
  /** They lie there as JSON: to be asked for only where they matter. */
  readonly fields: () => Fields;
  readonly details?: unknown;
}

/** Makes the rows of `tls-journal.ts` from events; in the transaction of their batch. */
export class TlsJournalWriter {
  readonly #database: DatabaseSync;
  readonly #insertSession: StatementSync;
  readonly #insertFailure: StatementSync;
  readonly #close: StatementSync;
  readonly #link: StatementSync;
  readonly #plain: StatementSync;
  readonly #knownCertificates = new Set<string>();
  #returns = new TlsReturns();
  #lastId: number;
  #change: number | null;
  #changeBefore: number | null;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#insertSession = database.prepare(
      `INSERT INTO tls_session (id, at, process, session, direction, peer, address, place, version, cipher, key_exchange,
       server_name, ja4, is_resumed, handshake_ms, verify, certificate, rule, change, facts)
       VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
    );
    this.#insertFailure = database.prepare(
      `INSERT INTO tls_failure (id, at, process, session, direction, peer, address, place, reason, fault, server_name, ja4,
       certificate, rule, change, was_up, finding) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
    );
    this.#close = database.prepare(
      `UPDATE tls_session SET closed_at = ?, closed_peer = ?, closed_we = ?, closed_moment = ?, closed_after = ?,
       closed_because = ? WHERE id = (SELECT max(id) FROM tls_session WHERE session = ? AND process = ?)`,
    );
    this.#link = database.prepare(
      "UPDATE tls_failure SET next_at = ?, next_session = ?, next_how = ?, next_after = ?, next_mails = ? WHERE id = ?",
    );
    this.#plain = database.prepare(
      `INSERT INTO tls_plaintext (direction, address, place, rule, peer, first_at, last_at, mails, last_session)
       VALUES (?1,?2,?3,?4,?5,?6,?6,?7,?8) ON CONFLICT DO UPDATE SET
       peer = excluded.peer, last_at = excluded.last_at, mails = mails + excluded.mails, last_session = excluded.last_session`,
    );
    this.#lastId = Number(
      database
        .prepare(
          "SELECT max((SELECT coalesce(max(id), 0) FROM tls_session), (SELECT coalesce(max(id), 0) FROM tls_failure)) AS id",
        )
        .get()?.["id"] ?? 0,
    );
    this.#change = this.#lastChange();
    this.#changeBefore = this.#change;
  }

  /** A transaction has begun, which may be rolled back. */
  remember(): void {
    this.#changeBefore = this.#change;
  }

  hear(event: HeardEvent): void {
    const { at, name, session } = event;
    if (isChange(name)) {
      const change = changeOf(name, event.fields());
      if (change !== undefined) this.#noteChange(at, change.what, change.text);
    }
    if (session === undefined) return;
    const key = `${event.process} ${session}`;
    switch (name) {
      case "connection.connected": {
        if (!this.#returns.isWaiting) break;
        const { address } = event.fields();
        if (typeof address === "string") this.#write(this.#returns.connected(`in ${address}`, key, at));
        break;
      }
      case "connection.disconnected":
        if (this.#returns.follows(key))
          this.#write(this.#returns.ended(key, furthest(String(event.fields()["commands"] ?? ""))));
        break;
      case "session.kept":
        this.#write(this.#returns.kept(key));
        break;
    }
    this.#hearTold(event, session, key);
  }

  /** The transaction is rolled back: what was learnt in it is not known. Asks nothing of the database, which has just failed. */
  forget(): void {
    this.doubt();
    this.#change = this.#changeBefore;
  }

  /** What one event did is taken back: what it taught is not known. */
  doubt(): void {
    this.#returns = new TlsReturns();
    this.#knownCertificates.clear();
  }

  #hearTold({ at, process, details }: HeardEvent, session: string, key: string): void {
    const told = parseTold(details);
    if (told === undefined) return;
    if (told.told === "ended") {
      const { closing, moment, after } = told;
      this.#close.run(at, closing.peer, closing.we, moment, after, closing.because ?? null, session, process);
      return;
    }
    const peer = returnKey(told.peer);
    switch (told.told) {
      case "up":
        this.#keepSession(told, at, process, session);
        this.#write(this.#returns.up(peer, key, at));
        return;
      case "failed": {
        const id = this.#keepFailure(told, at, process, session);
        if (!told.wasUp) this.#write(this.#returns.failed(peer, key, id, at));
        return;
      }
      case "plain": {
        const { direction, address = "", place, name } = told.peer;
        this.#plain.run(direction, address, place, told.rule, name, at, told.mails, session);
        if (direction === "out") {
          this.#write(this.#returns.plain(peer, key, at));
          this.#write(this.#returns.kept(key));
        }
      }
    }
  }

  #keepSession(told: TlsUp, at: number, process: number, session: string): void {
    const { peer, facts, rule } = told;
    const id = this.#nextId(at);
    this.#noteCertificate(at, peer, facts.ownCertificate?.fingerprint);
    this.#insertSession.run(
      id,
      at,
      process,
      session,
      peer.direction,
      peer.name,
      peer.address ?? "",
      peer.place,
      facts.version,
      facts.cipher,
      facts.group ?? null,
      facts.serverName ?? null,
      facts.clientFingerprint ?? null,
      Number(facts.isResumed),
      Math.round(facts.handshakeMs),
      facts.verdict.result,
      facts.ownCertificate?.fingerprint ?? null,
      rule ?? null,
      this.#change,
      JSON.stringify(facts),
    );
    if (told.flight !== undefined) this.#keepFlight(id, peer, told.flight, false);
  }

  #keepFailure(told: TlsFailed, at: number, process: number, session: string): number {
    const { peer, finding } = told;
    const id = this.#nextId(at);
    const [flight, withFlight] = flightIn(told);
    const lean = withFlight(undefined);
    this.#insertFailure.run(
      id,
      at,
      process,
      session,
      peer.direction,
      peer.name,
      peer.address ?? "",
      peer.place,
      finding.reason,
      finding.fault,
      finding.serverName ?? null,
      finding.ja4 ?? null,
      told.ownCertificate ?? null,
      told.rule ?? null,
      this.#change,
      Number(told.wasUp),
      JSON.stringify(lean.told === "failed" ? lean.finding : finding),
    );
    if (flight !== undefined) this.#keepFlight(id, peer, flight, true);
    return id;
  }

  #keepFlight(id: number, { address = "", direction }: TlsPeer, flight: Flight, isFailure: boolean): void {
    this.#database
      .prepare("INSERT INTO tls_flight (id, address, direction, is_failure, flight) VALUES (?,?,?,?,?)")
      .run(id, address, direction, Number(isFailure), JSON.stringify(flight));
    this.#database
      .prepare(
        `DELETE FROM tls_flight WHERE id IN (SELECT id FROM tls_flight WHERE address = ? AND direction = ? AND is_failure = ?
         ORDER BY id DESC LIMIT -1 OFFSET ?)`,
      )
      .run(address, direction, Number(isFailure), isFailure ? MOST_FAILED_FLIGHTS_PER_PEER : WORKING_FLIGHTS_PER_PEER);
  }

  /** A certificate of ours that is shown for the first time, where another one was shown before, is a change. */
  #noteCertificate(at: number, { direction, place }: TlsPeer, fingerprint: string | undefined): void {
    if (direction !== "in" || fingerprint === undefined) return;
    const key = `${place} ${fingerprint}`;
    if (this.#knownCertificates.has(key)) return;
    if (this.#knownCertificates.size > MOST_KNOWN_CERTIFICATES) this.#knownCertificates.clear();
    this.#knownCertificates.add(key);
    const others = this.#database.prepare("SELECT 1 FROM tls_certificate WHERE place = ? LIMIT 1").get(place);
    const { changes } = this.#database
      .prepare("INSERT OR IGNORE INTO tls_certificate (place, fingerprint, first_at) VALUES (?,?,?)")
      .run(place, fingerprint, at);
    if (Number(changes) === 0 || others === undefined) return;
    const { what, text } = certificateChange(place, fingerprint);
    this.#noteChange(at, what, text);
  }

  #noteChange(at: number, what: string, text: string): void {
    const { lastInsertRowid } = this.#database
      .prepare("INSERT INTO change (at, what, text) VALUES (?,?,?)")
      .run(Math.floor(at), what, text);
    if (what === "start" || what === "reload") this.#change = Number(lastInsertRowid);
  }

  #lastChange(): number | null {
    const row = this.#database.prepare("SELECT max(id) AS id FROM change WHERE what IN ('start', 'reload')").get();
    return row?.["id"] === null || row === undefined ? null : Number(row["id"]);
  }

  #write(links: readonly Link[]): void {
    for (const { failure, next } of links)
      this.#link.run(next.at, next.session, next.how, next.after ?? null, next.mails, failure);
  }

  #nextId(at: number): number {
    this.#lastId = Math.max(this.#lastId + 1, at * IDS_PER_MS);
    return this.#lastId;
  }
}

/** Whom a return is recognised by: the address, or the name where there is none. */
function returnKey({ direction, address, name }: TlsPeer): string {
  // A client comes from any port; a host's other port is another server.
  return direction === "in" ? `in ${address ?? name}` : `out ${name}`;
}
