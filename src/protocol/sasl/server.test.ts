import { test } from "node:test";
import assert from "node:assert/strict";
import * as fc from "fast-check";
import { decodeResponse, PASSWORD_MECHANISMS, saslServer, type SaslServer } from "./server.ts";
import { makeClient } from "./make-client.ts";

function server(mechanism: string): SaslServer {
  const found = saslServer(mechanism);
  assert.ok(found);
  return found;
}

test("PLAIN takes credentials with the command or after an empty challenge", () => {
  const message = Buffer.from("\0tim\0tanstaaf");
  const credentials = { kind: "credentials", user: "tim", password: "tanstaaf" };
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
  assert.deepEqual(asked.next(Buffer.from("x y")), { kind: "credentials", user: "tim", password: "x y" });

  const early = server("LOGIN");
  assert.equal(early.start(Buffer.from("tim")).kind, "challenge");
  assert.deepEqual(early.next(Buffer.from("x")), { kind: "credentials", user: "tim", password: "x" });
  assert.equal(server("LOGIN").start(Buffer.from("")).kind, "refused");
});

test("our clients and servers understand each other", async () => {
  for (const mechanism of PASSWORD_MECHANISMS)
    for (const isEarly of [true, false]) {
      const one = server(mechanism);
      const other = makeClient(mechanism, { user: "tim", password: "pä ss" }, () => assert.fail());
      let step = one.start(isEarly ? other.initial : undefined);
      for (let turns = 0; step.kind === "challenge" && turns < 5; turns++) {
        const response = await other.respond(step.bytes);
        assert.ok(response.ok);
        step = one.next(response.value);
      }
      assert.deepEqual(step, { kind: "credentials", user: "tim", password: "pä ss" });
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

test("mechanisms that the server does not speak are unknown", () => {
  assert.equal(saslServer("CRAM-MD5"), undefined);
  assert.equal(saslServer(""), undefined);
});

test("responses are strict base 64, an asterisk cancels, an equals sign is empty", () => {
  assert.deepEqual(decodeResponse("AGEAYg=="), { ok: true, value: Buffer.from("\0a\0b") });
  assert.deepEqual(decodeResponse("*"), { ok: true, value: "cancel" });
  assert.deepEqual(decodeResponse("="), { ok: true, value: Buffer.alloc(0) });
  assert.deepEqual(decodeResponse(""), { ok: true, value: Buffer.alloc(0) });
  for (const line of ["AGEAYg", "AGE AYg==", "AG=AYg==", "===", "a*b="]) assert.ok(!decodeResponse(line).ok, line);
});

test("property: no response makes a server throw", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...PASSWORD_MECHANISMS, "EXTERNAL"),
      fc.option(fc.uint8Array()),
      fc.array(fc.uint8Array(), { maxLength: 3 }),
      (mechanism, initial, responses) => {
        const machine = server(mechanism);
        machine.start(initial === null ? undefined : Buffer.from(initial));
        for (const response of responses) machine.next(Buffer.from(response));
      },
    ),
  );
});
