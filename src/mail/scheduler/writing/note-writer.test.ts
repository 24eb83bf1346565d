import assert from "node:assert/strict";
import { test } from "node:test";
import { PosthornError } from "../../../foundation/error.ts";
import { simulatedScheduling } from "../../../simulator/scheduling.ts";
import { memoryStore } from "../../queue/memory-store.ts";
import { NoteWriter } from "./note-writer.ts";

test("a suspension that was lifted after the disk was full is not there at the next start", async () => {
  const inner = memoryStore();
  let isFull = false;
  const store: typeof inner = {
    ...inner,
    async apply(batch) {
      if (isFull) throw new PosthornError("SPOOL_FULL", { message: "no room", advice: "make some" });
      await inner.apply(batch);
    },
  };
  const { scheduler, clock } = simulatedScheduling({ store });
  const what = { level: "domain", key: "a.example" } as const;
  isFull = true;
  const set = scheduler.suspend({ ...what, because: "an incident", by: "ann", setAt: clock.now() });
  await clock.advance(1000);
  isFull = false;
  const lifted = scheduler.unsuspend(what.level, what.key, "ann");
  await clock.advance(10_000);
  assert.deepEqual([await set, await lifted], [0, 0]);
  assert.deepEqual(await inner.notes(""), []);
});

test("notes of a key are written one after the other, the last of those that wait; other keys do not wait for them", async () => {
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const notes = new NoteWriter((operations) => {
    begun.push(operations.map((one) => (one.do === "note" ? `${one.key}=${one.text ?? ""}` : one.do)).join());
    return new Promise((resolve) => ends.push(() => resolve("written")));
  });
  const told: string[] = [];
  const note = (key: string, text?: string): void => void notes.note(key, text).then(() => told.push(`${key}${text}`));
  note("a", "1");
  note("a", "2");
  note("a");
  note("b", "1");
  assert.deepEqual(begun, ["a=1", "b=1"]);
  ends[0]?.();
  await new Promise(setImmediate);
  assert.deepEqual(begun, ["a=1", "b=1", "a="]);
  assert.deepEqual(told, ["a1"]);
  note("a", "3");
  ends[2]?.();
  await new Promise(setImmediate);
  assert.deepEqual(begun, ["a=1", "b=1", "a=", "a=3"]);
  assert.deepEqual(told, ["a1", "a2", "aundefined"]);
});

test("a note that could not be written does not hold up the next one of its key", async () => {
  let count = 0;
  const notes = new NoteWriter(async () => {
    if (++count === 1) throw new Error("stopped");
    return "written";
  });
  const first = assert.rejects(notes.note("a", "1"), /stopped/);
  await notes.note("a", "2");
  await first;
  assert.equal(count, 2);
});
