import assert from "node:assert/strict";
import { test } from "node:test";
import type { Flight } from "../../service/tls/flight/flight.ts";
import { peerCertificate, tlsFacts, tlsFinding } from "../../testing/tls-facts.ts";
import { summarizeCloses } from "./tls-closes.ts";
import type { CloseCount, FailureRow, SessionRow, TlsRecord } from "./tls-journal.ts";
import { factsOf, nextText, tlsStory } from "./tls-story.ts";

const common = {
  id: 1,
  session: "smtp-1",
  direction: "in",
  peer: "c[192.0.2.1]",
  address: "192.0.2.1",
  place: "smtp",
} as const;
const flight: Flight = {
  role: "server",
  startedAt: 1000,
  events: [
    { atMs: 0, direction: "in", what: "ClientHello", detail: "TLSv1.3", bytes: 300 },
    { atMs: 5, direction: "out", what: "Alert", detail: "fatal", bytes: 7 },
  ],
  omitted: 3,
  bytes: { in: 300, out: 7 },
  wire: [],
};
const failure: FailureRow = {
  ...common,
  at: 1005,
  wasUp: false,
  finding: tlsFinding(),
  next: { at: 2000, session: "smtp-2", how: "plaintext", mails: 0, after: "MAIL" },
};

function event(at: number, name: string) {
  const record = { at, name, level: "info", from: { role: "server", pid: 1, startedAt: 0 }, fields: {} } as const;
  return { id: at, record };
}

test("the wire's steps stand between the log's lines, in order, and what the peer did next at the end", () => {
  const record: TlsRecord = { kind: "failure", row: failure, flight };
  const steps = tlsStory({ record, events: [event(999, "connected"), event(1005, "failed")], inForce: [] });
  assert.deepEqual(
    steps.map((step) => (step.kind === "log" ? step.entry.record.name : step.text)),
    [
      "connected",
      "ClientHello: TLSv1.3 (300 bytes)",
      "Alert: fatal (7 bytes)",
      "failed",
      "and 3 more steps, which were only counted",
      "the same client came back in plaintext (session smtp-2), and left after MAIL",
    ],
  );
  assert.deepEqual(
    steps.filter(({ kind }) => kind === "wire").map((step) => step.kind === "wire" && step.from),
    ["peer", "us"],
  );
});

test("the next connection is told in a sentence, whichever way it went", () => {
  const next = { at: 1, session: "s2", mails: 0 } as const;
  assert.equal(
    nextText({ ...next, how: "tls", mails: 1 }, "in"),
    "the same client came back and TLS worked (session s2), with one mail",
  );
  assert.equal(nextText({ ...next, how: "failed" }, "in"), "the same client came back and failed again (session s2)");
  assert.equal(
    nextText({ ...next, how: "plaintext", mails: 2 }, "out"),
    "we tried again in plaintext (session s2), with 2 mails",
  );
});

test("the facts of a failure have its sentence, fault and cure; those of a session its certificate and its end", () => {
  const instant = (at: number): string => `at ${at}`;
  const failed = new Map(factsOf({ kind: "failure", row: failure }, instant, 2000));
  assert.match(failed.get("sentence") ?? "", /fell silent/);
  assert.equal(failed.get("fault"), "unknown");
  assert.match(failed.get("next") ?? "", /left after MAIL/);
  const row: SessionRow = {
    ...common,
    at: 1,
    direction: "out",
    facts: tlsFacts({
      role: "client",
      peerCertificate: peerCertificate(),
      verdict: { result: "OK", by: "authorities" },
    }),
    closed: { at: 9, closing: { peer: "reset", we: "close_notify" }, moment: "over", after: "QUIT" },
  };
  const worked = new Map(factsOf({ kind: "session", row }, instant, 2000));
  assert.equal(worked.get("verification"), "OK by authorities");
  assert.match(worked.get("its certificate") ?? "", /^CN=ann,O=Example; issued by CN=Example CA/);
  assert.match(
    worked.get("closed") ?? "",
    /^at 9 unclean: the peer reset the connection \(RST\); after QUIT: nothing is lost$/,
  );
});

test("that a peer did not come back within a minute is said when the minute is over, and only of handshakes", () => {
  const next = (row: FailureRow, now: number): string | undefined =>
    new Map(factsOf({ kind: "failure", row: { ...row, next: undefined } }, String, now)).get("next");
  assert.equal(next(failure, failure.at + 59_000), "nothing from this peer so far");
  assert.equal(next(failure, failure.at + 60_000), "nothing from this peer within a minute");
  assert.equal(next({ ...failure, wasUp: true }, failure.at + 60_000), undefined);
});

test("endings are summed by peer and direction, the losses apart, and all together", () => {
  const count = (
    ending: CloseCount["ending"],
    moment: CloseCount["moment"],
    more: Partial<CloseCount> = {},
  ): CloseCount => ({
    direction: "in",
    address: "192.0.2.1",
    peer: "a[192.0.2.1]",
    ending,
    moment,
    count: 1,
    lastAt: 1,
    ...more,
  });
  const { peers, all } = summarizeCloses([
    count("close_notify", "over", { count: 10 }),
    count("truncated", "over", { count: 3, lastAt: 7 }),
    count("reset", "content"),
    count("unknown", "over"),
    // A proper end inside content: the mail is void all the same.
    count("close_notify", "content"),
    count("close_notify", "over", { direction: "out" }),
    count("truncated", "over", { address: "192.0.2.2", peer: "b[192.0.2.2]" }),
  ]);
  assert.deepEqual(
    peers.map((one) => [one.peer, one.direction, one.total, one.clean, one.unclean, one.unknown, one.losses]),
    [
      ["a[192.0.2.1]", "in", 16, 11, 4, 1, 2],
      ["b[192.0.2.2]", "in", 1, 0, 1, 0, 0],
      ["a[192.0.2.1]", "out", 1, 1, 0, 0, 0],
    ],
  );
  assert.deepEqual(peers[0]?.how, { truncated: 3, reset: 1 });
  assert.equal(peers[0]?.lastAt, 7);
  assert.deepEqual(
    all.map(({ direction, total, unclean }) => [direction, total, unclean]),
    [
      ["in", 17, 5],
      ["out", 1, 0],
    ],
  );
});
