import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { makeClient } from "./make-client.ts";
import { SASL_MECHANISMS } from "./question.ts";
import { decodeResponse, saslServer, type SaslServer, type SaslStep, type ServerMeans } from "./server.ts";

const MEANS: ServerMeans = {
  nonce: () => "1896.697170952",
  hostname: "postoffice.reston.mci.net",
  binding: () => undefined,
  offersBinding: false,
};

function server(mechanism: string): SaslServer {
  const found = saslServer(mechanism, MEANS);
  assert.ok(found);
  return found;
}

function asks(user: string, password: string): SaslStep {
  return { kind: "ask", question: { kind: "password", user, password } };
}

test("PLAIN takes credentials with the command or after an empty challenge", () => {
  const message = Buffer.from("\0tim\0tanstaaf");
  const credentials = asks("tim", "tanstaaf");
  assert.deepEqual(server("plain").start(message), credentials);
  const late = server("PLAIN");
  assert.deepEqual(late.start(undefined), { kind: "challenge", bytes: Buffer.alloc(0) });
  assert.deepEqual(late.next(message), credentials);
  assert.deepEqual(server("PLAIN").start(Buffer.from("tim\0tim\0tanstaaf")), credentials);
});

test("PLAIN refuses to act for another user, and what has not its three parts", () => {
  for (const text of [
    "root\0tim\0x",
    "tim\0x",
    "\0\0x",
    "\0tim\0",
    "",
    "\0a\0b\0c",
    "\0\xff\0x",
    `\0${"u".repeat(4000)}\0x`,
  ])
    assert.equal(server("PLAIN").start(Buffer.from(text, "latin1")).kind, "refused", JSON.stringify(text.slice(0, 20)));
});

test("LOGIN asks for the user, then for the password; the user may come with the command", () => {
  const asked = server("LOGIN");
  const first = asked.start(undefined);
  assert.ok(first.kind === "challenge");
  assert.equal(first.bytes.toString(), "Username:");
  const second = asked.next(Buffer.from("tim"));
  assert.ok(second.kind === "challenge");
  assert.equal(second.bytes.toString(), "Password:");
  assert.deepEqual(asked.next(Buffer.from("x y")), asks("tim", "x y"));

  const early = server("LOGIN");
  assert.equal(early.start(Buffer.from("tim")).kind, "challenge");
  assert.deepEqual(early.next(Buffer.from("x")), asks("tim", "x"));
  assert.equal(server("LOGIN").start(Buffer.from("")).kind, "refused");
});

test("our clients and servers understand each other", async () => {
  for (const mechanism of ["PLAIN", "LOGIN"] as const)
    for (const isEarly of [true, false]) {
      const one = server(mechanism);
      const other = makeClient(mechanism, { user: "tim", password: "pä ss" }, () => assert.fail());
      let step = one.start(isEarly ? other.initial : undefined);
      for (let turns = 0; step.kind === "challenge" && turns < 5; turns++) {
        const response = await other.respond(step.bytes);
        assert.ok(response.ok);
        step = one.next(response.value);
      }
      assert.deepEqual(step, asks("tim", "pä ss"));
    }
});

test("EXTERNAL takes the identity wanted, or none, with the command or after an empty challenge", async () => {
  assert.deepEqual(server("external").start(Buffer.alloc(0)), { kind: "external", authorization: "" });
  assert.deepEqual(server("EXTERNAL").start(Buffer.from("jörg@example.org")), {
    kind: "external",
    authorization: "jörg@example.org",
  });
  const late = server("EXTERNAL");
  assert.deepEqual(late.start(undefined), { kind: "challenge", bytes: Buffer.alloc(0) });
  const client = makeClient("EXTERNAL", { user: "ann", password: "" }, () => assert.fail());
  const response = await client.respond(Buffer.alloc(0));
  assert.ok(response.ok);
  assert.deepEqual(late.next(response.value), { kind: "external", authorization: "ann" });
  // RFC 4422 appendix A.1: UTF-8 without NUL.
  for (const bytes of ["a\0b", "\xff", "u".repeat(4000)])
    assert.equal(server("EXTERNAL").start(Buffer.from(bytes, "latin1")).kind, "refused");
});

test("CRAM-MD5 asks about the answer of RFC 2195 section 2, and takes nothing with the command", () => {
  const cram = server("CRAM-MD5");
  const first = cram.start(undefined);
  assert.ok(first.kind === "challenge");
  assert.equal(first.bytes.toString(), "<1896.697170952@postoffice.reston.mci.net>");
  assert.deepEqual(cram.next(Buffer.from("tim B913A602C7EDA7A495B4E6E7334D3890")), {
    kind: "ask",
    question: {
      kind: "digest",
      user: "tim",
      challenge: "<1896.697170952@postoffice.reston.mci.net>",
      digest: "b913a602c7eda7a495b4e6e7334d3890",
    },
  });
  assert.equal(server("CRAM-MD5").start(Buffer.from("tim x")).kind, "refused");
  for (const text of ["tim", "tim b913", "", " b913a602c7eda7a495b4e6e7334d3890"]) {
    const other = server("CRAM-MD5");
    other.start(undefined);
    assert.equal(other.next(Buffer.from(text)).kind, "refused", text);
  }
});

const BEARER =
  "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
const TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";

test("OAUTHBEARER asks about the token of RFC 7628 section 4.1, with the user or without", () => {
  const ask = (user: string) => ({ kind: "ask", question: { kind: "token", user, token: TOKEN } });
  assert.deepEqual(server("OAUTHBEARER").start(Buffer.from(BEARER)), ask("user@example.com"));
  const late = server("OAUTHBEARER");
  assert.deepEqual(late.start(undefined), { kind: "challenge", bytes: Buffer.alloc(0) });
  assert.deepEqual(late.next(Buffer.from(BEARER.replace("a=user@example.com", ""))), ask(""));
  assert.deepEqual(late.told({ kind: "right", account: "user" }), { kind: "done", account: "user" });
});

test("a token that is not good is told in JSON, and what the client says to that ends the exchange", () => {
  for (const [mechanism, message, json] of [
    ["OAUTHBEARER", BEARER, { status: "invalid_token" }],
    [
      "XOAUTH2",
      `user=someuser@example.com\x01auth=Bearer ${TOKEN}\x01\x01`,
      { status: "401", schemes: "bearer", scope: "mail" },
    ],
  ] as const) {
    const machine = server(mechanism);
    assert.equal(machine.start(Buffer.from(message)).kind, "ask");
    const told = machine.told({ kind: "wrong", because: "expired" });
    assert.ok(told.kind === "challenge");
    assert.deepEqual(JSON.parse(told.bytes.toString()), json);
    const end = machine.next(Buffer.from("\x01"));
    assert.ok(end.kind === "denied");
    assert.deepEqual(end.answer, { kind: "wrong", because: "expired" });
  }
});

test("a client without a token is told which kind it needs, and that nobody could be asked is said at once", () => {
  const without = server("OAUTHBEARER");
  assert.equal(without.start(Buffer.from("n,a=ann,\x01auth=\x01\x01")).kind, "challenge");
  assert.equal(without.next(Buffer.from("\x01")).kind, "denied");
  const away = server("XOAUTH2");
  away.start(Buffer.from("user=ann\x01auth=Bearer abc\x01\x01"));
  assert.deepEqual(away.told({ kind: "failed", text: "away" }), {
    kind: "denied",
    user: "ann",
    answer: { kind: "failed", text: "away" },
  });
});

test("what is no OAuth message is refused", () => {
  for (const [mechanism, text] of [
    ["OAUTHBEARER", ""],
    ["OAUTHBEARER", "n,a=ann,\x01auth=Basic abc\x01\x01"],
    ["OAUTHBEARER", "n,a=ann,\x01auth=Bearer a b\x01\x01"],
    ["OAUTHBEARER", "p=tls-unique,a=ann,\x01auth=Bearer abc\x01\x01"],
    ["OAUTHBEARER", "n,a=ann,\x01auth=Bearer abc\x01"],
    ["XOAUTH2", "auth=Bearer abc\x01\x01"],
    ["XOAUTH2", "user=ann\x01\x01"],
    ["XOAUTH2", `user=ann\x01auth=Bearer ${"x".repeat(10_000)}\x01\x01`],
  ] as const)
    assert.equal(server(mechanism).start(Buffer.from(text)).kind, "refused", text.slice(0, 60));
});

test("mechanisms that the server does not speak are unknown", () => {
  assert.equal(saslServer("DIGEST-MD5", MEANS), undefined);
  assert.equal(saslServer("", MEANS), undefined);
  assert.equal(saslServer("constructor", MEANS), undefined);
});

test("responses are strict base 64, an asterisk cancels, an equals sign is empty", () => {
  assert.deepEqual(decodeResponse("AGEAYg=="), { ok: true, value: Buffer.from("\0a\0b") });
  assert.deepEqual(decodeResponse("*"), { ok: true, value: "cancel" });
  assert.deepEqual(decodeResponse("="), { ok: true, value: Buffer.alloc(0) });
  assert.deepEqual(decodeResponse(""), { ok: true, value: Buffer.alloc(0) });
  for (const line of ["AGEAYg", "AGE AYg==", "AG=AYg==", "===", "a*b="]) assert.ok(!decodeResponse(line).ok, line);
});

test("property: no response makes a server throw, and nobody is in without a yes", () => {
  const text = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc
      .array(
        fc.constantFrom(
          "n,,",
          "y,,",
          "p=tls-exporter,,",
          "n=ann,",
          "r=abc",
          "c=biws,",
          ",p=AAAA",
          "\0",
          "\x01",
          "auth=Bearer x",
        ),
      )
      .map((parts) => Buffer.from(parts.join(""))),
  );
  const answer = fc.constantFrom(
    { kind: "wrong" } as const,
    { kind: "failed", text: "x" } as const,
    { kind: "salt", salt: "AAAA", iterations: 4096 } as const,
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...SASL_MECHANISMS),
      fc.option(text),
      fc.array(fc.oneof(text, answer), { maxLength: 4 }),
      (mechanism, initial, turns) => {
        const machine = server(mechanism);
        let step = machine.start(initial ?? undefined);
        for (const turn of turns) {
          step = Buffer.isBuffer(turn) ? machine.next(turn) : machine.told(turn);
          assert.notEqual(step.kind, "done");
        }
      },
    ),
  );
});

test("a name with a NUL in it is nobody's, by whatever mechanism it comes", () => {
  const messages = {
    PLAIN: "\0ann\0\0secret",
    LOGIN: "ann\0x",
    EXTERNAL: "ann\0",
    OAUTHBEARER: "n,a=ann\0x,\x01auth=Bearer t\x01\x01",
    XOAUTH2: "user=ann\0x\x01auth=Bearer t\x01\x01",
  } as const;
  for (const [mechanism, message] of Object.entries(messages))
    assert.equal(server(mechanism).start(Buffer.from(message)).kind, "refused", mechanism);
});
