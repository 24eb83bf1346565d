import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { virtualClock } from "../simulator/clock.ts";
import { envelopeIdOf, messageIdMaker, messageIdOf, numberOfMessageId, partsOfEnvelopeId } from "./ids.ts";

const noon = 1_770_000_000_000;

test("ids of one maker rise, also when more are asked for than a millisecond holds", () => {
  const make = messageIdMaker(virtualClock(noon), 3);
  const ids = Array.from({ length: 1000 }, make);
  assert.deepEqual(ids, [...new Set(ids)].sort());
});

test("two makers of one millisecond never make the same id", () => {
  const clock = virtualClock(noon);
  const [a, b] = [messageIdMaker(clock, 0), messageIdMaker(clock, 31)];
  const ids = new Set(Array.from({ length: 500 }, () => [a(), b()]).flat());
  assert.equal(ids.size, 1000);
});

test("a clock that goes back does not bring an id back", () => {
  let nowAt = noon;
  const make = messageIdMaker({ ...virtualClock(0), now: () => nowAt }, 0);
  const first = make();
  nowAt -= 60_000;
  assert(make() > first);
});

test("an id and its number are two writings of one thing", () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (number) => {
      assert.equal(numberOfMessageId(messageIdOf(number)), number);
    }),
  );
});

test("text that is no id is told, never taken for one", () => {
  for (const text of ["", "0", "OOOOOOOOOOO", "ZZZZZZZZZZZ", "00000000000.1"])
    assert.equal(numberOfMessageId(text), undefined);
  for (const text of ["00000000000", "00000000000.0", "00000000000.x", ".1", "0.1"]) {
    assert.equal(partsOfEnvelopeId(text), undefined);
  }
  assert.deepEqual(partsOfEnvelopeId(envelopeIdOf("00000000001", 12)), { message: "00000000001", index: 12 });
});
