import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import { PacedTurns } from "./paced-turns.ts";

/** Questions that are answered when the test says so. */
function questions() {
  const begun: string[] = [];
  const answers = new Map<string, (value: string) => void>();
  const ask = (name: string) => (): Promise<string> => {
    begun.push(name);
    return new Promise((resolve) => answers.set(name, resolve));
  };
  return { begun, ask, answer: (name: string) => answers.get(name)?.(name) };
}

test("questions have their turns one at a time, whoever asks, and a rest as long as the answer took", async () => {
  const clock = virtualClock(0);
  const turns = new PacedTurns(clock);
  const { begun, ask, answer } = questions();
  const first = turns.of(1)(ask("first"));
  const second = turns.of(2)(ask("second"));
  await clock.advance(300);
  assert.deepEqual(begun, ["first"]);
  answer("first");
  assert.equal(await first, "first");
  await clock.advance(299);
  assert.deepEqual(begun, ["first"], "the rest is not over");
  await clock.advance(1);
  assert.deepEqual(begun, ["first", "second"]);
  answer("second");
  assert.equal(await second, "second");
});

test("one that fails, or is never answered, takes nobody else's turn", async () => {
  const clock = virtualClock(0);
  const turns = new PacedTurns(clock);
  const { begun, ask, answer } = questions();
  const failed = assert.rejects(
    turns.of(1)(() => Promise.reject(new Error("the disk failed"))),
    /the disk failed/,
  );
  const late = assert.rejects(turns.of(1)(ask("late")), /took longer than 30000 ms/);
  const last = turns.of(1)(ask("last"));
  await failed;
  await clock.advance(30_000);
  await late;
  // However long it was, the rest has an end.
  await clock.advance(1000);
  assert.deepEqual(begun, ["late", "last"]);
  answer("last");
  await last;
});

test("a user whose questions pile up is refused, and others are not", async () => {
  const clock = virtualClock(0);
  const turns = new PacedTurns(clock);
  const { ask, begun, answer } = questions();
  const own = ["1", "2", "3", "4"].map((name) => turns.of(1)(ask(name)));
  await assert.rejects(turns.of(1)(ask("5")), { code: "ROLE_UNAVAILABLE" });
  const other = turns.of(2)(ask("other"));
  for (const name of ["1", "2", "3", "4"]) {
    await clock.advance(0);
    answer(name);
    await clock.advance(0);
  }
  await Promise.all(own);
  await clock.advance(0);
  answer("other");
  assert.equal(await other, "other");
  assert.deepEqual(begun, ["1", "2", "3", "4", "other"]);
  const again = turns.of(1)(ask("again"));
  await clock.advance(0);
  answer("again");
  assert.equal(await again, "again");
});
