import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { defineEvent } from "../../foundation/events.ts";
import { jsonLine } from "./json-line.ts";
import { connectFailed } from "../delivery/smtp/events.ts";
import { entryOf, LONGEST_LINE, tagOf } from "./line.ts";
import type { EventRecord, Fields } from "./record.ts";

const said = defineEvent({
  name: "test.said",
  level: "info",
  speaker: "smtpd",
  says: "A peer said something.",
  fields: { session: "text?", what: "text" },
  line: (e) => `said ${e.what}`,
});
const silent = defineEvent({ ...said, name: "test.silent", line: () => undefined });

function record(fields: Fields): EventRecord {
  return { at: 0, name: "test.said", level: "info", from: { role: "ingress", pid: 4711, startedAt: 0 }, fields };
}

// C0, DEL, C1, line separators and what reorders text.
const HARMFUL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

test("no text of a peer puts a control character into a line or its JSON", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (what) => {
      const entry = entryOf(record({ what }), said);
      assert.doesNotMatch(entry.text ?? "", HARMFUL);
      const json = jsonLine(entry, "2026-11-21T12:00:00.000Z");
      assert.doesNotMatch(json, HARMFUL);
      assert.equal((JSON.parse(json) as { what: string }).what, what);
    }),
  );
});

test("in JSON no field of an event takes the place of a fixed member", () => {
  const fields = { level: "domain", role: "egress", pid: "12", key: "b.example", tookMs: 3 };
  const json = jsonLine(entryOf(record(fields), undefined), "2026-11-21T12:00:00.000Z");
  assert.deepEqual(JSON.parse(json), {
    time: "2026-11-21T12:00:00.000Z",
    level: "info",
    event: "test.said",
    role: "ingress",
    pid: 4711,
    ownLevel: "domain",
    ownRole: "egress",
    ownPid: "12",
    key: "b.example",
    tookMs: 3,
  });
});

test("lines of a session carry the process and the session in brackets, others the process", () => {
  assert.equal(tagOf(entryOf(record({ what: "x" }), said)), "posthorn/smtpd[4711]");
  const tags = ["smtp-1a", "smtp-1b", "submission-1a"].map((session) =>
    tagOf(entryOf(record({ what: "x", session }), said)),
  );
  for (const tag of tags) assert.match(tag, /^posthorn\/smtpd\[4711\d{8}\]$/);
  assert.equal(new Set(tags).size, 3);
  assert.match(tags[0] ?? "", /00046\]$/);
});

test("the client of LMTP speaks as that, whatever it tells", () => {
  for (const protocol of ["smtp", "lmtp"]) {
    const fields = { session: "s1", protocol, host: "h[/run/lmtp]", problem: "Connection refused", took: 1 };
    const entry = entryOf({ ...record({ what: "" }), name: connectFailed.name, fields }, connectFailed);
    assert.equal(tagOf(entry), `posthorn/${protocol}[4711]`);
  }
});

test("an event for machines only has no line", () => {
  assert.equal(entryOf(record({ what: "x" }), silent).text, undefined);
});

test("an event that this program does not know still tells its fields", () => {
  const entry = entryOf({ ...record({ what: "x" }), name: "future.event" }, undefined);
  assert.equal(entry.text, 'future.event: {"what":"x"}');
});

test("an endless text is cut, and the cut is said", () => {
  const text = entryOf(record({ what: "x".repeat(100_000) }), said).text ?? "";
  assert.ok(text.length < LONGEST_LINE + 100);
  assert.match(text, /\(cut, 100005 characters\)$/);
});
