import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { formatRelay, parseRelay, type Relay } from "./relay.ts";

function parsed(text: string): Relay {
  const result = parseRelay(text);
  assert.ok(result.ok, `${text} should be a relay`);
  return result.value;
}

test("a host without a scheme is tried with STARTTLS and falls back to plaintext on port 25", () => {
  assert.deepEqual(parsed("mx.example"), {
    protocol: "smtp",
    tls: "may",
    to: { kind: "host", host: "mx.example" },
    defaultPort: 25,
  });
});

test("each scheme decides encryption and port", () => {
  for (const [text, tls, port] of [
    ["smtp+tls://a.example", "may", 25],
    ["smtp://a.example", "never", 25],
    ["tls://a.example", "starttls", 25],
    ["smtps://a.example", "implicit", 465],
    ["ssl://a.example", "starttls-or-implicit", 25],
  ] as const) {
    const relay = parsed(text);
    assert.equal(relay.tls, tls, text);
    assert.equal(relay.defaultPort, port, text);
    assert.equal(relay.protocol, "smtp", text);
  }
  assert.equal(parsed("lmtp://a.example:24").protocol, "lmtp");
});

test("address literals, ports and a credentials label are understood", () => {
  assert.deepEqual(parsed("tls://[2001:DB8::1]:2525").to, { kind: "host", host: "2001:db8::1", port: 2525 });
  assert.deepEqual(parsed("tls://[IPv6:2001:db8::1]").to, { kind: "host", host: "2001:db8::1" });
  assert.deepEqual(parsed("smtp://127.0.0.1:25").to, { kind: "host", host: "127.0.0.1", port: 25 });
  const relay = parsed("smtps://office@mail.example:4650");
  assert.equal(relay.credentials, "office");
  assert.deepEqual(relay.to, { kind: "host", host: "mail.example", port: 4650 });
});

test("an internationalised host goes by its A-labels, and is shown as it was written", () => {
  const relay = parsed("tls://office@BÜCHER.example:2525");
  assert.deepEqual(relay.to, { kind: "host", host: "xn--bcher-kva.example", port: 2525 });
  assert.equal(formatRelay(relay), "tls://office@bücher.example:2525");
  assert.equal(
    parsed("lmtp://bücher。example").to.kind === "host" && formatRelay(parsed("XN--bcher-kva.example")),
    "smtp+tls://xn--bcher-kva.example",
  );
  const backup = parsed("tls+backup://mx2.bücher.example");
  assert.equal(backup.backupAs, "mx2.xn--bcher-kva.example");
  assert.equal(formatRelay(backup), "tls+backup://mx2.bücher.example");
  // What has no A-labels is no host.
  for (const text of ["tls://\u200d.example", `smtp://${"ü".repeat(60)}.example`, "backup://\u2488com"])
    assert.equal(parseRelay(text).ok, false, text);
});

test("LMTP goes over a unix socket named by an absolute path", () => {
  assert.deepEqual(parsed("lmtp+unix:/run/dovecot/lmtp").to, { kind: "unix", path: "/run/dovecot/lmtp" });
  assert.deepEqual(parsed("lmtp+unix:///run/dovecot/lmtp").to, { kind: "unix", path: "/run/dovecot/lmtp" });
  assert.equal(parseRelay("lmtp+unix:run/lmtp").ok, false);
});

test("backup relays go to the domain's better MX hosts, with any scheme's encryption", () => {
  assert.deepEqual(parsed("backup://mx2.example"), {
    protocol: "smtp",
    tls: "may",
    to: { kind: "mx" },
    defaultPort: 25,
    backupAs: "mx2.example",
  });
  assert.equal(parsed("tls+backup://").backupAs, "");
  assert.equal(parsed("tls+backup://").tls, "starttls");
});

test("what is wrong is said with its place", () => {
  for (const [text, at] of [
    ["http://a.example", 0],
    ["smtp://", 7],
    ["smtp://a.example:0", 17],
    ["smtp://a.example:99999", 17],
    ["smtp://[1.2.3]", 7],
    ["smtp://user:secret@a.example", 7],
    ["smtp://a..example", 7],
    ["toString://a.example", 0],
  ] as const) {
    const result = parseRelay(text);
    assert.equal(result.ok, false, text);
    if (!result.ok) assert.equal(result.problem.at, at, text);
  }
});

test("a password in a relay is refused without being repeated", () => {
  const result = parseRelay("smtp://user:hunter2@a.example");
  assert.ok(!result.ok && !result.problem.expected.includes("hunter2"));
});

test("parse(format(relay)) is the relay, and no text throws", () => {
  const host = fc.constantFrom("a.example", "192.0.2.1", "[2001:db8::1]", "mx-1.b.example", "Bücher.example");
  const scheme = fc.constantFrom("smtp+tls", "smtp", "tls", "smtps", "ssl", "lmtp");
  const port = fc.constantFrom("", ":1", ":25", ":65535");
  const label = fc.constantFrom("", "office@", "a.b-c@");
  fc.assert(
    fc.property(scheme, label, host, port, (s, l, h, p) => {
      const relay = parsed(`${s}://${l}${h}${p}`);
      assert.deepEqual(parsed(formatRelay(relay)), relay);
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const relay = parseRelay(text);
      if (relay.ok) assert.deepEqual(parsed(formatRelay(relay.value)), relay.value);
    }),
  );
  for (const text of ["backup://mx2.example", "tls+backup://", "lmtp+unix:/run/x"])
    assert.deepEqual(parsed(formatRelay(parsed(text))), parsed(text));
});
