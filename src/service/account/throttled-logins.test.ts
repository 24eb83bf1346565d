import assert from "node:assert/strict";
import { createHmac, pbkdf2Sync } from "node:crypto";
import { test } from "node:test";
import type { SaslAnswer } from "../../protocol/sasl/question.ts";
import { SCRAM_HASHES } from "../../protocol/sasl/scram.ts";
import { makeClient } from "../../protocol/sasl/make-client.ts";
import { saslServer, type SaslStep } from "../../protocol/sasl/server.ts";
import { virtualClock, type VirtualClock } from "../../simulator/clock.ts";
import { onePerson } from "../../testing/one-person.ts";
import { SCRAM_ITERATIONS, type Authenticator } from "./authenticator.ts";
import { throttledLogins, type ThrottledLogins } from "./throttled-logins.ts";
import { throttleSettings } from "./throttle-settings.ts";

const FROM = { address: "192.0.2.7" };
const SECRET = Buffer.alloc(32, 7);

function logins(
  settings: Record<string, unknown> = {},
  authenticator = onePerson("pencil"),
): { clock: VirtualClock; made: ThrottledLogins } {
  const clock = virtualClock(1_800_000_000_000);
  const throttle = throttleSettings.parse(settings);
  return { clock, made: throttledLogins({ clock, authenticator, throttle, secret: SECRET }) };
}

/** A whole exchange of our client with our server; gives what ended it. */
async function exchange(
  made: ThrottledLogins,
  mechanism: "SCRAM-SHA-256" | "SCRAM-SHA-1" | "CRAM-MD5" | "PLAIN",
  user: string,
  password: string,
): Promise<SaslStep> {
  const server = saslServer(mechanism, {
    nonce: () => "server",
    hostname: "mx.test",
    binding: () => undefined,
    offersBinding: false,
  });
  assert.ok(server);
  const client = makeClient(mechanism, { user, password }, () => ({
    nonce: "client",
    derive: async (text, salt, iterations, hash) =>
      pbkdf2Sync(text, salt, iterations, SCRAM_HASHES[hash].bytes, SCRAM_HASHES[hash].digest),
  }));
  let step = server.start(client.initial);
  for (;;) {
    if (step.kind === "ask") step = server.told(await made.answer(step.question, FROM));
    else if (step.kind === "challenge") {
      const response = await client.respond(step.bytes);
      assert.ok(response.ok);
      step = server.next(response.value);
    } else {
      if (step.kind === "done") assert.ok(client.isTrusted);
      return step;
    }
  }
}

test("every mechanism lets in who knows the password, and nobody else", async () => {
  for (const mechanism of ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN"] as const) {
    const { made } = logins({ delay: "0s" });
    assert.deepEqual(await exchange(made, mechanism, "Ann", "pencil"), { kind: "done", account: "ann" }, mechanism);
    assert.equal((await exchange(made, mechanism, "ann", "Pencil")).kind, "denied", mechanism);
    assert.equal((await exchange(made, mechanism, "bob", "pencil")).kind, "denied", mechanism);
  }
});

test("tokens are the backend's to judge, for the user or for whoever they name", async () => {
  const { made } = logins();
  const ask = (user: string, token: string) => made.answer({ kind: "token", user, token }, FROM);
  assert.deepEqual(await ask("ann", "good"), { kind: "right", account: "ann" });
  assert.deepEqual(await ask("", "good"), { kind: "right", account: "ann" });
  assert.equal((await ask("bob", "good")).kind, "wrong");
});

test("a user who does not exist has a salt like any other, the same each time and after a restart", async () => {
  const salt = async (made: ThrottledLogins, user: string, hash: "SHA-1" | "SHA-256" = "SHA-256") => {
    const answer = await made.answer({ kind: "scram-salt", user, hash }, FROM);
    assert.ok(answer.kind === "salt");
    assert.equal(Buffer.from(answer.salt, "base64").length, 16);
    assert.equal(answer.iterations, SCRAM_ITERATIONS);
    return answer.salt;
  };
  const first = logins().made;
  const bob = await salt(first, "bob");
  assert.equal(await salt(first, "BOB"), bob);
  assert.equal(await salt(logins().made, "bob"), bob);
  assert.notEqual(await salt(first, "eve"), bob);
  assert.notEqual(await salt(first, "bob", "SHA-1"), bob);
  await salt(first, "ann");
});

test("a mechanism that no backend can serve is a wrong password to the client, with the reason for the log", async () => {
  const bare: Authenticator = { checkPassword: async () => ({ kind: "wrong" }) };
  const { made } = logins({ delay: "0s" }, bare);
  const challenge = "<1@mx.test>";
  const digest = createHmac("md5", "").update(challenge).digest("hex");
  const answers: SaslAnswer[] = [
    await made.answer({ kind: "digest", user: "ann", challenge, digest }, FROM),
    await made.answer({ kind: "token", user: "ann", token: "good" }, FROM),
    await made.answer({ kind: "scram-proof", user: "ann", hash: "SHA-1", authMessage: "x", proof: "AAAA" }, FROM),
  ];
  for (const answer of answers) {
    assert.ok(answer.kind === "wrong");
    assert.match(answer.because ?? "", /no backend/);
  }
});

test("answers become slow after a few failures, and one who is slow makes nobody else wait", async () => {
  const { made, clock } = logins();
  const wrong = (user: string) => made.answer({ kind: "password", user, password: user }, FROM);
  await wrong("a");
  await wrong("b");
  let isAnswered = false;
  const slow = wrong("c").then(() => (isAnswered = true));
  await clock.advance(999);
  assert.equal(isAnswered, false);
  const other = await made.answer({ kind: "password", user: "ann", password: "pencil" }, { address: "192.0.2.8" });
  assert.equal(other.kind, "right");
  await clock.advance(1);
  await slow;
  assert.equal(isAnswered, true);
});

test("only so many slow answers wait at a time; others are told to come again", async () => {
  const { made, clock } = logins({ waiting: 2, freeFailures: 0 });
  const ask = () => made.answer({ kind: "password", user: "ann", password: "x" }, FROM);
  await ask();
  const waiting = [ask(), ask()];
  const third = await ask();
  assert.equal(third.kind, "failed");
  await clock.advance(60_000);
  for (const one of await Promise.all(waiting)) assert.equal(one.kind, "wrong");
});

test("who waits for a slow answer when a block begins is not heard either", async () => {
  const { made, clock } = logins({ addressFailures: 0, accountFailures: 4, freeFailures: 2, delay: "1s" });
  const guess = (n: number) =>
    made.answer({ kind: "password", user: "ann", password: `guess ${n}` }, { address: `192.0.2.${n}` });
  await guess(1);
  await guess(2);
  const together = Array.from({ length: 20 }, (_, at) => guess(10 + at));
  await clock.advance(600_000);
  const kinds = (await Promise.all(together)).map(({ kind }) => kind);
  assert.deepEqual(
    kinds.filter((kind) => kind === "wrong").length,
    2,
    "as many guesses as one after the other would have had",
  );
  assert.equal(kinds.filter((kind) => kind === "blocked").length, 18);
});

test("an account is counted as one, however its name is written", async () => {
  const { made } = logins({ addressFailures: 0, accountFailures: 4, delay: "0s" });
  for (const [at, user] of ["ann.", "a\u00adnn", "\uff41nn", " ANN "].entries())
    await made.answer({ kind: "password", user, password: `guess ${at}` }, { address: `192.0.2.${at + 1}` });
  const answer = await made.answer({ kind: "password", user: "ann", password: "pencil" }, { address: "192.0.2.9" });
  assert.equal(answer.kind, "blocked");
  assert.deepEqual(await made.clear("Ann"), { cleared: 1 });
});

test("a login name with a blank at an end, or beside its @, is wrong; no backend hears it", async () => {
  const ann = onePerson("pencil");
  const { made } = logins(
    { freeFailures: 1000, accountFailures: 0, addressFailures: 0 },
    {
      checkPassword: (user, password) => ann.checkPassword(user.replace(/\s|@.*/g, ""), password),
      scramKeys: () => Promise.reject(new Error("asked")),
      plainPassword: () => Promise.reject(new Error("asked")),
    },
  );
  for (const user of [
    "ann ",
    " ann",
    "ann\t",
    "ann\u00a0",
    "ann @example.org",
    "ann@ example.org",
    "ann@example.org ",
  ]) {
    for (const mechanism of ["PLAIN", "SCRAM-SHA-256", "CRAM-MD5"] as const) {
      const step = await exchange(made, mechanism, user, "pencil");
      assert.ok(step.kind === "denied" && step.answer.kind === "wrong", `${mechanism} ${JSON.stringify(user)}`);
    }
  }
  const refused = await made.answer({ kind: "password", user: "ann ", password: "pencil" }, FROM);
  assert.deepEqual(refused, { kind: "wrong", because: "a blank at an end of the login name" });
  assert.equal((await exchange(made, "PLAIN", "ann@example.org", "pencil")).kind, "done");
});

test("a block is told with the answer that began it; while it lasts not even the right password is looked at", async () => {
  const { made, clock } = logins({ addressFailures: 2, delay: "0s" });
  const ask = (password: string, address = FROM.address) =>
    made.answer({ kind: "password", user: "ann", password }, { address });
  assert.deepEqual(await ask("x"), { kind: "wrong" });
  const began = await ask("y");
  assert.ok(began.kind === "wrong");
  assert.deepEqual(
    began.began?.map(({ what, key, failures }) => [what, key, failures]),
    [["address", "192.0.2.7", 2]],
  );
  assert.equal((await ask("pencil")).kind, "blocked");
  assert.equal((await made.answer({ kind: "scram-salt", user: "ann", hash: "SHA-256" }, FROM)).kind, "blocked");
  assert.equal((await ask("pencil", "192.0.2.8")).kind, "right");
  const [shown] = await made.shown();
  assert.equal(shown?.key, "192.0.2.7");
  assert.deepEqual(await made.clear("192.0.2.7"), { cleared: 1 });
  assert.equal((await ask("pencil")).kind, "right");
  await clock.advance(0);
});

test("a backend's failure counts against nobody, and what it throws is one", async () => {
  const { made } = logins({ addressFailures: 1 });
  for (let at = 0; at < 5; at++)
    assert.deepEqual(await made.answer({ kind: "password", user: "throw", password: "x" }, FROM), {
      kind: "failed",
      text: "out of order",
    });
  assert.deepEqual(await made.shown(), []);
});

test("a reload gives another authenticator and keeps what was counted", async () => {
  const { made } = logins({ addressFailures: 2, delay: "0s" });
  await made.answer({ kind: "password", user: "ann", password: "x" }, FROM);
  made.reconfigure(
    { checkPassword: async () => ({ kind: "wrong" }) },
    throttleSettings.parse({ addressFailures: 2, delay: "0s" }),
  );
  await made.answer({ kind: "password", user: "ann", password: "pencil" }, FROM);
  assert.equal((await made.shown())[0]?.state, "blocked");
});
