import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { generate } from "selfsigned";
import { fingerprintOf, keyFingerprintOf, parseFingerprint } from "./fingerprint.ts";
import { isCertificateFor } from "./names.ts";
import { isChainTrusted, peerCertificate, verify } from "./verify.ts";
import type { ShownChain } from "./tls.ts";

const notBeforeDate = new Date("2026-01-01T00:00:00Z");
const notAfterDate = new Date("2026-12-31T00:00:00Z");
const june = Date.UTC(2026, 5, 1);

type Name = string | { readonly ip: string };

async function make(common: string, names: readonly Name[]) {
  return generate([{ name: "commonName", value: common }], {
    keyType: "ec",
    notBeforeDate,
    notAfterDate,
    extensions: [
      { name: "basicConstraints", cA: true },
      {
        name: "subjectAltName",
        altNames: names.map((name) => (typeof name === "string" ? { type: 2, value: name } : { type: 7, ip: name.ip })),
      },
    ],
  });
}

const pair = await make("cn.example.org", [
  "mx.example.org",
  "*.pool.example.org",
  "w*.part.example.org",
  "*.xn--bcher-kva.example",
  { ip: "192.0.2.1" },
  { ip: "2001:db8::1" },
]);
const leaf = new X509Certificate(pair.cert);
const other = new X509Certificate((await make("root.example", ["root.example"])).cert);

const shown = (changes: Partial<ShownChain> = {}): ShownChain => ({
  certificates: [leaf.raw],
  isTrusted: true,
  ...changes,
});
const byName = (...names: string[]) => ({ by: "authorities", names }) as const;

test("a certificate is for its DNS names and addresses only; a wildcard stands for one label", () => {
  for (const [name, fits] of [
    ["mx.example.org", true],
    ["MX.Example.ORG.", true],
    ["a.pool.example.org", true],
    ["pool.example.org", false],
    ["a.b.pool.example.org", false],
    ["ww.part.example.org", false],
    // RFC 9525 section 2: the common name is no identity.
    ["cn.example.org", false],
    ["x.bücher.example", true],
    [".example.org", true],
    [".other.org", false],
    ["192.0.2.1", true],
    ["[192.0.2.1]", true],
    ["192.0.2.2", false],
    ["2001:db8::1", true],
    ["[2001:DB8:0::1]", true],
    ["", false],
    [".", false],
  ] as const)
    assert.equal(isCertificateFor(leaf, name), fits, name);
});

test("a name that is an address is never found among DNS names, nor a DNS name among addresses", async () => {
  const odd = new X509Certificate((await make("odd", ["192.0.2.7"])).cert);
  assert.equal(isCertificateFor(odd, "192.0.2.7"), false);
});

test("chain, dates and one of the names together make OK", () => {
  assert.deepEqual(verify(shown(), byName("elsewhere.example", "mx.example.org"), june), {
    result: "OK",
    by: "authorities",
  });
  const verdict = verify(shown(), byName("mx.other.org"), june);
  assert.equal(verdict.result, "FAIL");
  assert.equal(verdict.problem?.kind, "wrong-name");
  assert.equal(
    verdict.problem?.text,
    "the certificate is for mx.example.org, *.pool.example.org, w*.part.example.org and 3 more, not for mx.other.org",
  );
  assert.ok(isChainTrusted(verdict));
});

test("where no name is known the certificate is for none; that any will do must be said", () => {
  assert.deepEqual(verify(shown(), { by: "authorities", names: "any" }, june), { result: "OK", by: "authorities" });
  const verdict = verify(shown(), byName(), june);
  assert.deepEqual([verdict.result, verdict.problem?.kind], ["FAIL", "wrong-name"]);
  assert.match(verdict.problem?.text ?? "", /and here no name is known that it should be for$/);
});

test("what is kept and told of a peer's names is bounded, in number and in length", async () => {
  const many = Array.from({ length: 300 }, (_, at) => `host${at}.example.org`);
  const long = `${"a.".repeat(3000)}example.org`;
  const made = new X509Certificate((await make("c".repeat(5000), [long, ...many, { ip: "192.0.2.1" }])).cert);
  const kept = peerCertificate(shown({ certificates: [made.raw] }));
  assert.deepEqual(kept?.names, many.slice(0, 50));
  assert.equal(kept?.commonName, undefined);
  assert.ok(JSON.stringify(kept).length < 4000);
  const verdict = verify(shown({ certificates: [made.raw] }), byName("mx.other.org"), june);
  assert.equal(
    verdict.problem?.text,
    "the certificate is for host0.example.org, host1.example.org, host2.example.org and many more, not for mx.other.org",
  );
  // Those that are not kept count all the same.
  assert.equal(verify(shown({ certificates: [made.raw] }), byName("host299.example.org"), june).result, "OK");
});

test("what is wrong with a chain is told apart in plain words", () => {
  const cases: readonly [Partial<ShownChain>, string, RegExp][] = [
    [{ certificates: [] }, "no-certificate", /^no certificate was shown$/],
    [{ certificates: [Buffer.from("nonsense")] }, "other", /damaged/],
    [{ isTrusted: false, trustProblem: "DEPTH_ZERO_SELF_SIGNED_CERT" }, "self-signed", /signed by itself/],
    [
      { isTrusted: false, trustProblem: "SELF_SIGNED_CERT_IN_CHAIN", certificates: [leaf.raw, other.raw] },
      "unknown-authority",
      /CN=cn\.example\.org, which is not trusted here/,
    ],
    [
      { isTrusted: false, trustProblem: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" },
      "incomplete-chain",
      /^only the certificate itself was sent/,
    ],
    [
      {
        isTrusted: false,
        trustProblem: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
        certificates: [leaf.raw, other.raw],
      },
      "unknown-authority",
      /not trusted here/,
    ],
    [{ isTrusted: false, trustProblem: "CERT_REVOKED" }, "revoked", /has revoked/],
    [{ isTrusted: false, trustProblem: "INVALID_PURPOSE" }, "unfit", /not meant for this use \(INVALID_PURPOSE\)/],
    [{ isTrusted: false, trustProblem: "SOMETHING_NEW" }, "other", /SOMETHING_NEW/],
    [{ isTrusted: false }, "other", /for no reason told/],
  ];
  for (const [changes, kind, text] of cases) {
    const verdict = verify(shown(changes), byName("mx.example.org"), june);
    assert.equal(verdict.result, "FAIL", kind);
    assert.equal(verdict.problem?.kind, kind);
    assert.match(verdict.problem?.text ?? "", text);
    assert.equal(isChainTrusted(verdict), false);
  }
});

test("dates are looked at now, also for a session that is resumed long after its handshake", () => {
  const late = verify(shown(), byName("mx.example.org"), Date.UTC(2027, 0, 5));
  assert.deepEqual(late.problem, { kind: "expired", text: "the certificate expired on 2026-12-31" });
  const early = verify(shown(), byName("mx.example.org"), Date.UTC(2025, 11, 31));
  assert.deepEqual(early.problem, { kind: "not-yet-valid", text: "the certificate is not valid before 2026-01-01" });
  const told = verify(
    shown({ isTrusted: false, trustProblem: "CERT_HAS_EXPIRED" }),
    byName("mx.example.org"),
    Date.UTC(2027, 0, 5),
  );
  assert.equal(told.problem?.text, "the certificate expired on 2026-12-31");
});

test("a fingerprint of the certificate or of its key is enough, and nothing else is", () => {
  const certificate = fingerprintOf(leaf);
  const key = keyFingerprintOf(leaf);
  assert.notEqual(certificate, key);
  const untrusted = shown({ isTrusted: false, trustProblem: "DEPTH_ZERO_SELF_SIGNED_CERT" });
  const wants = (...fingerprints: string[]) => ({ by: "fingerprint", fingerprints }) as const;
  for (const fingerprint of [certificate, key])
    assert.deepEqual(verify(untrusted, wants("0".repeat(64), fingerprint), Date.UTC(2030, 0, 1)), {
      result: "OK",
      by: "fingerprint",
    });
  const verdict = verify(shown(), wants(fingerprintOf(other)), june);
  assert.equal(verdict.problem?.kind, "wrong-fingerprint");
  assert.ok(verdict.problem?.text.includes(certificate) && verdict.problem.text.includes(key));
  assert.equal(verify(shown(), wants(), june).result, "FAIL");
});

test("a fingerprint is read in any case, with or without colons and its algorithm's name", () => {
  const hex = fingerprintOf(leaf);
  const colons = hex.toUpperCase().match(/../g)?.join(":") ?? "";
  for (const text of [hex, hex.toUpperCase(), colons, `sha256:${colons}`, ` SHA-256:${hex} `, `sha256=${hex}`])
    assert.deepEqual(parseFingerprint(text), { ok: true, value: hex });
  for (const text of ["", "12:34", "ab".repeat(20), `${hex}0`, "x".repeat(64)])
    assert.equal(parseFingerprint(text).ok, false);
  const sha1 = parseFingerprint("ab".repeat(20));
  assert.ok(!sha1.ok && sha1.problem.expected.includes("160 bits are given"));
});

test("a long subject is shown by its beginning, and kept whole for comparing as long as anybody could write it", async () => {
  for (const [characters, isKept] of [
    [190, undefined],
    [300, true],
    [2500, false],
  ] as const) {
    const { cert } = await make("x".repeat(characters), ["mx.example.org"]);
    const told = peerCertificate(shown({ certificates: [new X509Certificate(cert).raw] }));
    const whole = `CN=${"x".repeat(characters)}`;
    assert.equal(told?.subject, whole.slice(0, 200));
    assert.equal(told.wholeSubject, isKept === undefined ? undefined : isKept ? whole : "");
  }
});

test("a shown chain is described for the log", () => {
  const told = peerCertificate(shown({ certificates: [leaf.raw, other.raw] }));
  assert.equal(told?.subject, "CN=cn.example.org");
  assert.equal(told?.commonName, "cn.example.org");
  assert.equal(told?.fingerprint, fingerprintOf(leaf));
  assert.deepEqual(told?.chain, [fingerprintOf(leaf), fingerprintOf(other)]);
  assert.ok(told?.names.includes("*.pool.example.org"));
  assert.equal(told?.notAfterAt, notAfterDate.getTime());
  assert.equal(peerCertificate(shown({ certificates: [] })), undefined);
});

test("whatever is shown and wanted, a verdict comes, and OK only with a trusted chain or a fingerprint", () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
          fc.constant(leaf.raw),
        ),
        {
          maxLength: 3,
        },
      ),
      fc.boolean(),
      fc.option(fc.string(), { nil: undefined }),
      fc.array(fc.string(), { maxLength: 3 }),
      fc.integer({ min: 0, max: 4e12 }),
      (certificates, isTrusted, trustProblem, names, now) => {
        const verdict = verify({ certificates, isTrusted, trustProblem }, { by: "authorities", names }, now);
        if (verdict.result === "OK") assert.ok(isTrusted && certificates[0]?.equals(leaf.raw));
        else assert.ok((verdict.problem?.text ?? "") !== "");
      },
    ),
  );
});

test("e-mail addresses of the subjectAltName are told, and none that only stands inside another name", async () => {
  const made = await generate([{ name: "commonName", value: "boss@example.org" }], {
    keyType: "ec",
    extensions: [
      {
        name: "subjectAltName",
        altNames: [
          { type: 1, value: "Ann@example.org" },
          { type: 6, value: "http://x/, email:boss@example.org" },
          { type: 2, value: "mx.example.org" },
        ],
      },
    ],
  });
  const facts = peerCertificate(shown({ certificates: [new X509Certificate(made.cert).raw] }));
  assert.deepEqual(facts?.emails, ["Ann@example.org"]);
  assert.deepEqual(facts?.names, ["mx.example.org"]);
});
