import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { dropWake, newWakeHeap, nextWake, setWake, takeDue, wakeAtOf, type Wakeable } from "./wake-heap.ts";

test("whatever is set, moved and dropped, the earliest comes out first and nobody is lost", () => {
  const change = fc.record({
    who: fc.nat(19),
    at: fc.oneof(fc.nat(50), fc.constant(Infinity)),
    isDropped: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 80 }), (changes) => {
      const members = Array.from({ length: 20 }, (): Wakeable => ({ heapAt: -1 }));
      const heap = newWakeHeap<Wakeable>();
      const expected = new Map<Wakeable, number>();
      for (const { who, at, isDropped } of changes) {
        const member = members[who];
        if (member === undefined) continue;
        if (isDropped) dropWake(heap, member);
        else setWake(heap, member, at);
        if (isDropped || at === Infinity) expected.delete(member);
        else expected.set(member, at);
        assert.equal(nextWake(heap), expected.size === 0 ? undefined : Math.min(...expected.values()));
        for (const one of members) assert.equal(wakeAtOf(heap, one), expected.get(one));
      }
      const out: number[] = [];
      for (let due = takeDue(heap, 50); due !== undefined; due = takeDue(heap, 50)) {
        out.push(expected.get(due) ?? NaN);
        assert.equal(wakeAtOf(heap, due), undefined);
      }
      assert.deepEqual(
        out,
        [...expected.values()].sort((a, b) => a - b),
      );
    }),
  );
});

test("nobody is taken before its instant", () => {
  const heap = newWakeHeap<Wakeable>();
  const member = { heapAt: -1 };
  setWake(heap, member, 10);
  assert.equal(takeDue(heap, 9), undefined);
  assert.equal(takeDue(heap, 10), member);
});
