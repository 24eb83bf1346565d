import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Turns } from "./turns.ts";

test("who waits for its own key's turn holds up nobody of another key", async () => {
  const turns = new Turns(2, 1);
  const gate = Promise.withResolvers<void>();
  const done: string[] = [];
  const first = turns.take("a", () => gate.promise);
  const second = turns.take("a", async () => void done.push("a"));
  await turns.take("b", async () => void done.push("b"));
  assert.deepEqual(done, ["b"]);
  gate.resolve();
  await Promise.all([first, second]);
  assert.deepEqual(done, ["b", "a"]);
});

test("there are never more at once than allowed, in all and for a key, and everybody gets a turn", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.record({ key: fc.constantFrom("a", "b", "c"), ticks: fc.nat(3), fails: fc.boolean() }), {
        maxLength: 30,
      }),
      async (most, perKey, works) => {
        const turns = new Turns(most, perKey);
        const active = new Map<string, number>();
        let total = 0;
        let ended = 0;
        await Promise.allSettled(
          works.map(({ key, ticks, fails }) =>
            turns.take(key, async () => {
              active.set(key, (active.get(key) ?? 0) + 1);
              total++;
              assert.ok(total <= most && (active.get(key) ?? 0) <= perKey);
              for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
              active.set(key, (active.get(key) ?? 1) - 1);
              total--;
              ended++;
              if (fails) throw new Error("as arranged");
            }),
          ),
        );
        assert.equal(ended, works.length);
      },
    ),
  );
});
