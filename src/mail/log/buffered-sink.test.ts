import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import { bufferedSink } from "./buffered-sink.ts";
import type { Bufferable } from "./sink.ts";

function lingering() {
  const clock = virtualClock(0);
  const sent: string[][] = [];
  const sink = bufferedSink<Bufferable>({
    name: "somewhere",
    outlet: {
      batchCharacters: 10,
      send: async (lines) => void sent.push(lines.map((line) => line.text)),
      reopen: () => {},
      close: () => Promise.resolve(),
    },
    clock,
    mostCharacters: 1000,
    lingerMs: 50,
    reports: { trouble: () => {}, lost: () => {} },
  });
  const write = (text: string): void => sink.write([{ text, isDebug: false }]);
  return { clock, sent, sink, write };
}

test("where batches are dear, lines written within the time travel together", async () => {
  const { clock, sent, write } = lingering();
  write("a");
  await clock.advance(20);
  write("b");
  assert.deepEqual(sent, []);
  await clock.advance(40);
  assert.deepEqual(sent, [["a", "b"]]);
  write("c");
  await clock.advance(60);
  assert.deepEqual(sent, [["a", "b"], ["c"]]);
});

test("more than one batch that waits leaves without another wait", async () => {
  const { clock, sent, write } = lingering();
  for (const text of ["12345678", "23456789", "34567890"]) write(text);
  await clock.advance(50);
  assert.equal(sent.length, 3);
});

test("a flush and a close do not linger", async () => {
  const { sent, sink, write } = lingering();
  write("a");
  assert.equal(await sink.flush(1000), true);
  assert.deepEqual(sent, [["a"]]);
  write("b");
  await sink.close(1000);
  assert.deepEqual(sent, [["a"], ["b"]]);
});

test("what a sink that is closed could not write is counted, on its way or not", async () => {
  for (const isHung of [false, true]) {
    const clock = virtualClock(0);
    const sink = bufferedSink<Bufferable>({
      name: "somewhere",
      outlet: {
        batchCharacters: 2,
        send: () => (isHung ? new Promise(() => {}) : Promise.reject(new Error("no room"))),
        reopen: () => {},
        close: () => Promise.resolve(),
      },
      clock,
      mostCharacters: 10,
      reports: { trouble: () => {}, lost: () => {} },
    });
    sink.write(Array.from({ length: 12 }, () => ({ text: "x", isDebug: false })));
    sink.write([{ text: "y", isDebug: true }]);
    const closing = sink.close(1000);
    await clock.advance(1000);
    const { isStuck, lost, lostDebug } = await closing;
    assert.equal(isStuck, isHung);
    assert.equal(lost + lostDebug, 13);
  }
});
