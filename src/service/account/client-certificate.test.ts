import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Table } from "../table/table.ts";
import { inlineTable } from "../table/tables.ts";
import { parseTableText } from "../table/text.ts";
import { certificateIdentifier, type ShownCertificate } from "./client-certificate.ts";

const FINGERPRINT = "0a".repeat(32);
const KEY = "0b".repeat(32);
const shown = (changes: Partial<ShownCertificate> = {}): ShownCertificate => ({
  fingerprint: FINGERPRINT,
  keyFingerprint: KEY,
  isVerified: false,
  subject: "CN=Ann,O=Example",
  commonName: "Ann",
  emails: ["Ann@Example.org", "info@example.org"],
  ...changes,
});

/** A table as its file would be. */
function asked(text: string, account: "none" | "email" | "common-name" = "none") {
  const { entries, problems } = parseTableText(text);
  assert.deepEqual(problems, []);
  const map = Object.fromEntries(entries.map(({ key, value }) => [key, value ?? ""]));
  const table: Table = inlineTable("certs", { kind: "map", entries: map });
  const identifier = certificateIdentifier(new Map([["certs", table]]));
  return (certificate: ShownCertificate) => identifier.identify({ table: "certs", account }, certificate);
}

test("a fingerprint with an account is that account, one by itself may relay; of certificate or key, colons or not", async () => {
  const colons = (hex: string): string => hex.toUpperCase().match(/../g)?.join(":") ?? "";
  for (const written of [FINGERPRINT, colons(FINGERPRINT), KEY, colons(KEY)]) {
    assert.deepEqual(await asked(`${written} Ann`)(shown()), { kind: "known", accounts: ["ann"], mayRelay: false });
    assert.deepEqual(await asked(written)(shown()), { kind: "known", accounts: [], mayRelay: true });
  }
  assert.deepEqual(await asked(`${"0c".repeat(32)} ann`)(shown()), { kind: "unknown" });
});

test("subject and e-mail addresses count in a verified certificate only", async () => {
  const by = asked('"CN=Ann,O=Example" one\nann@example.org two\n@example.org three');
  assert.deepEqual(await by(shown()), { kind: "unknown" });
  assert.deepEqual(await by(shown({ isVerified: true })), {
    kind: "known",
    accounts: ["two", "three", "one"],
    mayRelay: false,
  });
  assert.deepEqual(await by(shown({ isVerified: true, subject: "CN=Ann\\,O=Example", emails: [] })), {
    kind: "unknown",
  });
});

test("without a table a verified certificate can name its account itself", async () => {
  const identifier = certificateIdentifier(new Map());
  const by = (account: "none" | "email" | "common-name", isVerified: boolean) =>
    identifier.identify({ account }, shown({ isVerified }));
  assert.deepEqual(await by("email", true), {
    kind: "known",
    accounts: ["ann@example.org", "info@example.org"],
    mayRelay: false,
  });
  assert.deepEqual(await by("common-name", true), { kind: "known", accounts: ["ann"], mayRelay: false });
  assert.deepEqual(await by("none", true), { kind: "unknown" });
  assert.deepEqual(await by("email", false), { kind: "unknown" });
  assert.deepEqual(await by("common-name", false), { kind: "unknown" });
});

test("a fingerprint with ! in front is nobody, whatever else the certificate says", async () => {
  const lost = asked(`!${FINGERPRINT}\nann@example.org ann`, "email");
  assert.deepEqual(await lost(shown({ isVerified: true })), { kind: "unknown" });
  assert.equal((await lost(shown({ isVerified: true, fingerprint: "0d".repeat(32) }))).kind, "known");
});

test("a table that cannot be asked is a failure, and a * in it is nobody's permission", async () => {
  const failing: Table = {
    name: "certs",
    lookup: () => Promise.resolve({ kind: "failed", text: "away" }),
    exact: () => Promise.resolve({ kind: "failed", text: "away" }),
    has: () => Promise.resolve({ kind: "failed", text: "away" }),
    hasExact: () => Promise.resolve({ kind: "failed", text: "away" }),
  };
  const identifier = certificateIdentifier(new Map([["certs", failing]]));
  assert.deepEqual(await identifier.identify({ table: "certs", account: "none" }, shown()), {
    kind: "failed",
    text: "away",
  });
  assert.equal((await asked("*")(shown({ isVerified: true }))).kind, "unknown");
  assert.equal((await asked("* ann\n@*.org ann")(shown({ isVerified: true }))).kind, "unknown");
  const missing = await certificateIdentifier(new Map()).identify({ table: "certs", account: "email" }, shown());
  assert.equal(missing.kind, "failed");
});

test("property: whatever an unverified certificate says of itself, only its fingerprints make it known", async () => {
  const by = asked(`ann@example.org ann\n"CN=Ann,O=Example" ann\n@example.org all\n${"0e".repeat(32)} other`, "email");
  const text = fc.oneof(
    fc.string(),
    fc.constantFrom("ann@example.org", "CN=Ann,O=Example", "0e".repeat(32), "*", "@example.org"),
  );
  await fc.assert(
    fc.asyncProperty(text, text, fc.array(text), async (subject, commonName, emails) => {
      assert.deepEqual(await by(shown({ subject, commonName, emails })), { kind: "unknown" });
    }),
  );
});
