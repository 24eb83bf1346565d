import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { Random } from "../../src/foundation/random.ts";
import { smtpConnect, type TestClient } from "../smtp-client.ts";
import { startSink, type Sink, type SinkManner, type Taken } from "../sink.ts";

/**
 * Mail for a server that is killed again and again: several clients that send without a pause, and the account of what
 * they were told. Each mail has a subject of its own and says in its header what its body hashes to, so that a mailbox
 * alone tells whether it arrived, how often, and whole.
 *
 * Recipients are of three kinds: `@localhost` goes into Maildirs, `@box.test` into one mbox, `@far.test` through a relay
 * action to a next host.
 */
export interface Account extends AsyncDisposable {
  /** Recipient and subject of all that was answered 250. */
  readonly promised: ReadonlySet<string>;
  /** The answer was lost or was a refusal after the end of data; it may arrive or not. */
  readonly unknown: ReadonlySet<string>;
  /** First digits and enhanced status of what was not accepted, with how often. */
  readonly refusals: ReadonlyMap<string, number>;
  readonly sink: Sink;
  /** No more mail; resolves when the last client has gone. */
  stop(): Promise<void>;
  /** Every delivery that can be seen now: `recipient subject` to how often, and those that are not whole. */
  delivered(folder: string): { readonly counts: ReadonlyMap<string, number>; readonly broken: readonly string[] };
  /** When the next host took each, for those that it took more than once. */
  takenTwice(): ReadonlyMap<string, readonly Taking[]>;
}

/** By `performance.now()`: when the next host read MAIL, and when it said that it has the mail. */
export type Taking = Pick<Taken, "begunAtMs" | "atMs">;

/** Whom a mail is sent to, and where it is looked for then: an alias' mail is somebody else's. */
export interface Addressed {
  readonly to: string;
  readonly arrivesAt: string;
}

const MAILDIR_USERS = ["ada", "bob", "cid"];
const LARGEST_BYTES = 183_000;

export function loadSettings(sinkPort: number): string {
  return `local: { domains: [localhost, box.test] }
actions:
  box: { deliver: mbox }
  out: { relay: { to: "smtp://127.0.0.1:${sinkPort}" } }
rules:
  - { match: { for: box.test }, action: box }
  - { match: { for: far.test }, action: out }
  - { match: { for: local }, action: deliver }
scheduler:
  retry:
    internal: 1s
    relay: { by: list, waits: [1s] }
    local: { by: list, waits: [1s] }
route: { penaltyStep: 1s, longestRest: 1s }
`;
}

export async function startLoad(options: {
  port: number;
  clients: number;
  random: Random;
  /** Between two mails of one client. */
  pauseMs: number;
  sender?: string;
  recipients?: (random: Random) => readonly Addressed[];
  largestBytes?: number;
  manner?: SinkManner;
}): Promise<Account> {
  const promised = new Set<string>();
  const unknown = new Set<string>();
  const refusals = new Map<string, number>();
  const takings = new Map<string, Taking[]>();
  const broken: string[] = [];
  const sender = options.sender ?? "sender@example.org";
  const addressed =
    options.recipients ??
    ((random: Random): readonly Addressed[] => recipientsOf(random).map((to) => ({ to, arrivesAt: to })));
  const sink = await startSink({
    keeps: false,
    ...(options.manner === undefined ? {} : { manner: options.manner }),
    onTaken: ({ recipient, content, begunAtMs, atMs }) => {
      const key = `${recipient} ${subjectOf(content)}`;
      takings.set(key, [...(takings.get(key) ?? []), { begunAtMs, atMs }]);
      if (!isWhole(content)) broken.push(key);
    },
  });
  const { random } = options;
  const stopping = new AbortController();
  let made = 0;

  const sendOne = async (client: TestClient): Promise<void> => {
    const subject = `m${made++}`;
    const recipients = addressed(random);
    const lines = [`MAIL FROM:<${sender}>`, ...recipients.map(({ to }) => `RCPT TO:<${to}>`), "DATA"];
    for (const line of lines) {
      const reply = await client.say(line);
      if (!/^[23]/.test(reply)) {
        note(refusals, reply);
        await client.say("RSET");
        await wait(100);
        return;
      }
    }
    const keys = recipients.map(({ arrivesAt }) => `${arrivesAt} ${subject}`);
    for (const key of keys) unknown.add(key);
    client.send(`${contentOf(subject, random, options.largestBytes ?? LARGEST_BYTES)}\r\n.\r\n`);
    const reply = await client.reply();
    if (!reply.startsWith("250 ")) {
      note(refusals, reply);
      return;
    }
    for (const key of keys) {
      unknown.delete(key);
      promised.add(key);
    }
  };
  const client = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      let connection: TestClient | undefined;
      try {
        connection = await smtpConnect(options.port);
        const greeting = await connection.reply();
        if (!greeting.startsWith("220")) note(refusals, greeting);
        await connection.say("EHLO load.test");
        for (let mails = 0; mails < 20 && !stopping.signal.aborted; mails++) {
          await sendOne(connection);
          await wait(options.pauseMs * random.next() * 2);
        }
        await connection.say("QUIT");
      } catch {
        // The server was killed. It comes back.
        await wait(30);
      } finally {
        connection?.close();
      }
    }
  };
  const clients = Array.from({ length: options.clients }, client);

  return {
    promised,
    unknown,
    refusals,
    sink,
    async stop() {
      stopping.abort();
      await Promise.all(clients);
    },
    delivered(folder) {
      const counts = new Map<string, number>();
      const found = [...broken];
      const take = (recipient: string, content: string): void => {
        const key = `${recipient} ${subjectOf(content)}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
        if (!isWhole(content)) found.push(key);
      };
      for (const user of MAILDIR_USERS) for (const content of maildir(folder, user)) take(`${user}@localhost`, content);
      for (const content of mbox(folder)) take("box@box.test", content);
      for (const [key, times] of takings) counts.set(key, times.length);
      return { counts, broken: found };
    },
    takenTwice: () => new Map([...takings].filter(([, times]) => times.length > 1)),
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await sink[Symbol.asyncDispose]();
    },
  };
}

/** What of the promised has not arrived. */
function missingOf(account: Account, folder: string): readonly string[] {
  const { counts } = account.delivered(folder);
  return [...account.promised].filter((key) => !counts.has(key));
}

/** Waits until all that was promised has arrived; resolves with what has not at the deadline. */
export async function waitForPromised(account: Account, folder: string, withinMs: number): Promise<readonly string[]> {
  const untilAt = Date.now() + withinMs;
  for (;;) {
    const missing = missingOf(account, folder);
    if (missing.length === 0 || Date.now() > untilAt) return missing;
    await wait(250);
  }
}

function recipientsOf(random: Random): readonly string[] {
  const draw = random.next();
  const user = MAILDIR_USERS[Math.floor(random.next() * MAILDIR_USERS.length)] ?? "ada";
  if (draw < 0.35) return [`${user}@localhost`];
  if (draw < 0.45) return ["box@box.test"];
  if (draw < 0.7) return ["one@far.test"];
  if (draw < 0.85) return ["one@far.test", "two@far.test"];
  return [`${user}@localhost`, "box@box.test", "one@far.test"];
}

/** Most are small; one in six has a body file. */
function contentOf(subject: string, random: Random, largestBytes: number): string {
  const bytes = random.next() < 0.83 ? 200 + random.next() * 3000 : 33_000 + random.next() * (largestBytes - 33_000);
  const lines: string[] = [];
  for (let at = 0, line = 0; at < bytes; line++) {
    const text = `${subject} line ${line} ${"x".repeat(Math.floor(random.next() * 70))}`;
    lines.push(text);
    at += text.length + 2;
  }
  return [`Subject: ${subject}`, `X-Body: ${hashOf(lines)}`, "", ...lines].join("\r\n");
}

function hashOf(lines: readonly string[]): string {
  return createHash("sha256").update(lines.join("\n")).digest("hex");
}

function isWhole(content: string): boolean {
  const text = content.replaceAll("\r\n", "\n");
  const bodyAt = text.indexOf("\n\n");
  const body = text.slice(bodyAt + 2).replace(/\n+$/, "");
  return bodyAt > 0 && /^X-Body: ([0-9a-f]{64})$/m.exec(text.slice(0, bodyAt))?.[1] === hashOf(body.split("\n"));
}

function subjectOf(content: string): string {
  return /^Subject: (m\d+)\r?$/m.exec(content)?.[1] ?? `no subject in ${JSON.stringify(content.slice(0, 300))}`;
}

/** The mails in a user's Maildir, as text. */
export function* maildir(folder: string, user: string): Iterable<string> {
  for (const part of ["new", "cur"]) {
    const place = join(folder, "data", "mail", user, "Maildir", part);
    if (!existsSync(place)) continue;
    for (const name of readdirSync(place)) yield readFileSync(join(place, name), "latin1");
  }
}

function mbox(folder: string): readonly string[] {
  const file = join(folder, "data", "mail", "box", "mbox");
  if (!existsSync(file) || statSync(file).size === 0) return [];
  // No line of our bodies begins with "From ".
  return readFileSync(file, "latin1")
    .split(/^From [^\n]*\n/m)
    .slice(1);
}

function note(counts: Map<string, number>, reply: string): void {
  const key = /^\d{3}[ -](?:\d\.\d+\.\d+)?/.exec(reply)?.[0] ?? reply.slice(0, 20);
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
