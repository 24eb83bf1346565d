import assert from "node:assert/strict";
import { test } from "node:test";
import type { Cause, CauseKind } from "../../envelope/failure.ts";
import { sentenceFor } from "./sentence.ts";

const text = "details for administrators";
/** Every kind of cause with every reason it has; the compiler tells when a kind is missing. */
const causes: { readonly [Kind in CauseKind]: readonly Extract<Cause, { kind: Kind }>[] } = {
  reply: [{ kind: "reply", during: "RCPT" }],
  dns: [{ kind: "dns", finding: { reason: "timeout", name: "example.org", type: "MX", server: "127.0.0.1:53", text } }],
  "no-such-domain": [{ kind: "no-such-domain", domain: "example.org" }],
  "null-mx": [{ kind: "null-mx", domain: "example.org" }],
  "mx-loop": [{ kind: "mx-loop", domain: "example.org" }],
  "no-address": [
    { kind: "no-address", host: "mx.example.org" },
    { kind: "no-address", host: "example.org", isDomain: true },
  ],
  connect: (["refused", "timeout", "unreachable", "reset", "source", "other"] as const).map((reason) => ({
    kind: "connect",
    reason,
    text,
  })),
  lost: (["closed", "reset", "timeout", "other"] as const).map((reason) => ({ kind: "lost", reason, during: "DATA" })),
  protocol: [{ kind: "protocol", during: "EHLO", text }],
  tls: (["not-offered", "refused", "handshake", "unverified"] as const).map((reason) => ({
    kind: "tls",
    reason,
    text,
  })),
  auth: (["not-offered", "no-mechanism", "refused", "not-encrypted"] as const).map((reason) => ({
    kind: "auth",
    reason,
    text,
  })),
  unsupported: [
    ...(["SMTPUTF8", "8BITMIME", "BINARYMIME", "SIZE", "REQUIRETLS"] as const).map((extension) => {
      return { kind: "unsupported", extension } as const;
    }),
    { kind: "unsupported", extension: "BINARYMIME", isWithheld: true },
  ],
  mailbox: (["no-such-user", "locked", "full", "permission", "io"] as const).map((reason) => ({
    kind: "mailbox",
    reason,
    text,
  })),
  command: [{ kind: "command", text }],
  alias: (["loop", "too-many", "unknown", "refused", "nobody", "not-now"] as const).map((reason) => ({
    kind: "alias",
    reason,
    text,
  })),
  "not-tried": [{ kind: "not-tried" }],
  hops: [{ kind: "hops", count: 51 }],
  expired: [{ kind: "expired", afterMs: 4 * 86_400_000 }],
  "deliver-by": [{ kind: "deliver-by", at: 0 }],
  settings: [{ kind: "settings", text }],
  operator: [{ kind: "operator", text: "" }],
  internal: [{ kind: "internal", text }],
};

test("every cause is told in whole sentences of its own, with and without a host", () => {
  const seen = new Set<string>();
  for (const cause of Object.values(causes).flat()) {
    for (const host of [undefined, "mx.example.org[192.0.2.1]:25"]) {
      const sentence = sentenceFor({ lasting: "permanent", status: "5.0.0", cause, host });
      assert.match(sentence, /^[A-Z][^\n]*\.$/, cause.kind);
      assert.ok(!/undefined|\[object|NaN|  /.test(sentence), sentence);
      // What is meant for administrators may show how the server is built, and helps no sender.
      assert.ok(!sentence.includes(text), sentence);
      if (host === undefined) assert.ok(!seen.has(sentence), `told alike: ${sentence}`);
      seen.add(sentence);
    }
  }
});

test("a refusal for now is told otherwise than one for good", () => {
  const cause = { kind: "reply", during: "RCPT" } as const;
  assert.notEqual(
    sentenceFor({ lasting: "temporary", status: "4.2.0", cause }),
    sentenceFor({ lasting: "permanent", status: "5.2.0", cause }),
  );
});

test("the domain or the host that is to blame is named", () => {
  const all = (kind: CauseKind): string =>
    causes[kind].map((cause) => sentenceFor({ lasting: "permanent", status: "5.0.0", cause })).join();
  for (const kind of ["dns", "no-such-domain", "null-mx", "mx-loop"] as const) assert.match(all(kind), /example\.org/);
  assert.match(all("no-address"), /mx\.example\.org/);
});
