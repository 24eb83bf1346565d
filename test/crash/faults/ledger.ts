import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { maildir, type Account } from "../server-load.ts";
import { REFUSED } from "./neighbours.ts";

/** What became of each delivery of a life, and what of it must not be. */
export interface Ledger {
  /** Deliveries that a client asked for to the end of the content. */
  readonly sent: number;
  /** Answered 250. */
  readonly acknowledged: number;
  /** Of the acknowledged: arrived, told to have failed, still in the queue. */
  readonly delivered: number;
  readonly bounced: number;
  readonly held: number;
  /** Taken again by the next host. */
  readonly duplicates: number;
  /** Breaches, in words; empty when all is well. */
  readonly faults: readonly string[];
}

/** A time in which a process or the queue's disk was down, by `performance.now()`. */
export interface Window {
  readonly fault: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** An outcome is durable within this after the next host took the mail, on a slow machine under load. */
const OUTCOME_WITHIN_MS = 15_000;
/** Recipients of one mail at the next host, and connections to it (`route.limits.route`). */
const MOST_IN_FLIGHT = 2 * 5;

export function makeLedger(options: {
  account: Account;
  folder: string;
  windows: readonly Window[];
  /** How often a process ended, or the queue's disk failed it: each may repeat what was in flight. */
  interruptions: number;
}): Ledger {
  const { account, folder, windows } = options;
  const { counts, broken } = account.delivered(folder);
  const bounces = bouncesIn(folder);
  const rows = queued(folder);
  const faults: string[] = [];
  const say = (what: string, keys: readonly string[]): void => {
    if (keys.length > 0) faults.push(`${keys.length} ${what}: ${keys.slice(0, 5).join(", ")}`);
  };
  const isRefused = (key: string): boolean => key.startsWith(`${REFUSED} `);
  const acknowledged = [...account.promised];
  const lost = acknowledged.filter((key) => !counts.has(key) && !bounces.has(key));
  say("answered 250 and neither there nor returned", lost);
  say(
    "returned, though they could be delivered",
    [...bounces.keys()].filter((key) => !isRefused(key)),
  );
  say("returned more than once", keysAbove(bounces, 1));
  say("arrived with another content than was sent", broken);
  say(
    "delivered into a mailbox twice",
    keysAbove(counts, 1).filter((key) => !key.includes("@far.test")),
  );
  if (rows > 0) faults.push(`${rows} envelopes are left in the queue`);

  let duplicates = 0;
  for (const [key, times] of account.takenTwice())
    for (let index = 1; index < times.length; index++) {
      duplicates++;
      const [first = 0, second = 0] = times.slice(index - 1, index + 1).map(({ atMs }) => atMs);
      if (!windows.some((window) => explains(window, first, second)))
        faults.push(
          `${key} was taken twice by the next host, at ${Math.round(first)} and ${Math.round(second)} ms, and nothing was down between`,
        );
    }
  if (duplicates > MOST_IN_FLIGHT * 2 * options.interruptions)
    faults.push(`${duplicates} duplicates for ${options.interruptions} interruptions are more than was in flight`);
  return {
    sent: account.promised.size + account.unknown.size,
    acknowledged: acknowledged.length,
    delivered: acknowledged.filter((key) => counts.has(key)).length,
    bounced: acknowledged.filter((key) => !counts.has(key) && bounces.has(key)).length,
    held: rows,
    duplicates,
    faults,
  };
}

/** What went down did so after the first time (or moments before it was over), and before the second. */
function explains({ fromMs, untilMs }: Window, firstMs: number, secondMs: number): boolean {
  return fromMs - OUTCOME_WITHIN_MS < firstMs && firstMs < untilMs + 500 && fromMs < secondMs;
}

function keysAbove(counts: ReadonlyMap<string, number>, most: number): readonly string[] {
  return [...counts].filter(([, count]) => count > most).map(([key]) => key);
}

/** `recipient subject` of all that the sender was told has failed, with how often. */
function bouncesIn(folder: string): ReadonlyMap<string, number> {
  const bounces = new Map<string, number>();
  for (const content of maildir(folder, "sender")) {
    const recipient = /^Final-Recipient: rfc822; ?(\S+?)\r?$/im.exec(content)?.[1] ?? "nobody";
    const subject = /^Subject: (m\d+)\r?$/m.exec(content)?.[1] ?? "no subject";
    const key = `${recipient} ${subject}`;
    bounces.set(key, (bounces.get(key) ?? 0) + 1);
  }
  return bounces;
}

/** Envelopes in the queue, of whatever state. */
export function queued(folder: string): number {
  return Number(ask(folder, "SELECT count(*) AS answer FROM envelopes") ?? -1);
}

/** Undefined when the queue's database is sound. */
export function unsoundness(folder: string): string | undefined {
  const verdict = ask(folder, "SELECT integrity_check AS answer FROM pragma_integrity_check");
  return verdict === "ok" ? undefined : `the queue's database: ${String(verdict)}`;
}

function ask(folder: string, question: string): unknown {
  const file = join(folder, "data", "queue", "queue.db");
  if (!existsSync(file)) return undefined;
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    return database.prepare(question).get()?.["answer"];
  } finally {
    database.close();
  }
}

/** Of the promised, what can be seen nowhere yet. */
export function waitedFor(account: Account, folder: string): number {
  const { counts } = account.delivered(folder);
  const bounces = bouncesIn(folder);
  return [...account.promised].filter((key) => !counts.has(key) && !bounces.has(key)).length;
}
