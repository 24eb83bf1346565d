import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { TlsReason } from "../../service/tls/finding/finding.ts";
import type { ClientHelloFacts, Flight } from "../../service/tls/flight/flight.ts";
import { toldText, type TlsPeer, type TlsTold } from "../../service/tls/told.ts";
import { tlsFacts, tlsFinding } from "../../testing/tls-facts.ts";
import { batchOf, eventLine, type JournalThreadSettings } from "./journal.ts";
import { JournalQuery } from "./journal-query.io.ts";
import { openJournalReader } from "./journal-reader.io.ts";
import { JournalDatabase } from "./journal-worker.io.ts";
import type { EventRecord, Fields } from "./record.ts";
import { summarizeCloses } from "./tls-closes.ts";
import { MOST_FAILED_FLIGHTS_PER_PEER, parseTlsId, tlsIdText } from "./tls-journal.ts";

const NIGHT = Date.UTC(2026, 10, 21, 3);
const MINUTE = 60_000;
const from = { role: "server", pid: 4711, startedAt: NIGHT - 90 * MINUTE };
const ADDRESS = "192.0.2.7";
const peer: TlsPeer = { direction: "in", name: `mail.example[${ADDRESS}]`, address: ADDRESS, place: "smtp" };

/** A journal under a clock of its own: what is told is written at once, as one batch. */
class World {
  readonly #folder = mkdtempSync(join(tmpdir(), "posthorn-tls-journal-"));
  readonly path = join(this.#folder, "journal.db");
  readonly #settings: JournalThreadSettings = {
    path: this.path,
    retentionMs: 24 * 60 * MINUTE,
    mostBytes: 64 * 1024 * 1024,
    inputRetentionMs: MINUTE,
    mostInputBytes: 1024,
  };
  database = new JournalDatabase(this.#settings);
  at = NIGHT;
  #sessions = 0;

  say(name: string, fields: Fields): void {
    const record: EventRecord = { at: this.at, name, level: "info", from, fields };
    this.database.write(batchOf([from], [eventLine(0, record)]));
  }

  tell(name: string, session: string, told: TlsTold): void {
    this.say(name, { session, details: toldText(told) });
  }

  /** A connection by STARTTLS whose handshake fails. */
  fail(reason: TlsReason = "certificate-unknown-authority", flight?: Flight): string {
    const session = this.connect();
    this.tell("session.tls-failed", session, {
      told: "failed",
      peer,
      wasUp: false,
      ownCertificate: "ab12",
      finding: {
        reason,
        role: "server",
        fault: "peer",
        sentence: "S.",
        cure: "C.",
        afterMs: 12,
        ja4: flight?.hello?.ja4,
        flight,
      },
    });
    this.say("connection.disconnected", { session, commands: "ehlo=1 starttls=1 commands=2" });
    return session;
  }

  connect(): string {
    this.#sessions += 1;
    const session = `smtp-${this.#sessions}`;
    this.say("connection.connected", { session, address: ADDRESS, client: peer.name });
    return session;
  }

  up(session: string, certificate = "ab12", flight?: Flight, clientFingerprint?: string): void {
    const ownCertificate = { fingerprint: certificate, keyKind: "ec", notAfterAt: NIGHT + 1e10 };
    this.tell("session.tls", session, {
      told: "up",
      peer,
      facts: tlsFacts({ ownCertificate, clientFingerprint }),
      flight,
    });
  }

  ask(): JournalQuery & Disposable {
    const query = new JournalQuery(this.path);
    return Object.assign(query, { [Symbol.dispose]: () => query.close() });
  }

  reopen(): void {
    this.database.close();
    this.database = new JournalDatabase(this.#settings);
  }

  [Symbol.dispose](): void {
    this.database.close();
    rmSync(this.#folder, { recursive: true });
  }
}

function flightOf(startedAt: number): Flight {
  return {
    role: "server",
    startedAt,
    events: [{ atMs: 0, direction: "in", what: "ClientHello", bytes: 300 }],
    omitted: 0,
    bytes: { in: 300, out: 7 },
    wire: [],
  };
}

test("a failure is found by its cluster, with what changed just then and the client's return in plaintext", () => {
  using world = new World();
  world.at = NIGHT - 60 * MINUTE;
  world.say("server.started", { version: "0.9", settings: "/etc/posthorn.yaml" });
  const good = world.connect();
  world.up(good);
  world.at = NIGHT - MINUTE;
  world.say("server.reloaded", { by: "root", settings: "/etc/posthorn.yaml", changed: ["certificates.0.key"] });
  world.at = NIGHT;
  world.fail();
  world.at = NIGHT + 3000;
  const back = world.connect();
  world.say("session.lost", { session: back, after: "MAIL" });
  world.say("connection.disconnected", { session: back, commands: "ehlo=1 mail=1 commands=2" });

  using journal = world.ask();
  const { clusters, workedCount } = journal.tls({ ask: "failures", sinceAt: NIGHT - 10 * MINUTE });
  assert.equal(clusters.length, 1);
  const [cluster] = clusters;
  assert.equal(cluster?.reason, "certificate-unknown-authority");
  assert.equal(cluster?.certificate, "ab12");
  assert.deepEqual(
    cluster?.justThen.map(({ text }) => text),
    ["settings reloaded by root; changed: certificates.0.key"],
  );
  assert.deepEqual(cluster?.next, {
    tls: 0,
    withMail: 0,
    plaintext: 1,
    leftAfter: { MAIL: 1 },
    failedAgain: 0,
    none: 0,
  });
  assert.equal(cluster?.lastWorked?.at, NIGHT - 60 * MINUTE);
  assert.equal(workedCount, 0, "the working session is older than what was asked for");
  assert.deepEqual(journal.tls({ ask: "failures", sinceAt: NIGHT, direction: "out" }).clusters, []);
  assert.equal(journal.tls({ ask: "failures", sinceAt: NIGHT, peer: "mail.example" }).clusters.length, 1);
  assert.deepEqual(journal.tls({ ask: "failures", sinceAt: NIGHT, peer: "example" }).clusters, []);
});

test("a record is shown by its id, its session or its peer, with the log's lines and what was in force", () => {
  using world = new World();
  world.say("server.started", { version: "0.9", settings: "built in" });
  const session = world.connect();
  world.up(session, "ab12", flightOf(NIGHT));
  world.at += 500;
  world.tell("session.tls-closed", session, {
    told: "ended",
    closing: { peer: "truncated", we: "close_notify+fin" },
    moment: "over",
    after: "QUIT",
  });
  using journal = world.ask();
  const { shown } = journal.tls({ ask: "show", which: session });
  assert.equal(shown?.record.kind, "session");
  assert.deepEqual(shown?.record.kind === "session" && shown.record.row.closed, {
    at: NIGHT + 500,
    closing: { peer: "truncated", we: "close_notify+fin", because: undefined },
    moment: "over",
    after: "QUIT",
  });
  assert.equal(shown?.record.flight?.events[0]?.what, "ClientHello");
  assert.deepEqual(
    shown?.events.map(({ record }) => record.name),
    ["connection.connected", "session.tls", "session.tls-closed"],
  );
  assert.ok(
    shown?.events.every(({ record }) => record.fields["details"] === undefined),
    "details are the journal's own",
  );
  assert.equal(shown?.inForce[0]?.what, "start");
  const id = tlsIdText(shown?.record.row.id ?? 0);
  assert.equal(journal.tls({ ask: "show", which: id }).shown?.record.row.id, parseTlsId(id));
  assert.equal(journal.tls({ ask: "show", which: ADDRESS }).shown?.record.row.id, parseTlsId(id));
  assert.equal(journal.tls({ ask: "show", which: "nobody" }).shown, undefined);
});

test("with a peer alone, its last failure is compared with its last working session that has a flight", () => {
  using world = new World();
  const recorded = world.connect();
  world.up(recorded, "ab12", flightOf(NIGHT));
  world.at += 1000;
  const bare = world.connect();
  world.up(bare);
  world.at += 1000;
  world.say("server.reloaded", { by: "root", changed: [] });
  world.at += 1000;
  world.fail("no-shared-cipher", flightOf(NIGHT));
  world.at += 1000;
  const later = world.connect();
  world.up(later);
  using journal = world.ask();
  const { failed, worked, between } = journal.tls({ ask: "compare", failed: ADDRESS });
  assert.equal(failed?.kind === "failure" && failed.row.finding.reason, "no-shared-cipher");
  assert.equal(worked?.row.session, recorded);
  assert.deepEqual(
    between.map(({ what }) => what),
    ["reload"],
  );
  const two = journal.tls({ ask: "compare", failed: failed?.row.session ?? "", worked: later });
  assert.equal(two.worked?.row.session, later);
});

test("behind one address, a failure is compared with a session of the same client software where there is one", () => {
  using world = new World();
  const hello: ClientHelloFacts = {
    versions: ["TLSv1.2"],
    ciphers: [],
    groups: [],
    keyShares: [],
    signatures: [],
    extensions: [],
    alpn: [],
    offersResumption: false,
    ja4: "t12-old",
  };
  const old = world.connect();
  world.up(old, "ab12", undefined, "t12-old");
  world.at += 1000;
  world.up(world.connect(), "ab12", flightOf(NIGHT), "t13-other");
  world.at += 1000;
  world.fail("version-mismatch", { ...flightOf(NIGHT), hello });
  using journal = world.ask();
  assert.equal(journal.tls({ ask: "compare", failed: ADDRESS }).worked?.row.session, old);
});

test("a failure is compared with a session of the same listener where there is one, and the answer names it", () => {
  using world = new World();
  const here = world.connect();
  world.up(here);
  world.at += 1000;
  const elsewhere = world.connect();
  world.tell("session.tls", elsewhere, {
    told: "up",
    peer: { ...peer, place: "submissions" },
    facts: tlsFacts({}),
    flight: flightOf(NIGHT),
  });
  world.at += 1000;
  world.fail("version-mismatch", flightOf(NIGHT));
  using journal = world.ask();
  const { worked } = journal.tls({ ask: "compare", failed: ADDRESS });
  assert.equal(worked?.row.session, here);
  const [cluster] = journal.tls({ ask: "failures", sinceAt: NIGHT }).clusters;
  assert.equal(cluster?.counterpart, worked?.row.id);
});

test("endings are counted by peer, direction and moment; who went without encryption is kept with its rule", () => {
  using world = new World();
  for (const ending of ["close_notify", "close_notify", "truncated"] as const) {
    const session = world.connect();
    world.up(session);
    world.tell("session.tls-closed", session, {
      told: "ended",
      closing: { peer: ending, we: "close_notify+fin" },
      moment: "over",
      after: "QUIT",
    });
  }
  for (const minute of [0, 5]) {
    world.at = NIGHT + minute * MINUTE;
    world.tell("session.kept", "smtp-9", { told: "plain", peer, mails: 1, rule: "the client did not ask" });
  }
  using journal = world.ask();
  const { counts } = journal.tls({ ask: "closes", sinceAt: NIGHT });
  assert.deepEqual(
    counts.map(({ ending, count, direction, address }) => [ending, count, direction, address]),
    [
      ["close_notify", 2, "in", ADDRESS],
      ["truncated", 1, "in", ADDRESS],
    ],
  );
  assert.deepEqual(journal.tls({ ask: "plaintext", sinceAt: NIGHT }).rows, [
    {
      direction: "in",
      peer: peer.name,
      address: ADDRESS,
      place: "smtp",
      rule: "the client did not ask",
      firstAt: NIGHT,
      lastAt: NIGHT + 5 * MINUTE,
      mails: 2,
    },
  ]);
  assert.deepEqual(journal.tls({ ask: "plaintext", sinceAt: NIGHT + 6 * MINUTE }).rows, []);
});

/** What the peers of each cluster did next. */
function nextOf(journal: JournalQuery): readonly object[] {
  const { clusters } = journal.tls({ ask: "failures", sinceAt: NIGHT });
  return clusters.map(({ next: { tls, plaintext, failedAgain, none } }) => ({ tls, plaintext, failedAgain, none }));
}

test("more ends of connections than are counted are not kept from whoever asks", () => {
  using world = new World();
  const session = world.connect();
  world.tell("session.tls", session, { told: "up", peer, facts: tlsFacts({ role: "server" }) });
  const closing = { peer: "close_notify", we: "close_notify+fin" } as const;
  world.tell("session.tls-closed", session, { told: "ended", closing, moment: "over", after: "QUIT" });
  const others = (count: number): void => {
    const database = new DatabaseSync(world.path);
    const columns = database
      .prepare("SELECT name FROM pragma_table_info('tls_session')")
      .all()
      .map(({ name }) => String(name));
    const values = columns.map((name) => (name === "id" ? "id + n" : name === "address" ? "'a' || n" : name));
    database.exec(
      `WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${count})
       INSERT OR IGNORE INTO tls_session (${columns.join()}) SELECT ${values.join()} FROM tls_session, numbers WHERE address = '${ADDRESS}'`,
    );
    database.close();
  };
  const asked = (): readonly [number, boolean] => {
    using journal = world.ask();
    const { counts, isCut } = journal.tls({ ask: "closes", sinceAt: NIGHT });
    return [counts.length, isCut];
  };
  others(4999);
  assert.deepEqual(asked(), [5000, false]);
  others(5000);
  assert.deepEqual(asked(), [5000, true]);
});

test("of a host each port is a server of its own, and a peer is named as the log names it or by its parts", () => {
  using world = new World();
  const host = (port: number): TlsPeer => ({ ...peer, direction: "out", name: `${peer.name}:${port}`, place: "relay" });
  for (const [port, ending] of [
    [25, "close_notify"],
    [2525, "truncated"],
  ] as const) {
    const session = `out-${port}`;
    world.tell("delivery.tls", session, { told: "up", peer: host(port), facts: tlsFacts({ role: "client" }) });
    const closing = { peer: ending, we: "close_notify+fin" } as const;
    world.tell("delivery.tls-closed", session, { told: "ended", closing, moment: "over", after: "QUIT" });
    world.at += 1000;
  }
  const finding = tlsFinding({ role: "client" });
  world.tell("delivery.tls-failed", "out-3", { told: "failed", peer: host(25), wasUp: false, finding });
  world.tell("delivery.tls", "out-4", { told: "up", peer: host(465), facts: tlsFacts({ role: "client" }) });
  using journal = world.ask();
  const shown = (which: string): string | undefined => journal.tls({ ask: "show", which }).shown?.record.row.peer;
  for (const which of [`${peer.name}:2525`, `${ADDRESS}:2525`, `[${ADDRESS}]:2525`, "mail.example:2525"])
    assert.equal(shown(which), `${peer.name}:2525`, which);
  assert.equal(shown(`[${ADDRESS}]`), `${peer.name}:465`);
  assert.equal(shown(`${ADDRESS}:5`), undefined, "a port is not the end of another");
  assert.equal(shown("mail.example:587"), undefined);
  const { counts } = journal.tls({ ask: "closes", sinceAt: NIGHT });
  assert.deepEqual(
    summarizeCloses(counts).peers.map((one) => [one.peer, one.clean, one.unclean]),
    [
      [`${peer.name}:2525`, 0, 1],
      [`${peer.name}:25`, 1, 0],
    ],
  );
  assert.equal(journal.tls({ ask: "compare", failed: `${ADDRESS}:25` }).worked?.row.peer, `${peer.name}:25`);
  assert.deepEqual(nextOf(journal), [{ tls: 0, plaintext: 0, failedAgain: 0, none: 1 }]);
  const { records } = journal.tls({ ask: "last", peers: [`${ADDRESS}:2525`] });
  assert.deepEqual(
    records.map(({ row }) => row.peer),
    [`${peer.name}:2525`],
  );
});

test("a failure after the handshake is not counted among those whose peer did not come back", () => {
  using world = new World();
  const session = world.connect();
  world.up(session);
  world.tell("session.tls-trouble", session, { told: "failed", peer, wasUp: true, finding: tlsFinding() });
  using journal = world.ask();
  assert.equal(journal.tls({ ask: "failures", sinceAt: NIGHT }).clusters[0]?.next.none, 0);
});

test("a certificate that takes another one's place is a change; the first one, and one seen before, are none", () => {
  using world = new World();
  for (const [minute, certificate] of [
    [0, "ab12"],
    [1, "cd34"],
    [2, "ab12"],
  ] as const) {
    world.at = NIGHT + minute * MINUTE;
    world.up(world.connect(), certificate);
  }
  world.reopen();
  world.up(world.connect(), "cd34");
  world.at = NIGHT + 3 * MINUTE;
  world.fail();
  using journal = world.ask();
  const [cluster] = journal.tls({ ask: "failures", sinceAt: NIGHT }).clusters;
  assert.deepEqual(cluster?.justThen, [
    { at: NIGHT + MINUTE, what: "certificate", text: "smtp began to show the certificate cd34" },
  ]);
});

test("flights of one peer are kept within a bound, the newest; all rows go with their age", () => {
  using world = new World();
  for (let count = 0; count < MOST_FAILED_FLIGHTS_PER_PEER + 5; count++) {
    world.at = NIGHT + count * 1000;
    world.fail("stalled", flightOf(world.at));
  }
  {
    using journal = world.ask();
    const { rows } = journal.sql("SELECT count(*), min(id) / 1024 FROM tls_flight");
    assert.deepEqual(rows, [[MOST_FAILED_FLIGHTS_PER_PEER, NIGHT + 5000]]);
  }
  world.at = NIGHT + 3 * 24 * 60 * MINUTE;
  world.say("server.reloaded", { by: "root" });
  while (world.database.tidy(world.at));
  using journal = world.ask();
  assert.deepEqual(journal.sql("SELECT (SELECT count(*) FROM tls_failure), (SELECT count(*) FROM tls_flight)").rows, [
    [0, 0],
  ]);
});

test("the thread that reads for a running server answers the same", async () => {
  using world = new World();
  world.fail();
  await using reader = openJournalReader(world.path);
  const { clusters } = await reader.tls({ ask: "failures", sinceAt: NIGHT });
  assert.equal(clusters[0]?.count, 1);
  assert.equal((await reader.story({ by: "session", session: "smtp-1" })).length, 3);
});
