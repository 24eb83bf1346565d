import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { envelopeIdOf, messageIdOf } from "../../../foundation/ids.ts";
import type { Operation } from "../store.ts";
import { commitOf } from "../store.suite.ts";
import {
  appliedOf,
  applyQuestion,
  attemptsOf,
  bodyOf,
  envelopesOf,
  messageOf,
  notesOf,
  parseAnswer,
  parseHello,
  scannedOf,
} from "./messages.ts";

const id = messageIdOf(1);

test("a batch is told as the manual says", () => {
  const { message, envelopes } = commitOf(1);
  const [first] = envelopes;
  assert.ok(first !== undefined);
  const { id: _id, message: _message, ...envelope } = first.envelope;
  const update: Operation = { do: "update", envelope: envelopeIdOf(id, 2), progress: first.progress };
  const batch: readonly Operation[] = [
    commitOf(1),
    { ...commitOf(1), body: { kind: "file", name: "00/x", sizeBytes: 9 } },
    update,
    { do: "remove", envelope: envelopeIdOf(id, 3) },
    { do: "note", key: "k" },
    { do: "note", key: "k", text: "t" },
  ];
  const told = [{ n: 1, envelope, progress: first.progress }];
  assert.deepEqual(JSON.parse(JSON.stringify(applyQuestion(batch))), {
    do: "apply",
    operations: JSON.parse(
      JSON.stringify([
        { do: "commit", message, body: { base64: "Y29udGVudCBvZiAx", bytes: 12 }, envelopes: told },
        { do: "commit", message, body: { file: "00/x", bytes: 9 }, envelopes: told },
        { do: "update", message: id, n: 2, progress: first.progress },
        { do: "remove", message: id, n: 3 },
        { do: "note", key: "k", text: null },
        { do: "note", key: "k", text: "t" },
      ]),
    ),
  });
});

test("a hello says who speaks and what is there; another protocol, version or an error is told", () => {
  const expected = (line: string): string => {
    const parsed = parseHello(line);
    return parsed.ok ? JSON.stringify(parsed.value) : parsed.problem.expected;
  };
  const hello = { hello: "posthorn-queue", version: 1, program: "x 1", messages: 2, envelopes: 3 };
  assert.equal(expected(JSON.stringify(hello)), '{"program":"x 1","messages":2,"envelopes":3}');
  assert.match(expected(JSON.stringify({ ...hello, version: 2 })), /^version 1 of the protocol, not "2"$/);
  assert.match(expected(JSON.stringify({ ...hello, messages: -1 })), /^how many messages/);
  assert.match(expected('{"error":"no such disk"}'), /: no such disk$/);
  assert.match(expected("usage: program FILE"), /^a hello, not "usage: program FILE"$/);
});

test("an answer is ok, refused, full or failed; anything else is none", () => {
  const answered = (line: string): unknown => {
    const parsed = parseAnswer(line);
    return parsed.ok ? parsed.value : undefined;
  };
  assert.deepEqual(answered('{"id":1,"ok":null}'), { id: 1, answer: { kind: "ok", value: null } });
  assert.deepEqual(answered('{"id":2,"full":"no room"}'), { id: 2, answer: { kind: "full", text: "no room" } });
  assert.deepEqual(answered('{"id":3,"refused":"taken"}'), { id: 3, answer: { kind: "refused", text: "taken" } });
  assert.deepEqual(answered('{"id":4,"failed":"EIO"}'), { id: 4, answer: { kind: "failed", text: "EIO" } });
  for (const line of ["", "ok", "[]", "null", '{"id":1}', '{"id":"1","ok":1}', '{"id":-1,"ok":1}', '{"id":1,"full":7}'])
    assert.equal(answered(line), undefined, line);
});

test("what a program gives back is taken only when it is what it was given", () => {
  const message = { ...commitOf(1).message };
  const row = {
    message,
    numbered: 1,
    body: { bytes: 12 },
    n: 1,
    envelope: { recipient: "a@b", action: "relay", notify: [] },
  };
  const progress = { state: "queued", dueAt: 1, expiresAt: 2, attempts: 0 };
  const scanned = scannedOf({ rows: [{ ...row, progress }], more: true });
  assert.equal(scanned?.isLast, false);
  assert.equal(scanned?.rows[0]?.envelope.id, envelopeIdOf(id, 1));
  for (const broken of [
    { rows: [row] },
    { rows: [{ ...row, progress: { ...progress, dueAt: "soon" } }] },
    { rows: [{ ...row, progress, message: { ...message, id: "nonsense" } }] },
    { rows: [{ ...row, progress, n: 0.5 }] },
    {},
    null,
  ])
    assert.equal(scannedOf(broken), undefined);
  assert.deepEqual(bodyOf({ base64: "AAE=" }), { kind: "inline", bytes: Buffer.from([0, 1]) });
  assert.equal(bodyOf({ file: "x" }), undefined);
  assert.equal(appliedOf({ messages: 1 }), undefined);
  assert.equal(notesOf([{ key: "k" }]), undefined);
  assert.equal(attemptsOf([1]), undefined);
});

test("no line and no value of a program ends the process", () => {
  fc.assert(
    fc.property(fc.string(), fc.jsonValue(), (line, value) => {
      parseHello(line);
      parseAnswer(line);
      parseHello(JSON.stringify(value));
      parseAnswer(JSON.stringify(value));
      for (const reader of [scannedOf, messageOf, envelopesOf, bodyOf, notesOf, attemptsOf, appliedOf]) reader(value);
    }),
  );
});
