/**
 * Queues as earlier versions left them: how one is made, kept in a few kilobytes (`test/vectors/spool-*`, by
 * `tools/keep-spool.ts`) and put before a server again. Every mail says in its header which it is and what its body hashes
 * to, so that who gets it can tell whether it is whole.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chownSync, globSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as wait } from "node:timers/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import { startScriptedHost } from "./scripted-host.ts";
import { startServer, type Layout, type TestServer } from "./server.ts";
import { startSink } from "./sink.ts";
import { smtpConnect } from "./smtp-client.ts";

interface OldMail {
  /** What stands in MAIL and RCPT, parameters included. */
  readonly from: string;
  readonly to: readonly string[];
  readonly bytes: number;
}

const MAILS: readonly OldMail[] = [
  { from: "<ann@origin.test>", to: ["<ann@localhost>"], bytes: 300 },
  {
    from: "<ann@origin.test> RET=HDRS ENVID=first+2Bone",
    to: ["<far@far.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;far@older.test"],
    bytes: 2000,
  },
  {
    from: "<bob@origin.test>",
    to: ["<ann@localhost>", "<joe@localhost>", "<far@far.test>", "<off@far.test>"],
    bytes: 900,
  },
  // Too large for the database: a file.
  { from: "<bob@origin.test>", to: ["<joe@localhost>", "<far@far.test>"], bytes: 50_000 },
  { from: "<>", to: ["<joe@localhost>"], bytes: 100 },
  { from: "<bob@origin.test> BODY=8BITMIME", to: ["<ann@localhost>"], bytes: 400 },
  { from: "<j\u00e4n@origin.test> BODY=8BITMIME SMTPUTF8", to: ["<ann@localhost>"], bytes: 400 },
  { from: "<hold@origin.test>", to: ["<far@far.test>", "<ann@localhost>"], bytes: 200 },
  { from: "<bob@origin.test>", to: ["<far@suspended.test>"], bytes: 200 },
];
const USERS = ["ann", "joe"];
/** The uid of `nobody`, whom the harness gives workers as their user. */
const NOBODY = 65_534;

/** What is in a kept queue. */
export interface KeptSpool {
  /** Of the database. */
  readonly format: number;
  readonly commit: string;
  /** `recipient mail`, of every delivery that is owed. */
  readonly owed: readonly string[];
  /** Whether mail to suspended.test is suspended; versions of old knew no such thing. */
  readonly suspends: boolean;
}

const settings = (box: string, port: number): string => `local: { domains: [localhost] }
actions:
  box: { ${box} }
  out: { relay: { to: "smtp://127.0.0.1:${port}" } }
rules:
  - { match: { for: local }, action: box }
  - { match: { for: [far.test, suspended.test] }, action: out }
`;

/** Fills the queue of the server of `tree` with mail that cannot be delivered yet, and keeps what is in it then. */
export async function makeSpool(tree: string, commit: string, into: string): Promise<KeptSpool> {
  await using host = await startScriptedHost({
    answer: (line) => (/^RCPT/i.test(line) ? "451 4.3.0 not today" : undefined),
  });
  // A file stands where the mailboxes' folder is to be.
  await using server = await startServer({
    tree,
    settings: settings('deliver: maildir, path: "./blocked/{user}/Maildir"', host.port),
  });
  const state = join(server.folder, "data");
  for (const place of [server.folder, state]) writeFileSync(join(place, "blocked"), "");
  const suspends =
    (await server.posthorn("suspend", "domain", "suspended.test", "--because", "their migration")).status === 0;
  const owed: string[] = [];
  for (const [number, mail] of MAILS.entries()) {
    if (mail.to.some((to) => to.includes("suspended")) && !suspends) continue;
    await send(server.ports.smtp, number, mail);
    owed.push(...mail.to.map((to) => `${/<(.*)>/.exec(to)?.[1]} ${number}`));
  }
  const file = join(state, "queue", "queue.db");
  const waiting = `SELECT count(*) AS n FROM envelopes WHERE attempts = 0 AND state <> 'held' AND domain <> 'suspended.test'`;
  for (const untilAt = Date.now() + 60_000; count(file, waiting) > 0; await wait(100))
    assert.ok(Date.now() < untilAt, `not everything was tried:\n${server.output()}`);
  const held = await server.posthorn("queue", "hold", "--sender", "hold@origin.test", "--because", "being looked at");
  assert.equal(held.status, 0, held.stderr);
  assert.equal(await server.stop(), 0);
  const kept = { format: count(file, "SELECT user_version AS n FROM pragma_user_version"), commit, owed, suspends };
  assert.equal(count(file, "SELECT count(*) AS n FROM envelopes"), owed.length, server.output());
  const small = join(server.folder, "small.db");
  const database = new DatabaseSync(file);
  database.exec("PRAGMA journal_mode = DELETE");
  database.exec(`VACUUM INTO '${small}'`);
  database.close();
  pack(small, join(into, "queue", "queue.db.gz"));
  for (const name of globSync("bodies/*/*", { cwd: join(state, "queue") }))
    pack(join(state, "queue", name), join(into, "queue", `${name}.gz`));
  writeFileSync(join(into, "spool.json"), `${JSON.stringify(kept, undefined, 2)}\n`);
  return kept;
}

function pack(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  writeFileSync(to, gzipSync(readFileSync(from), { level: 9 }));
}

/** Starts the present server (or that of `tree`) on a kept queue, and sees that each delivery that is owed comes once and whole. */
export async function deliverSpool(kept: string, folder: string, layout: Layout, tree?: string): Promise<void> {
  const { owed, suspends } = unpack(kept, folder);
  await using sink = await startSink();
  const common = { layout, folder, settings: settings("deliver: maildir", sink.port) };
  await using server = await startServer(tree === undefined ? common : { ...common, tree });
  const run = async (...words: string[]): Promise<void> => {
    const { status, stdout, stderr } = await server.posthorn(...words);
    assert.equal(status, 0, `posthorn ${words.join(" ")}: ${stdout}${stderr}`);
  };
  await run("queue", "retry", "--all");
  // What was held and suspended is still; the rest comes.
  const isKeptBack = (one: string): boolean => /suspended\.test|localhost 7$|far\.test 7$/.test(one);
  const arrived = (): readonly string[] => arrivals(server, sink.taken);
  await untilThere(
    server,
    arrived,
    owed.filter((one) => !isKeptBack(one)),
  );
  assert.deepEqual(arrived().filter(isKeptBack), [], "nothing is let go by itself");
  await run("queue", "release", "--all");
  if (suspends) await run("unsuspend", "domain", "suspended.test");
  await untilThere(server, arrived, owed);
  const file = join(folder, "data", "queue", "queue.db");
  const left = "SELECT count(*) AS n FROM envelopes";
  for (const untilAt = Date.now() + 60_000; count(file, left) > 0 && Date.now() < untilAt;) await wait(50);
  assert.equal(await server.stop(), 0);
  assert.equal(count(file, left), 0, "the queue is empty");
  assert.deepEqual([...arrived()].sort(), [...owed].sort(), "each once");
}

function unpack(kept: string, folder: string): KeptSpool {
  const state = join(folder, "data");
  for (const name of globSync("queue/**/*.gz", { cwd: kept })) {
    const to = join(state, name.replace(/\.gz$/, ""));
    mkdirSync(dirname(to), { recursive: true });
    writeFileSync(to, gunzipSync(readFileSync(join(kept, name))));
  }
  // As if the old server had been stopped a moment ago: mail that waited for years would go back, not on.
  const database = new DatabaseSync(join(state, "queue", "queue.db"));
  const newestAt = Number(database.prepare("SELECT max(received_at) AS at FROM messages").get()?.["at"]);
  const later = Date.now() - newestAt;
  database.exec(`UPDATE messages SET received_at = received_at + ${later};
    UPDATE envelopes SET due_at = due_at + ${later}, expires_at = expires_at + ${later};
    UPDATE attempts SET started_at = started_at + ${later}`);
  database.close();
  // The workers of a split server are somebody else.
  if (process.getuid?.() === 0)
    for (const path of ["", ...globSync("**", { cwd: state })]) chownSync(join(state, path), NOBODY, NOBODY);
  // Our own writing.
  return JSON.parse(readFileSync(join(kept, "spool.json"), "utf8")) as KeptSpool;
}

async function send(port: number, number: number, { from, to, bytes }: OldMail): Promise<void> {
  const client = await smtpConnect(port);
  await client.reply();
  await client.say("EHLO client.test");
  const say = async (line: string, expected: RegExp): Promise<void> => {
    // The client writes strings as UTF-8.
    assert.match(await client.say(line), expected, line);
  };
  await say(`MAIL FROM:${from}`, /^250/);
  for (const recipient of to) await say(`RCPT TO:${recipient}`, /^250/);
  await say("DATA", /^354/);
  const is8bit = from.includes("8BITMIME");
  const lines: string[] = [];
  for (let at = 0; at < bytes; at += 60)
    lines.push(`${is8bit ? "h\u00f6rt" : "line"} ${at} of mail ${number} ${"x".repeat(40)}`);
  const head = [
    `Subject: old mail ${number}`,
    `X-Mail: ${number} ${hashOf(lines.join("\n"))}`,
    "From: <ann@origin.test>",
  ];
  client.send(`${[...head, "", ...lines].join("\r\n")}\r\n.\r\n`);
  assert.match(await client.reply(), /^250/);
  client.close();
}

function arrivals(server: TestServer, taken: readonly { recipient: string; content: string }[]): readonly string[] {
  const all: string[] = taken.map(({ recipient, content }) => `${recipient} ${numberOf(content)}`);
  for (const user of USERS)
    for (const content of server.mailsOf(user)) all.push(`${user}@localhost ${numberOf(content)}`);
  return all;
}

/** Of a mail that is whole. */
function numberOf(content: string): string {
  const text = content.replaceAll("\r\n", "\n");
  const [, number = "none", hash] = /^X-Mail: (\d+) (\S+)$/m.exec(text) ?? [];
  // Both were read as latin1.
  const body = Buffer.from(text.slice(text.indexOf("\n\n") + 2).trimEnd(), "latin1").toString("utf8");
  return hash === hashOf(body) ? number : `${number} (not whole)`;
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}

async function untilThere(
  server: TestServer,
  arrived: () => readonly string[],
  owed: readonly string[],
): Promise<void> {
  for (const untilAt = Date.now() + 90_000; ; await wait(100)) {
    const there = new Set(arrived());
    const missing = owed.filter((one) => !there.has(one));
    if (missing.length === 0) return;
    assert.ok(Date.now() < untilAt, `missing: ${missing.join(", ")}\n${server.output().slice(-6000)}`);
  }
}

function count(file: string, sql: string): number {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    return Number(database.prepare(sql).get()?.["n"]);
  } finally {
    database.close();
  }
}

/** Names and sizes of a kept queue's files, for whoever has just made one. */
export function describeSpool(kept: string): string {
  return globSync("**/*.{gz,json}", { cwd: kept })
    .map((name) => `${relative(".", join(kept, name))} ${statSync(join(kept, name)).size}`)
    .join("\n");
}
