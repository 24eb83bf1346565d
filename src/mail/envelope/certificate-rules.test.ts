import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { inlineTable } from "../../service/table/tables.ts";
import type { CertificateForRules, SessionFactsForRules } from "./policy.ts";
import { rulesPolicy } from "./rules.ts";
import { actionsSettings } from "./action-settings.ts";
import { rulesSettings } from "./rule-settings.ts";
import { localSettings } from "./settings.ts";

const settingsSchema = z.strictObject({ local: localSettings, actions: actionsSettings, rules: rulesSettings });
type Match = NonNullable<z.input<typeof rulesSettings>>[number]["match"];

const FINGERPRINT = "0a".repeat(32);
const KEY = "0b".repeat(32);
const colons = (hex: string): string => hex.toUpperCase().match(/../g)?.join(":") ?? "";
const verified: CertificateForRules = {
  fingerprints: [FINGERPRINT, KEY],
  isVerified: true,
  subject: "CN=relay,O=Example Ltd",
  names: ["mx1.relay.example", "ann@example.org", "relay"],
  mayRelay: false,
};
const unverified: CertificateForRules = { ...verified, isVerified: false, subject: undefined, names: [] };

const tables = new Map([
  ["partners", inlineTable("partners", { kind: "list", items: [colons(FINGERPRINT)] })],
  ["domains", inlineTable("domains", { kind: "list", items: ["*.example.org", ".relay,O=Example"] })],
  ["people", inlineTable("people", { kind: "list", items: ["emailAddress=Ann@Example.org,O=Example Ltd"] })],
  ["subjects", inlineTable("subjects", { kind: "list", items: ["CN=relay,O=Example Ltd"] })],
]);

/** Whether a rule with this match relays mail of a client with this certificate. */
async function relays(match: Match, certificate: CertificateForRules | undefined): Promise<boolean> {
  const settings = settingsSchema.parse({ rules: [{ match, action: "relay" }] });
  const facts: SessionFactsForRules = {
    listener: "smtp",
    clientAddress: "203.0.113.9",
    isEncrypted: true,
    certificate,
    sender: "them@stranger.example",
  };
  const policy = rulesPolicy({ hostname: "mail.example.org", ...settings }, tables);
  const judged = await policy.judgeRecipient(facts, "joe@elsewhere.example");
  return judged.kind === "accept";
}

test("a fingerprint is matched verified or not: of certificate or key, with colons or without, in a table too", async () => {
  for (const fingerprint of [FINGERPRINT, colons(FINGERPRINT), KEY, `sha256:${KEY}`, "table:partners"]) {
    assert.equal(await relays({ certificateFingerprint: fingerprint }, unverified), true, fingerprint);
    assert.equal(await relays({ certificateFingerprint: fingerprint }, undefined), false);
    assert.equal(await relays({ certificateFingerprint: `!${fingerprint}` }, verified), false);
  }
  assert.equal(await relays({ certificateFingerprint: "0c".repeat(32) }, verified), false);
  assert.equal(await relays({ certificateFingerprint: ["0c".repeat(32), KEY] }, verified), true);
});

test("names and subject are matched in a verified certificate only", async () => {
  for (const match of [
    { certificateName: "mx1.relay.example" },
    { certificateName: "*.relay.example" },
    { certificateName: "Ann@Example.org" },
    { certificateName: "@example.org" },
    { certificateName: ["other.example", "relay"] },
    { certificateSubject: "CN=relay,O=Example Ltd" },
    { certificateSubject: "table:subjects" },
    { certificateVerified: true },
  ] satisfies Match[]) {
    assert.equal(await relays(match, verified), true, JSON.stringify(match));
    assert.equal(await relays(match, unverified), false, JSON.stringify(match));
    assert.equal(await relays(match, undefined), false, JSON.stringify(match));
  }
  assert.equal(await relays({ certificateName: "relay.example" }, verified), false);
  assert.equal(await relays({ certificateSubject: "CN=relay" }, verified), false);
});

test("a subject is matched as a whole: nobody gets another's by writing it behind an @ of his own", async () => {
  const subject = "CN=eve,OU=x@CN=relay,O=Example Ltd";
  for (const certificateSubject of ["CN=relay,O=Example Ltd", "table:subjects"])
    assert.equal(await relays({ certificateSubject }, { ...verified, subject }), false, certificateSubject);
  const own = { ...verified, subject: "emailAddress=Ann@Example.org,O=Example Ltd" };
  assert.equal(await relays({ certificateSubject: "emailAddress=ann@example.org,O=Example Ltd" }, own), true);
  assert.equal(await relays({ certificateSubject: "table:people" }, own), true);
  assert.equal(
    await relays({ certificateSubject: ["any", "!emailAddress=Ann@Example.org,O=Example Ltd"] }, own),
    false,
  );
  assert.equal(await relays({ certificateSubject: ["other", "any"] }, own), true);
  // Who is to be kept out is, however the settings fold what is written there.
  for (const out of ["CN=b\u00fccher,O=x", "CN=relay,O=ACME."]) {
    const theirs = { ...verified, subject: out };
    assert.equal(await relays({ certificateSubject: ["any", `!${out}`] }, theirs), false, out);
    assert.equal(await relays({ certificateSubject: out }, theirs), true, out);
  }
  for (const subjectOf of ["O=Evil,CN=mx.example.org", "CN=eve,OU=x.relay,O=Example", "CN=eve,OU=y@mx.example.org"])
    assert.equal(
      await relays({ certificateSubject: "table:domains" }, { ...verified, subject: subjectOf }),
      false,
      subjectOf,
    );
});

test("a name that is refused is refused whatever other names the certificate has", async () => {
  assert.equal(await relays({ certificateName: ["any", "!mx1.relay.example"] }, verified), false);
  assert.equal(await relays({ certificateName: "any", not: { certificateName: "@example.org" } }, verified), false);
  assert.equal(await relays({ certificateVerified: false }, unverified), true);
  assert.equal(await relays({ certificateVerified: false }, undefined), true);
});

test("from: certificate is who the listener's table lists; a table that failed is told to come again", async () => {
  assert.equal(await relays({ from: "certificate" }, { ...unverified, mayRelay: true }), true);
  assert.equal(await relays({ from: "certificate" }, verified), false);
  assert.equal(await relays({ from: "certificate" }, undefined), false);
  const policy = rulesPolicy({ hostname: "mail.example.org", ...settingsSchema.parse({}) }, tables);
  const facts = { listener: "smtp", clientAddress: "203.0.113.9", isEncrypted: true, sender: "a@b.example" };
  const judge = async (mayRelay: CertificateForRules["mayRelay"]) =>
    policy.judgeRecipient({ ...facts, certificate: { ...verified, mayRelay } }, "joe@elsewhere.example");
  assert.equal((await judge(true)).kind, "accept");
  assert.equal((await judge(false)).kind, "reject");
  const failed = await judge({ failed: "away" });
  assert.ok(failed.kind === "reject");
  assert.equal(failed.reply.code, 451);
});

test("a fingerprint of another kind than SHA-256 is refused in words", () => {
  const parsed = rulesSettings.safeParse([{ match: { certificateFingerprint: "0a".repeat(20) }, action: "relay" }]);
  assert.equal(parsed.success, false);
  assert.match(parsed.error?.message ?? "", /SHA-256 fingerprint.*160 bits are given/);
});
