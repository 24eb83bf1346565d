import type { DatabaseSync } from "node:sqlite";
import type { Closing, TlsFacts } from "../../service/tls/facts.ts";
import type { TlsFinding } from "../../service/tls/finding/finding.ts";
import type { Flight } from "../../service/tls/flight/flight.ts";
import type { Moment } from "../../service/tls/told.ts";
import type { JournalEntry } from "./journal.ts";
import { clusterFailures, JUST_BEFORE_MS } from "./tls-clusters.ts";
import {
  parseTlsId,
  type ChangeRow,
  type FailureRow,
  type PlaintextRow,
  type SessionRow,
  type TlsRecord,
} from "./tls-journal.ts";
import type {
  CompareAnswer,
  FailuresAnswer,
  FoundCluster,
  Selection,
  ShownAnswer,
  TlsAnswers,
  TlsQuestion,
} from "./tls-questions.ts";

const MOST_ROWS = 20_000;
const MOST_CLUSTERS = 100;
/** Rows before the time asked for that are looked at to tell when a cluster began. */
const LOOK_BACK_MS = 7 * 24 * 60 * 60_000;
const MOST_CLOSE_COUNTS = 5_000;
const MOST_PLAINTEXT_ROWS = 5_000;
const MOST_LAST = 20;

/** `mail.example[192.0.2.1]:25`: by the whole, by its address or name, and by one of them with the port. */
function peerIs(text: string): readonly [string, readonly string[]] {
  const [, before, port] = /^(\[[^[\]]+\]|[^[\]:]+):(\d{1,5})$/.exec(text) ?? [];
  const host = (before ?? text).replace(/^\[(.*)\]$/, "$1");
  const named = "(address = ? OR substr(peer, 1, length(?) + 1) = ? || '[')";
  return port === undefined
    ? [`(peer = ? OR ${named})`, [text, host, host, host]]
    : [`(peer = ? OR (${named} AND peer LIKE '%]:' || ?))`, [text, host, host, host, port]];
}

type Row = Readonly<Record<string, unknown>>;

/** Answers from the tables of `tls-journal.ts`. Only reads; every answer is bounded. */
export class TlsJournalQuery {
  readonly #database: DatabaseSync;
  readonly #eventsOf: (session: string, aroundAt: number) => readonly JournalEntry[];

  constructor(database: DatabaseSync, eventsOf: (session: string, aroundAt: number) => readonly JournalEntry[]) {
    this.#database = database;
    this.#eventsOf = eventsOf;
  }

  answer<Asked extends TlsQuestion["ask"]>(question: Extract<TlsQuestion, { ask: Asked }>): TlsAnswers[Asked];
  answer(question: TlsQuestion): TlsAnswers[TlsQuestion["ask"]] {
    switch (question.ask) {
      case "failures":
        return this.#failures(question);
      case "show":
        return this.#show(question.which);
      case "compare":
        return this.#compare(question.failed, question.worked);
      case "closes":
        return this.#closes(question);
      case "plaintext":
        return { rows: this.#plaintext(question) };
      case "last":
        return this.#last(question.peers.slice(0, MOST_LAST));
    }
  }

  #failures(selection: Selection): FailuresAnswer {
    const { sinceAt } = selection;
    const [where, values] = whereOf(selection, sinceAt - LOOK_BACK_MS);
    const rows = this.#database
      .prepare(`SELECT * FROM tls_failure WHERE ${where} ORDER BY id DESC LIMIT ?`)
      .all(...values, MOST_ROWS)
      .map(failureOf)
      .toReversed();
    const isCut = rows.length === MOST_ROWS;
    const changes = this.#changes(rows[0] === undefined ? sinceAt : rows[0].at - JUST_BEFORE_MS, Infinity);
    const clusters = clusterFailures(rows, changes, sinceAt, isCut);
    const [whereNow, valuesNow] = whereOf(selection, sinceAt);
    const worked = this.#database.prepare(`SELECT count(*) AS count FROM tls_session WHERE ${whereNow}`);
    return {
      clusters: clusters.slice(0, MOST_CLUSTERS).map((cluster): FoundCluster => {
        const found = cluster.peers.flatMap((peer) => this.#lastWorked(peer, cluster.direction, cluster.beganAt) ?? []);
        const [lastWorked] = found.sort((one, other) => other.at - one.at);
        const [newest] = cluster.newest;
        const like = newest === undefined ? undefined : this.#workingLike(this.#failure(newest));
        return { ...cluster, lastWorked, counterpart: like?.row.id ?? lastWorked?.id };
      }),
      omitted: Math.max(0, clusters.length - MOST_CLUSTERS),
      workedCount: Number(worked.get(...valuesNow)?.["count"] ?? 0),
      isCut,
    };
  }

  #lastWorked(of: Pick<FailureRow, "peer" | "address">, direction: "in" | "out", beforeAt: number) {
    const [same, values] = sameParty({ ...of, direction });
    const row = this.#database
      .prepare(
        `SELECT id, at, peer FROM tls_session WHERE ${same} AND direction = ? AND id < ? ORDER BY id DESC LIMIT 1`,
      )
      .get(...values, direction, beforeAt * 1024);
    return row === undefined ? undefined : { id: Number(row["id"]), at: Number(row["at"]), peer: String(row["peer"]) };
  }

  #show(which: string): ShownAnswer {
    const record = this.#find(which);
    if (record === undefined) return {};
    const { at, session } = record.row;
    const last = (what: string): readonly ChangeRow[] =>
      this.#database
        .prepare("SELECT at, what, text FROM change WHERE what = ? AND at <= ? ORDER BY id DESC LIMIT 1")
        .all(what, at)
        .map(changeOf);
    const inForce = [...last("start"), ...last("reload")].sort((one, other) => one.at - other.at);
    return { shown: { record, events: this.#eventsOf(session, at), inForce } };
  }

  #compare(failed: string, worked: string | undefined): CompareAnswer {
    const one = this.#find(failed, worked === undefined ? "failure" : undefined);
    const other = worked === undefined ? this.#workingLike(one) : this.#find(worked);
    if (one === undefined || other === undefined) return { failed: one, worked: other, between: [] };
    const [from, to] = one.row.at < other.row.at ? [one.row.at, other.row.at] : [other.row.at, one.row.at];
    return { failed: one, worked: other, between: this.#changes(from, to) };
  }

  /**
   * The newest working session of the same peer and direction: of the same listener or relay before others, which have other
   * settings; of the same client software before others (behind one address there may be many); one with a flight before others.
   */
  #workingLike(failure: TlsRecord | undefined): TlsRecord | undefined {
    if (failure === undefined) return undefined;
    const { direction, place } = failure.row;
    const ja4 = failure.kind === "failure" ? failure.row.ja4 : failure.row.facts.clientFingerprint;
    const [same, values] = sameParty(failure.row);
    const row = this.#database
      .prepare(
        `SELECT id FROM (SELECT id, place, ja4 FROM tls_session WHERE ${same} AND direction = ? AND id <> ? ORDER BY id DESC LIMIT ?)
         ORDER BY place = ? DESC, coalesce(ja4, '') = ? DESC, id IN (SELECT id FROM tls_flight WHERE is_failure = 0) DESC, id DESC
         LIMIT 1`,
      )
      .get(...values, direction, failure.row.id, MOST_ROWS, place, ja4 ?? "");
    return row === undefined ? undefined : this.#session(Number(row["id"]));
  }

  #closes(selection: Selection): TlsAnswers["closes"] {
    const [where, values] = whereOf(selection, selection.sinceAt);
    const rows = this.#database
      .prepare(
        `SELECT direction, address, max(peer) AS peer, closed_peer AS ending, closed_moment AS moment, count(*) AS count,
         max(closed_at) AS last_at FROM tls_session WHERE ${where} AND closed_at IS NOT NULL
         GROUP BY direction, address, CASE direction WHEN 'out' THEN peer END, closed_peer, closed_moment ORDER BY count DESC LIMIT ?`,
      )
      .all(...values, MOST_CLOSE_COUNTS + 1);
    const counts = rows.slice(0, MOST_CLOSE_COUNTS).map((row) => ({
      direction: directionOf(row),
      address: String(row["address"]),
      peer: String(row["peer"]),
      // The thread wrote what TLS told.
      ending: String(row["ending"]) as Closing["peer"],
      moment: String(row["moment"]) as Moment,
      count: Number(row["count"]),
      lastAt: Number(row["last_at"]),
    }));
    return { counts, isCut: rows.length > counts.length };
  }

  #plaintext(selection: Selection): readonly PlaintextRow[] {
    const conditions = ["last_at >= ?"];
    const values: (string | number)[] = [selection.sinceAt];
    addSelection(selection, conditions, values);
    return this.#database
      .prepare(`SELECT * FROM tls_plaintext WHERE ${conditions.join(" AND ")} ORDER BY last_at DESC LIMIT ?`)
      .all(...values, MOST_PLAINTEXT_ROWS)
      .map((row) => ({
        direction: directionOf(row),
        peer: String(row["peer"]),
        address: String(row["address"]),
        place: String(row["place"]),
        rule: String(row["rule"]),
        firstAt: Number(row["first_at"]),
        lastAt: Number(row["last_at"]),
        mails: Number(row["mails"]),
      }));
  }

  /** The newest of each kind, worked and failed, and what went without encryption. */
  #last(names: readonly string[]): TlsAnswers["last"] {
    const records = new Map<number, TlsRecord>();
    const plaintext = new Map<string, PlaintextRow>();
    for (const name of names) {
      for (const [which, values] of [["place = ?", [name]], peerIs(name)] as const) {
        const where = `direction = 'out' AND ${which}`;
        for (const kind of ["session", "failure"] as const) {
          const record = this.#newest(where, values, kind);
          if (record !== undefined) records.set(record.row.id, record);
        }
      }
      const found = [{ place: name }, { peer: name }].flatMap((one) =>
        this.#plaintext({ sinceAt: 0, direction: "out", ...one }),
      );
      for (const row of found) plaintext.set(JSON.stringify([row.address, row.place, row.rule]), row);
    }
    return {
      records: [...records.values()].sort((one, other) => other.row.id - one.row.id).slice(0, MOST_LAST),
      plaintext: [...plaintext.values()].sort((one, other) => other.lastAt - one.lastAt).slice(0, MOST_LAST),
    };
  }

  #changes(fromAt: number, toAt: number): readonly ChangeRow[] {
    return this.#database
      .prepare("SELECT at, what, text FROM change WHERE at >= ? AND at <= ? ORDER BY id")
      .all(fromAt, Math.min(toAt, Number.MAX_SAFE_INTEGER))
      .map(changeOf);
  }

  #find(which: string, kind?: TlsRecord["kind"]): TlsRecord | undefined {
    const id = parseTlsId(which);
    const byId = id === undefined ? undefined : (this.#failure(id) ?? this.#session(id));
    return byId ?? this.#newest("session = ?", [which], kind) ?? this.#newestOf(which, undefined, kind);
  }

  #newestOf(peer: string, direction?: "in" | "out", kind?: TlsRecord["kind"]): TlsRecord | undefined {
    const conditions: string[] = [];
    const values: (string | number)[] = [];
    addSelection({ peer, direction }, conditions, values);
    return this.#newest(conditions.join(" AND "), values, kind);
  }

  #newest(where: string, values: readonly (string | number)[], kind?: TlsRecord["kind"]): TlsRecord | undefined {
    const newest = (table: string): number | undefined => {
      const id = this.#database
        .prepare(`SELECT id FROM ${table} WHERE ${where} ORDER BY id DESC LIMIT 1`)
        .get(...values)?.["id"];
      return id === undefined ? undefined : Number(id);
    };
    const failure = kind === "session" ? undefined : newest("tls_failure");
    const session = kind === "failure" ? undefined : newest("tls_session");
    if (failure !== undefined && failure > (session ?? 0)) return this.#failure(failure);
    return session === undefined ? undefined : this.#session(session);
  }

  #failure(id: number): TlsRecord | undefined {
    const row = this.#database.prepare("SELECT * FROM tls_failure WHERE id = ?").get(id);
    return row === undefined ? undefined : { kind: "failure", row: failureOf(row), flight: this.#flight(id) };
  }

  #session(id: number): TlsRecord | undefined {
    const row = this.#database.prepare("SELECT * FROM tls_session WHERE id = ?").get(id);
    return row === undefined ? undefined : { kind: "session", row: sessionOf(row), flight: this.#flight(id) };
  }

  #flight(id: number): Flight | undefined {
    const text = this.#database.prepare("SELECT flight FROM tls_flight WHERE id = ?").get(id)?.["flight"];
    // The journal's thread wrote it.
    return typeof text === "string" ? (JSON.parse(text) as Flight) : undefined;
  }
}

/** Clients are told apart by their address; of a host each port is a server of its own. */
function sameParty({ direction, address, peer }: Pick<FailureRow, "direction" | "address" | "peer">) {
  // With the address in any case: there is an index for it.
  return direction === "out" || address === ""
    ? (["address = ? AND peer = ?", [address, peer]] as const)
    : (["address = ?", [address]] as const);
}

function whereOf(selection: Selection, sinceAt: number): readonly [string, readonly (string | number)[]] {
  const conditions = ["id >= ?"];
  const values: (string | number)[] = [Math.max(0, sinceAt) * 1024];
  addSelection(selection, conditions, values);
  return [conditions.join(" AND "), values];
}

function addSelection(
  { direction, peer, place }: Partial<Selection>,
  conditions: string[],
  values: (string | number)[],
): void {
  if (direction !== undefined) {
    conditions.push("direction = ?");
    values.push(direction);
  }
  if (peer !== undefined) {
    const [is, parts] = peerIs(peer);
    conditions.push(is);
    values.push(...parts);
  }
  if (place !== undefined) {
    conditions.push("place = ?");
    values.push(place);
  }
}

function sessionOf(row: Row): SessionRow {
  const closedAt = row["closed_at"];
  return {
    ...commonOf(row),
    // The journal's thread wrote it.
    facts: JSON.parse(String(row["facts"])) as TlsFacts,
    closed:
      closedAt === null
        ? undefined
        : {
            at: Number(closedAt),
            closing: {
              peer: String(row["closed_peer"]) as Closing["peer"],
              we: String(row["closed_we"]) as Closing["we"],
              because: textOf(row["closed_because"]),
            },
            moment: String(row["closed_moment"]) as Moment,
            after: String(row["closed_after"]),
          },
  };
}

function failureOf(row: Row): FailureRow {
  const nextAt = row["next_at"];
  return {
    ...commonOf(row),
    ja4: textOf(row["ja4"]),
    serverName: textOf(row["server_name"]),
    certificate: textOf(row["certificate"]),
    wasUp: Number(row["was_up"]) === 1,
    finding: JSON.parse(String(row["finding"])) as TlsFinding,
    next:
      nextAt === null
        ? undefined
        : {
            at: Number(nextAt),
            session: String(row["next_session"]),
            how: String(row["next_how"]) as "tls" | "plaintext" | "failed",
            after: textOf(row["next_after"]),
            mails: Number(row["next_mails"]),
          },
  };
}

function commonOf(row: Row) {
  return {
    id: Number(row["id"]),
    at: Number(row["at"]),
    session: String(row["session"]),
    direction: directionOf(row),
    peer: String(row["peer"]),
    address: String(row["address"]),
    place: String(row["place"]),
    rule: textOf(row["rule"]),
  };
}

function changeOf(row: Row): ChangeRow {
  return { at: Number(row["at"]), what: String(row["what"]), text: String(row["text"]) };
}

function directionOf(row: Row): "in" | "out" {
  return row["direction"] === "out" ? "out" : "in";
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
