/**
 * Whether an account is there must not show: not in the words of a refusal, not in how long it takes, and not in when guessing
 * begins to be refused.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hashPassword } from "../../src/service/account/hash-password.io.ts";
import { startServer, type TestServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";

const ROUNDS = 12;

interface Guess {
  readonly reply: string;
  readonly tookMs: number;
}

async function guess(server: TestServer, user: string, password = "wrong password"): Promise<Guess> {
  const client = await smtpConnect(server.ports.submission, 60_000);
  await client.reply();
  await client.say("EHLO guesser.test");
  const since = performance.now();
  const reply = await client.say(`AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString("base64")}`);
  const tookMs = performance.now() - since;
  client.close();
  return { reply, tookMs };
}

const settings = (hash: string, throttle: string): string => `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: single }
listeners:
  - { name: smtp, address: 127.0.0.1, port: {smtp} }
  - { name: submission, address: 127.0.0.1, port: {submission}, protocol: submission, auth-without-tls: loopback }
accounts: { backends: [{ table: "table:people" }], throttle: { ${throttle} } }
tables: { people: { map: { ann: "${hash}" } } }
`;

const middle = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

test(
  "a wrong password takes as long as a name that nobody has, and is answered alike",
  { timeout: 240_000 },
  async (t) => {
    const hash = await hashPassword("the right one");
    await using server = await startServer({
      wholeSettings: settings(hash, "delay: 0s, free-failures: 1000, address-failures: 0, account-failures: 0"),
      readyWithinMs: 120_000,
    });
    await guess(server, "ann");
    await guess(server, "nobody");
    const took = { known: [] as number[], unknown: [] as number[] };
    const replies = new Set<string>();
    // By turns, so that whatever else the machine does slows both.
    for (let at = 0; at < ROUNDS; at++) {
      const known = await guess(server, "ann");
      const unknown = await guess(server, `nobody${at}`);
      took.known.push(known.tookMs);
      took.unknown.push(unknown.tookMs);
      replies.add(known.reply).add(unknown.reply);
    }
    assert.deepEqual(
      [...replies].map((reply) => reply.slice(0, 4)),
      ["535 "],
    );
    const [known, unknown] = [middle(took.known), middle(took.unknown)];
    t.diagnostic(`known ${known.toFixed(1)} ms, unknown ${unknown.toFixed(1)} ms`);
    // Without the levelling an unknown name is answered in a millisecond or two, and the hash takes some fifty.
    assert.ok(Math.min(known, unknown) > 0.5 * Math.max(known, unknown), `known ${known} ms, unknown ${unknown} ms`);
  },
);

test(
  "guessing is blocked at the same count and in the same words, whether the account is there or not",
  { timeout: 240_000 },
  async () => {
    const hash = await hashPassword("the right one");
    await using server = await startServer({
      wholeSettings: settings(hash, "delay: 0s, free-failures: 1000, address-failures: 0, account-failures: 4"),
      readyWithinMs: 120_000,
    });
    const heard: string[][] = [];
    for (const user of ["ann", "nobody"]) {
      const replies: string[] = [];
      // The same password again would be a program that knows no other.
      for (let at = 0; at < 6; at++) replies.push((await guess(server, user, `wrong ${at}`)).reply);
      heard.push(replies);
    }
    assert.deepEqual(heard[0], heard[1]);
    // And it is blocked by then: not even the right password is heard.
    assert.doesNotMatch((await guess(server, "ann", "the right one")).reply, /^235/);
  },
);
