import assert from "node:assert/strict";
import { test } from "node:test";
import { defineEvent } from "../../foundation/events.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { createEmitter, recordedLevel } from "./emitter.ts";
import { decodeRecords, encodeRecords, type EventRecord } from "./record.ts";

const happened = defineEvent({
  name: "test.happened",
  level: "info",
  speaker: "qmgr",
  says: "Something happened.",
  fields: { what: "text" },
  line: (e) => e.what,
});
const detail = defineEvent({ ...happened, name: "test.detail", level: "debug" });
const noon = Date.UTC(2026, 10, 21, 12);

function emitterFor(hand: (records: readonly EventRecord[]) => boolean | void, options = {}) {
  const clock = virtualClock(noon);
  return { clock, ...createEmitter({ clock, process: { role: "ingress", pid: 7 }, level: "info", hand, ...options }) };
}

test("events are handed on together, after a short wait", async () => {
  const batches: string[][] = [];
  const { clock, emit } = emitterFor(
    (records) => void batches.push(records.map((record) => String(record.fields["what"]))),
  );
  emit(happened, { what: "one" });
  emit(happened, { what: "two" });
  assert.deepEqual(batches, []);
  await clock.advance(50);
  assert.deepEqual(batches, [["one", "two"]]);
});

test("a full batch does not wait", () => {
  const sizes: number[] = [];
  const { emit } = emitterFor((records) => void sizes.push(records.length), { batchRecords: 3 });
  for (const what of ["a", "b", "c", "d"]) emit(happened, { what });
  assert.deepEqual(sizes, [3]);
});

test("debug events are made only when they are wanted, also when that changes", () => {
  const names: string[] = [];
  const { emit, flush, setLevel } = emitterFor((records) => void names.push(...records.map(({ name }) => name)));
  emit(detail, { what: "unseen" });
  setLevel("debug");
  emit(detail, { what: "seen" });
  flush();
  assert.deepEqual(names, ["test.detail"]);
});

test("what somebody asked for is made whatever the level is", () => {
  const asked = defineEvent({ ...happened, name: "test.asked", level: "debug", isAsked: true });
  const names: string[] = [];
  const { emit, flush, setLevel } = emitterFor((records) => void names.push(...records.map(({ name }) => name)));
  setLevel("error");
  emit(happened, { what: "unseen" });
  emit(asked, { what: "seen" });
  flush();
  assert.deepEqual(names, ["test.asked"]);
});

test("records that nobody takes come again; beyond the bound debug goes first, and the gap is said", async () => {
  let isOpen = false;
  const taken: EventRecord[] = [];
  const { clock, emit } = emitterFor(
    (records) => {
      if (isOpen) taken.push(...records);
      return isOpen;
    },
    { mostRecords: 3, level: "debug" },
  );
  emit(detail, { what: "d1" });
  for (const what of ["a", "b", "c", "d"]) emit(happened, { what });
  emit(detail, { what: "d2" });
  await clock.advance(500);
  isOpen = true;
  await clock.advance(50);
  emit(happened, { what: "e" });
  await clock.advance(50);
  assert.deepEqual(
    taken.map(({ name, fields }) => [name, fields["what"] ?? [fields["lost"], fields["lostDebug"]]]),
    [
      ["test.happened", "a"],
      ["test.happened", "b"],
      ["test.happened", "c"],
      ["test.happened", "e"],
      ["log.events-lost", [1, 2]],
    ],
  );
});

test("a full buffer costs an event no look at all that waits", () => {
  const { emit } = emitterFor(() => false);
  for (let count = 0; count < 20_000; count++) emit(happened, { what: "kept" });
  const startedAt = performance.now();
  for (let count = 0; count < 20_000; count++) emit(happened, { what: "lost" });
  assert.ok(performance.now() - startedAt < 2000);
  const other = emitterFor(() => false, { level: "debug" });
  for (let count = 0; count < 19_999; count++) other.emit(happened, { what: "kept" });
  const debugAt = performance.now();
  for (let count = 0; count < 20_000; count++) other.emit(detail, { what: "lost" });
  assert.ok(performance.now() - debugAt < 2000);
});

test("whatever the log is told, what the journal keeps is recorded", () => {
  for (const level of ["error", "warning", "info"] as const) assert.equal(recordedLevel(false, { level }), "info");
  assert.equal(recordedLevel(false, { level: "debug" }), "debug");
  assert.equal(recordedLevel(true, { level: "error" }), "debug");
});

test("a batch crosses a process boundary unchanged", () => {
  const records: EventRecord[] = [];
  const { emit, flush } = emitterFor((batch) => void records.push(...batch));
  emit(happened, { what: "é\u0000\u2028" });
  emit(happened, { what: "two" });
  flush();
  assert.deepEqual(decodeRecords(encodeRecords(records)), records);
});
