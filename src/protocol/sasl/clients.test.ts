import { test } from "node:test";
import assert from "node:assert/strict";
import { pbkdf2Sync } from "node:crypto";
import * as fc from "fast-check";
import { chooseMechanism, type SaslClient } from "./client.ts";
import { makeClient } from "./make-client.ts";
import { scramClient, type ScramMeans } from "./scram-client.ts";
import { SCRAM_HASHES } from "./scram.ts";

const credentials = { user: "user", password: "pencil" };

function means(nonce: string): ScramMeans {
  return {
    nonce,
    derive: async (password, salt, iterations, hash) =>
      pbkdf2Sync(password, salt, iterations, SCRAM_HASHES[hash].bytes, SCRAM_HASHES[hash].digest),
  };
}

async function answer(client: SaslClient, challenge: string): Promise<string> {
  const response = await client.respond(Buffer.from(challenge));
  assert.ok(response.ok, JSON.stringify(response));
  return response.value.toString("utf8");
}

async function refusal(client: SaslClient, challenge: string): Promise<string> {
  const response = await client.respond(Buffer.from(challenge));
  assert.ok(!response.ok);
  return response.problem.expected;
}

// RFC 7677 section 3.
const NONCE = "rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL =
  "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

test("SCRAM-SHA-256 runs the exchange of RFC 7677 section 3", async () => {
  const client = scramClient("SCRAM-SHA-256", credentials, means(NONCE));
  assert.equal(client.initial?.toString(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  assert.equal(await answer(client, SERVER_FIRST), CLIENT_FINAL);
  assert.equal(client.isTrusted, false);
  assert.equal(await answer(client, SERVER_FINAL), "");
  assert.equal(client.isTrusted, true);
  await refusal(client, SERVER_FINAL);
});

test("SCRAM-SHA-1 runs the exchange of RFC 5802 section 5", async () => {
  const client = makeClient("SCRAM-SHA-1", credentials, () => means("fyko+d2lbbFgONRv9qkxdawL"));
  assert.equal(client.initial?.toString(), "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
  const nonce = "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j";
  assert.equal(
    await answer(client, `r=${nonce},s=QSXCR+Q6sek8bf92,i=4096`),
    `c=biws,r=${nonce},p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=`,
  );
  await answer(client, "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=");
  assert.equal(client.isTrusted, true);
});

test("with -PLUS the binding is named and repeated; without, a server that hides it is told", async () => {
  const binding = { kind: "tls-exporter", value: Buffer.from("bound") };
  const client = makeClient("SCRAM-SHA-256-PLUS", credentials, () => ({ ...means(NONCE), binding }));
  assert.equal(client.initial?.toString(), `p=tls-exporter,,n=user,r=${NONCE}`);
  const final = await answer(client, SERVER_FIRST);
  assert.equal(Buffer.from(final.split(",")[0]?.slice(2) ?? "", "base64").toString(), "p=tls-exporter,,bound");
  const unbound = makeClient("SCRAM-SHA-256", credentials, () => ({ ...means(NONCE), couldBind: true }));
  assert.equal(unbound.initial?.toString(), `y,,n=user,r=${NONCE}`);
  assert.match(await answer(unbound, SERVER_FIRST), /^c=eSws,/);
});

test("a server that does not know the password is not trusted", async () => {
  const client = scramClient("SCRAM-SHA-256", credentials, means(NONCE));
  await answer(client, SERVER_FIRST);
  assert.equal(await refusal(client, "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), "the right server signature");
  assert.equal(client.isTrusted, false);
  // Not even when it comes up with the right one afterwards.
  await refusal(client, SERVER_FINAL);
  assert.equal(client.isTrusted, false);
});

test("a server's first message that weakens the exchange ends it", async () => {
  const cases = [
    "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    `r=${NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
    `r=${NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1`,
    `r=${NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=999999999`,
    `r=${NONCE}x,s=,i=4096`,
    `m=ext,r=${NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
    `r=${NONCE}x,s=*,i=4096`,
    "e=other-error",
    "",
    "r=".padEnd(5000, "x"),
  ];
  for (const challenge of cases) {
    const client = scramClient("SCRAM-SHA-256", credentials, means(NONCE));
    await refusal(client, challenge);
    assert.equal(client.isTrusted, false);
    await refusal(client, SERVER_FIRST);
  }
});

test("SCRAM user names escape what the protocol uses itself, and spaces of all kinds are one", () => {
  const client = scramClient("SCRAM-SHA-256", { user: "a,b=c\u00a0d", password: "x" }, means("n"));
  assert.equal(client.initial?.toString(), "n,,n=a=2Cb=3Dc d,r=n");
});

test("CRAM-MD5 answers the challenge of RFC 2195 section 2", async () => {
  const client = makeClient("CRAM-MD5", { user: "tim", password: "tanstaaftanstaaf" }, () => means("n"));
  assert.equal(client.initial, undefined);
  assert.equal(
    await answer(client, "<1896.697170952@postoffice.reston.mci.net>"),
    "tim b913a602c7eda7a495b4e6e7334d3890",
  );
  await refusal(client, "<again>");
});

test("PLAIN speaks first, or when asked; LOGIN answers two prompts, whatever they say", async () => {
  const plain = makeClient("PLAIN", { user: "ü", password: "p w" }, () => means("n"));
  assert.equal(plain.initial?.toString(), "\0ü\0p w");
  assert.equal(await answer(plain, ""), "\0ü\0p w");
  await refusal(plain, "?");
  const login = makeClient("LOGIN", credentials, () => means("n"));
  assert.equal(await answer(login, "User Name\0"), "user");
  assert.equal(await answer(login, ""), "pencil");
  await refusal(login, "");
});

test("the mechanism that gives away least is chosen among those offered and allowed", () => {
  assert.equal(chooseMechanism(["login", "PLAIN", "scram-sha-256"]), "SCRAM-SHA-256");
  assert.equal(chooseMechanism(["LOGIN", "PLAIN"]), "PLAIN");
  assert.equal(chooseMechanism(["LOGIN", "PLAIN", "CRAM-MD5"], ["LOGIN"]), "LOGIN");
  assert.equal(chooseMechanism(["GSSAPI", "XOAUTH2"]), undefined);
});

test("property: no challenge makes a client throw or trust", async () => {
  const hostile = fc.oneof(
    fc.array(fc.constantFrom("r=", NONCE, ",", "s=", "AAAA", "i=", "4096", "v=", "e=", "\xff", "\0"), {
      maxLength: 10,
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(hostile, { maxLength: 4 }), async (challenges) => {
      const client = scramClient("SCRAM-SHA-256", credentials, {
        ...means(NONCE),
        derive: async () => Buffer.alloc(32),
      });
      for (const challenge of challenges) await client.respond(Buffer.from(challenge.join(""), "latin1"));
      assert.equal(client.isTrusted, false);
    }),
    { numRuns: 300 },
  );
});
