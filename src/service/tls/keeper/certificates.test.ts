import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { virtualClock } from "../../../simulator/clock.ts";
import { testAuthority } from "../../../testing/test-authority.ts";
import { bundleOf } from "./bundle.ts";
import { parsePair } from "./certificate.ts";
import { chainGap, knownRoots } from "../chain.ts";
import { servingPairs } from "./name-index.ts";
import { pemBlocks } from "./pem.ts";
import { isPkcs11, pkcs11Pem } from "./pkcs11.ts";
import { recent } from "../recent.ts";
import { parseTableValue } from "./table-value.ts";
import { ticketKeys } from "./tickets.ts";

const root = await testAuthority("Root CA");
const middle = await root.below("Middle CA");
const lower = await middle.below("Lower CA");
const leaf = await lower.issue(["mx.example.org"]);
const rsaRoot = await testAuthority("RSA CA", "rsa");
const rsa = await rsaRoot.issue(["mx.example.org"]);
const stranger = await testAuthority("Stranger CA");

test("PEM is found among other text, and as tables leave it: on one line, or with \\n written out", () => {
  const text = `Bag Attributes\n${leaf.certificatePem}${leaf.keyPem} and so on`;
  for (const written of [
    text,
    text.replaceAll("\n", " "),
    text.replaceAll("\n", "\\n"),
    text.replaceAll("\n", "\r\n"),
  ]) {
    const { certificates, keys } = pemBlocks(written);
    assert.equal(certificates.length, 1);
    assert.equal(new X509Certificate(certificates[0] ?? "").subjectAltName, "DNS:mx.example.org");
    assert.equal(createPrivateKey(keys[0] ?? "").asymmetricKeyType, "ec");
  }
});

test("no text makes the reader of PEM throw or find what is not there", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (before, after) => {
      pemBlocks(before);
      const found = pemBlocks(`${before.replaceAll("-", "")}\n${leaf.certificatePem}${after.replaceAll("-", "")}`);
      assert.deepEqual([found.certificates.length, found.keys.length], [1, 0]);
      bundleOf(before, "x");
    }),
    { numRuns: 100 },
  );
});

test("certificates, chains and keys are put together, in whatever order they come, RSA and ECDSA side by side", () => {
  const parts = [
    middle.certificatePem,
    rsa.keyPem,
    leaf.certificatePem,
    lower.certificatePem,
    leaf.keyPem,
    rsa.certificatePem,
    rsaRoot.certificatePem,
    stranger.certificatePem,
  ];
  fc.assert(
    fc.property(fc.shuffledSubarray(parts, { minLength: parts.length }), (shuffled) => {
      const { pairs, problems } = bundleOf(shuffled.join(""), "x");
      assert.deepEqual(problems, []);
      assert.deepEqual(pairs.map((pair) => pair.keyKind).toSorted(), ["ec", "rsa"]);
      for (const pair of pairs) {
        const subjects = pemBlocks(pair.certificatePem).certificates.map((pem) => new X509Certificate(pem).subject);
        const above = pair.keyKind === "ec" ? ["CN=Lower CA", "CN=Middle CA"] : ["CN=RSA CA"];
        assert.deepEqual(subjects, ["CN=mx.example.org", ...above]);
      }
    }),
    { numRuns: 20 },
  );
  assert.deepEqual(bundleOf(leaf.certificatePem + rsa.keyPem, "x"), {
    pairs: [],
    problems: ["holds a key that belongs to none of its certificates"],
  });
  assert.deepEqual(bundleOf("nothing", "x").problems, [
    "holds no certificate in PEM form",
    "holds no private key in PEM form",
  ]);
});

test("a chain is complete when it leads to an authority that is trusted, with or without the authority's own certificate", () => {
  const roots = knownRoots([stranger.certificatePem, root.certificatePem]);
  const chain = leaf.certificatePem + lower.certificatePem + middle.certificatePem;
  assert.equal(chainGap(chain, roots), undefined);
  assert.equal(chainGap(chain + root.certificatePem, roots), undefined);
  assert.equal(chainGap(leaf.certificatePem + middle.certificatePem + lower.certificatePem, roots), undefined);
  assert.equal(chainGap(root.certificatePem, knownRoots([])), undefined, "what signed itself has no chain");
  assert.match(chainGap(leaf.certificatePem, roots) ?? "", /certificate of its issuer, CN=Lower CA, is missing/);
  assert.match(
    chainGap(leaf.certificatePem + lower.certificatePem, roots) ?? "",
    /the chain ends at CN=Lower CA: the certificate of its issuer, CN=Middle CA, is missing/,
  );
  assert.match(chainGap(chain, knownRoots([])) ?? "", /ends at CN=Middle CA.*CN=Root CA, is missing/);
});

test("an authority of the same name that did not sign is no authority", async () => {
  const impostor = await testAuthority("Lower CA");
  assert.match(
    chainGap(leaf.certificatePem, knownRoots([impostor.certificatePem])) ?? "",
    /CN=Lower CA, whom it names as its issuer, did not sign it/,
  );
});

const NOW = Date.parse("2026-11-21T00:00:00Z");
const named = (id: string, names: readonly string[], keyKind = "ec", fromAt = NOW, toAt = NOW) => ({
  id,
  names,
  keyKind,
  notBeforeAt: fromAt,
  notAfterAt: toAt,
});

test("a name is found exactly, then by a wildcard for exactly one label; the first of two counts", () => {
  const { forName } = servingPairs([
    named("a", ["mx.example.org", "*.example.org"]),
    named("b", ["*.example.org", "example.net"]),
    named("c", ["*.deep.example.org"]),
  ]);
  for (const [name, expected] of [
    ["MX.example.org.", "a"],
    ["other.example.org", "a"],
    ["example.org", undefined],
    ["a.b.example.org", undefined],
    ["x.deep.example.org", "c"],
    ["example.net", "b"],
    ["", undefined],
    [".example.org", undefined],
  ] as const)
    assert.equal(
      forName(name, NOW)
        ?.map(({ id }) => id)
        .join(),
      expected,
      name,
    );
});

test("of the pairs that have a name one of each kind of key serves, whatever other names they have", () => {
  const pairs = [
    named("ec", ["mx.example.org", "www.example.org"]),
    named("rsa", ["example.org", "mx.example.org"], "rsa"),
    named("later ec", ["mx.example.org"]),
    named("wild rsa", ["*.example.org"], "rsa"),
    named("nameless", []),
  ];
  const serving = servingPairs(pairs);
  const ids = (name: string): string =>
    serving
      .forName(name, NOW)
      ?.map(({ id }) => id)
      .join(", ") ?? "nobody";
  assert.equal(ids("mx.example.org"), "ec, rsa");
  assert.equal(ids("www.example.org"), "ec, wild rsa");
  assert.equal(ids("example.org"), "rsa");
  assert.equal(ids("other.example.org"), "wild rsa");
  assert.deepEqual(
    pairs.map((pair) =>
      serving
        .asDefault(pair, NOW)
        .map(({ id }) => id)
        .join(", "),
    ),
    ["ec, rsa", "rsa", "later ec, rsa", "wild rsa", "nameless"],
  );
});

test("of pairs with a name those that are valid serve; RSA stands in for every kind that is not", () => {
  const [valid, over, coming] = [
    (id: string, kind?: string) => named(id, ["mx.example.org"], kind),
    (id: string, kind?: string) => named(id, ["mx.example.org"], kind, NOW - 2, NOW - 1),
    (id: string, kind?: string) => named(id, ["mx.example.org"], kind, NOW + 1, NOW + 2),
  ] as const;
  for (const [pairs, expected] of [
    [[over("old"), valid("new"), valid("newer")], "new"],
    [[coming("next"), over("old"), valid("new")], "new"],
    [[over("old ec"), valid("rsa", "rsa")], "rsa"],
    [[over("old rsa", "rsa"), valid("ec")], "ec, old rsa"],
    [[over("old rsa", "rsa"), over("old ec"), coming("next")], "old rsa, old ec"],
  ] as const)
    assert.equal(
      servingPairs(pairs)
        .forName("mx.example.org", NOW)
        ?.map(({ id }) => id)
        .join(", "),
      expected,
    );
});

test("a table's value is files below its directory, or PEM text; nothing leads out of the directory", () => {
  const value = (text: string, directory: string | undefined = "/etc/mail/tls") => {
    const parsed = parseTableValue(text, directory);
    return parsed.ok ? (parsed.value.kind === "files" ? parsed.value.files : "PEM") : parsed.problem;
  };
  assert.deepEqual(value("a/mx.pem  mx.key"), ["/etc/mail/tls/a/mx.pem", "/etc/mail/tls/mx.key"]);
  assert.deepEqual(value("/etc/mail/tls/mx.pem"), ["/etc/mail/tls/mx.pem"]);
  assert.equal(value(leaf.certificatePem.replaceAll("\n", " ")), "PEM");
  assert.equal(value("../../passwd"), "../../passwd is outside of /etc/mail/tls");
  assert.equal(value("/etc/passwd"), "/etc/passwd is outside of /etc/mail/tls");
  assert.equal(value("a/../.."), "a/../.. is outside of /etc/mail/tls");
  assert.equal(value(" "), "has no value: expected files, or PEM text");
  const parsed = parseTableValue("mx.pem", undefined);
  assert.match(parsed.ok ? "" : parsed.problem, /`directory` does not say where they are/);
});

test("a PKCS#11 URI is wrapped in the structure that OpenSSL's provider reads", () => {
  const uri = "pkcs11:token=mail;object=mx;type=private";
  const body = pkcs11Pem(uri).replace(/-----[^-]+-----|\n/g, "");
  const der = Buffer.from(body, "base64");
  // SEQUENCE, VisibleString of 25, UTF8String of the URI, and nothing behind.
  assert.deepEqual([...der.subarray(0, 4)], [0x30, 2 + 25 + 2 + uri.length, 0x1a, 25]);
  assert.equal(der.subarray(4, 29).toString("latin1"), "PKCS#11 Provider URI v1.0");
  assert.deepEqual([...der.subarray(29, 31)], [0x0c, uri.length]);
  assert.equal(der.subarray(31).toString(), uri);
  for (const length of [100, 150, 300]) {
    const long = `pkcs11:object=${"x".repeat(length)}`;
    const bytes = Buffer.from(pkcs11Pem(long).replace(/-----[^-]+-----|\n/g, ""), "base64");
    assert.ok(bytes.subarray(-long.length).toString() === long);
    const size = bytes[1] === 0x81 ? (bytes[2] ?? 0) + 3 : bytes.readUInt16BE(2) + 4;
    assert.equal(bytes.length, size, `length of ${length}`);
  }
  assert.match(pkcs11Pem(uri), /^-----BEGIN PKCS#11 PROVIDER URI-----\n[^\n]{1,64}\n/);
  assert.ok(isPkcs11(uri) && !isPkcs11("/etc/ssl/pkcs11:x"));
});

test("a key in a token is taken on trust; its kind is that of the certificate", () => {
  const parsed = parsePair({
    certificatePem: rsa.certificatePem,
    keyPem: pkcs11Pem("pkcs11:object=mx"),
    origin: "x",
    isKeyElsewhere: true,
  });
  assert.ok(parsed.ok);
  assert.equal(parsed.value.keyKind, "rsa");
  assert.match(parsed.value.keyPem, /PKCS#11 PROVIDER URI/);
});

test("of a bounded map the entry that was not asked for longest is forgotten", () => {
  const map = recent<number>(2);
  map.set("a", 1);
  map.set("b", 2);
  map.get("a");
  map.set("c", 3);
  assert.deepEqual([map.get("a"), map.get("b"), map.get("c"), map.size], [1, undefined, 3, 2]);
});

test("no ticket lives longer than the lifetime: the key is another one by then, and every one is by chance", async () => {
  const clock = virtualClock(1000);
  let made = 0;
  const keys = ticketKeys({ clock, lifetimeMs: 3_600_000, randomBytes: (count) => Buffer.alloc(count, ++made) });
  let told = 0;
  keys.onRotated(() => told++);
  const first = keys.current();
  assert.equal(first.key.length, 48);
  assert.equal(first.replacedAt, 1000 + 3_600_000);
  await clock.advance(3_599_999);
  assert.equal(keys.current(), first);
  await clock.advance(1);
  assert.notDeepEqual(keys.current().key, first.key);
  assert.equal(told, 1);
  await clock.advance(3_600_000);
  assert.equal(told, 2);
  // A shorter lifetime counts for the key in force, too.
  keys.setLifetime(60_000);
  await clock.advance(60_000);
  assert.equal(told, 3);
  assert.equal(made, 4);
  keys.close();
  await clock.advance(10_000_000);
  assert.equal(told, 3);
});
