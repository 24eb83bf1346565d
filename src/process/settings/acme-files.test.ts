import assert from "node:assert/strict";
import { test } from "node:test";
import { acmeItemsOf, acmePlaceOf, acmeProblems } from "./acme-files.ts";
import { posthornSettings, type SettingsInput } from "./settings.ts";

const parse = (input: SettingsInput) => posthornSettings.parse(input);
const wanted = { certificates: [{ acme: ["mx.example.org", "mail.example.org"] }] };
const told = (input: SettingsInput): readonly string[] =>
  acmeProblems(parse(input)).map(({ path, text, severity }) => `${severity ?? "error"} ${path.join(".")}: ${text}`);

test("without an entry that wants it there is nothing to get, to answer or to complain of", () => {
  assert.deepEqual(acmeItemsOf(parse({})), []);
  assert.equal(acmePlaceOf(parse({})), undefined);
  assert.deepEqual(told({}), []);
});

test("an entry is called by its first name or its label, and both kinds of key are two certificates", () => {
  assert.deepEqual(acmeItemsOf(parse(wanted)), [
    { label: "mx.example.org", kind: "ec", names: ["mx.example.org", "mail.example.org"] },
  ]);
  const both = parse({ certificates: [{ label: "mx", acme: ["mx.example.org"], keyKind: "both" }] });
  assert.deepEqual(
    acmeItemsOf(both).map(({ label, kind }) => `${label} ${kind}`),
    ["mx ec", "mx rsa"],
  );
});

test("challenges are answered at the settings' place, or by the listener with implicit TLS that has it", () => {
  assert.deepEqual(acmePlaceOf(parse(wanted)), { name: "acme-http", port: 80 });
  const overTls = { ...wanted, acme: { challenge: "tls-alpn-01" as const, tlsAlpn: { address: "192.0.2.1" } } };
  assert.deepEqual(acmePlaceOf(parse(overTls)), { name: "acme-tls-alpn", address: "192.0.2.1", port: 443 });
  const listener = (address: string, tls: "implicit" | "offer") =>
    acmePlaceOf(parse({ ...overTls, listeners: [{ name: "tls", address, port: 443, tls }] }));
  assert.equal(listener("192.0.2.1", "implicit"), "listeners");
  assert.notEqual(listener("192.0.2.2", "implicit"), "listeners");
  assert.notEqual(listener("192.0.2.1", "offer"), "listeners");
});

test("what would fail is told before the start: terms, names, labels, ports", () => {
  assert.deepEqual(told(wanted), [
    "error acme.termsAgreed: the authority issues nothing to those who have not agreed to its terms: read them, then set `terms-agreed: true`",
  ]);
  const acme = { termsAgreed: true };
  assert.deepEqual(told({ ...wanted, acme }), []);
  assert.deepEqual(told({ acme }), ["warning acme: has no effect: no entry of `certificates` says `acme`"]);
  assert.match(
    told({ acme, certificates: [{ acme: ["mx"] }] }).join(),
    /acme\.0: no authority issues .* for mx: expected/,
  );
  assert.match(told({ acme, certificates: [{ acme: ["192.0.2.1"] }] }).join(), /no authority issues/);
  assert.match(told({ acme, certificates: [{ acme: ["a.example", "a.example"] }] }).join(), /a name is there twice/);
  assert.match(
    told({ acme, certificates: [{ acme: ["a.example"] }, { acme: ["a.example", "b.example"] }] }).join(),
    /certificates\[0\] is called a\.example too/,
  );
  assert.match(
    told({ ...wanted, acme, listeners: [{ name: "web", port: 80 }] }).join(),
    /acme\.http\.port: port 80 is that of listener web/,
  );
});

test("an entry of ACME has no files, and a kind of key is for ACME only", () => {
  for (const entry of [
    { acme: ["a.example"], certificate: "a.pem", key: "a.key" },
    { certificate: "a.pem", key: "a.key", keyKind: "rsa" as const },
    { acme: [] },
    { acme: ["*.example.org"] },
  ])
    assert.equal(posthornSettings.safeParse({ certificates: [entry] }).success, false, JSON.stringify(entry));
});
