import { test } from "node:test";
import assert from "node:assert/strict";
import { inlineTable } from "../table/tables.ts";
import { hashPassword, parsePasswordHash, verifyPassword } from "./password.ts";
import { nobodyMayLogIn, tableAuthenticator } from "./table-authenticator.ts";

test("a hash is recognised by its password and by no other", async () => {
  const written = await hashPassword("pässword");
  assert.match(written, /^\$scrypt\$ln=15,r=8,p=1\$[^$=]+\$[^$=]+$/);
  const hash = parsePasswordHash(written);
  assert.ok(hash);
  assert.equal(await verifyPassword("pässword", hash), true);
  // The same letters as another keyboard composes them.
  assert.equal(await verifyPassword("pa\u0308ssword", hash), true);
  assert.equal(await verifyPassword("passwort", hash), false);
  assert.equal(await verifyPassword("", hash), false);
  assert.notEqual(await hashPassword("pässword"), written);
});

test("hashes of other programs in the same format are understood", async () => {
  // RFC 7914 section 12, third vector: N=16384, r=8, p=1, password "pleaseletmein", salt "SodiumChloride".
  const vector =
    "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887";
  const base64 = (bytes: Buffer): string => bytes.toString("base64").replace(/=+$/, "");
  const hash = parsePasswordHash(
    `$scrypt$ln=14,r=8,p=1$${base64(Buffer.from("SodiumChloride"))}$${base64(Buffer.from(vector, "hex"))}`,
  );
  assert.equal(await verifyPassword("pleaseletmein", hash), true);
  assert.equal(await verifyPassword("pleaseletmeout", hash), false);
});

test("text that is no hash, or would cost too much, is refused", () => {
  for (const text of [
    "",
    "secret",
    "$scrypt$",
    "$scrypt$ln=30,r=8,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
    "$scrypt$ln=15,r=8,p=99$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
    "$6$salt$hash",
  ])
    assert.equal(parsePasswordHash(text), undefined, text);
  assert.deepEqual(parsePasswordHash("{plain}a b"), { kind: "plain", password: "a b" });
});

test("the right password opens the account, in any case of the user's name", async () => {
  const accounts = tableAuthenticator(
    inlineTable("accounts", {
      kind: "map",
      entries: { "joe@example.org": "{PLAIN}sesame", jane: await hashPassword("x y") },
    }),
  );
  assert.deepEqual(await accounts.checkPassword("Joe@Example.org", "sesame"), {
    kind: "right",
    account: "joe@example.org",
  });
  assert.deepEqual(await accounts.checkPassword("jane", "x y"), { kind: "right", account: "jane" });
  assert.deepEqual(await accounts.checkPassword("jane", "x"), { kind: "wrong" });
  assert.deepEqual(await accounts.checkPassword("joe", "sesame"), { kind: "wrong" });
  assert.deepEqual(await accounts.checkPassword("", ""), { kind: "wrong" });
  assert.deepEqual(await accounts.checkPassword("jane", "x".repeat(100_000)), { kind: "wrong" });
  assert.deepEqual(await nobodyMayLogIn.checkPassword("jane", "x y"), { kind: "wrong" });
});

test("a table that fails, or an entry nobody understands, is a temporary failure", async () => {
  const failing = {
    name: "t",
    lookup: () => Promise.resolve({ kind: "failed" as const, text: "gone" }),
    exact: () => Promise.resolve({ kind: "failed" as const, text: "gone" }),
    has: () => Promise.resolve({ kind: "none" as const }),
  };
  assert.deepEqual(await tableAuthenticator(failing).checkPassword("joe", "x"), { kind: "failed", text: "gone" });
  const odd = inlineTable("t", { kind: "map", entries: { joe: "$6$salt$hash" } });
  assert.equal((await tableAuthenticator(odd).checkPassword("joe", "x")).kind, "failed");
});

test("an unknown user costs about as much as a wrong password", async () => {
  const accounts = tableAuthenticator(inlineTable("t", { kind: "map", entries: { joe: await hashPassword("right") } }));
  const cpuOf = async (user: string): Promise<number> => {
    const before = process.cpuUsage();
    for (let round = 0; round < 3; round++) await accounts.checkPassword(user, "wrong");
    const used = process.cpuUsage(before);
    return used.user + used.system;
  };
  await cpuOf("joe");
  const [known, unknown] = [await cpuOf("joe"), await cpuOf("nobody")];
  assert.ok(unknown > known / 3 && unknown < known * 3, `${known} against ${unknown} µs`);
});
