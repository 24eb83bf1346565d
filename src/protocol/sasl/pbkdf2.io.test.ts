import { test } from "node:test";
import assert from "node:assert/strict";
import { scramPbkdf2 } from "./pbkdf2.io.ts";

test("PBKDF2 with HMAC-SHA-256 gives the vector of RFC 7914 section 11, in its first 32 octets", async () => {
  const derived = await scramPbkdf2(Buffer.from("Password"), Buffer.from("NaCl"), 80_000, "SHA-256");
  assert.equal(derived.toString("hex"), "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56");
});
