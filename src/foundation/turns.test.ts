import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Turns } from "./turns.ts";

test("who waits for its own key's turn holds up nobody of another key", async () => {
  const turns = new Turns({ most: 2, mostPerKey: 1 });
  const gate = Promise.withResolvers<void>();
  const done: string[] = [];
  const first = turns.take(() => gate.promise, { key: "a" });
  const second = turns.take(async () => void done.push("a"), { key: "a" });
  await turns.take(async () => void done.push("b"), { key: "b" });
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
        const turns = new Turns({ most, mostPerKey: perKey });
        const active = new Map<string, number>();
        let total = 0;
        let ended = 0;
        await Promise.allSettled(
          works.map(({ key, ticks, fails }) =>
            turns.take(
              async () => {
                active.set(key, (active.get(key) ?? 0) + 1);
                total++;
                assert.ok(total <= most && (active.get(key) ?? 0) <= perKey);
                for (let tick = 0; tick < ticks; tick++) await Promise.resolve();
                active.set(key, (active.get(key) ?? 1) - 1);
                total--;
                ended++;
                if (fails) throw new Error("as arranged");
              },
              { key },
            ),
          ),
        );
        assert.equal(ended, works.length);
      },
    ),
  );
});

test("where too many wait for a key's turn there is none, and the others' are as they were", async () => {
  const turns = new Turns({ most: 2, mostPerKey: 1, mostWaiting: 1 });
  const gate = Promise.withResolvers<void>();
  const done: string[] = [];
  const work = (name: string) => async () => {
    await gate.promise;
    done.push(name);
    return name;
  };
  const ask = (name: string, key: string) => turns.tryTake(work(name), { key });
  const all = [ask("1", "a"), ask("2", "a"), ask("3", "a"), ask("4", "b"), ask("5", "b"), ask("6", "c")];
  gate.resolve();
  assert.deepEqual(await Promise.all(all), ["1", "2", undefined, "4", "5", "6"]);
  assert.deepEqual(done.toSorted(), ["1", "2", "4", "5", "6"]);
});

test("who has lost patience has no turn, and takes nobody else's", async () => {
  const turns = new Turns({ most: 1 });
  const gate = Promise.withResolvers<void>();
  const first = turns.take(() => gate.promise);
  const patience = new AbortController();
  const given = turns.take(() => Promise.reject(new Error("it began")), { patience: patience.signal });
  const last = turns.take(() => Promise.resolve("last"));
  patience.abort(new Error("too late"));
  await assert.rejects(given, /too late/);
  gate.resolve();
  await first;
  assert.equal(await last, "last");
});
