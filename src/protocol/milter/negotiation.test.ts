import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { agree, doesWithout, MILTER_ACTIONS, MILTER_STEPS, MILTER_VERSIONS, milterOffer } from "./negotiation.ts";
import { milterNumber, milterString } from "./packet.ts";

function answer(version: number, actions: number, steps: number, ...more: Uint8Array[]): Buffer {
  return Buffer.concat([milterNumber(version), milterNumber(actions), milterNumber(steps), ...more]);
}

test("the offer names version, actions and steps", () => {
  assert.deepEqual(milterOffer(6), Buffer.from("0000000d4f00000006000001ff001fffff", "hex"));
  assert.deepEqual(milterOffer(2), Buffer.from("0000000d4f000000020000003f0000007f", "hex"));
});

test("a milter says which steps it does without", () => {
  const agreed = agree(6, answer(6, MILTER_ACTIONS.addHeaders, MILTER_STEPS.noHelo | MILTER_STEPS.noReplyHeader));
  assert.ok(agreed.ok);
  assert.equal(doesWithout(agreed.value, "noHelo"), true);
  assert.equal(doesWithout(agreed.value, "noReplyHeader"), true);
  assert.equal(doesWithout(agreed.value, "noBody"), false);
});

test("a milter of an old version is not told of commands that it does not know", () => {
  const two = agree(6, answer(2, 1, 0));
  assert.ok(two.ok);
  assert.equal(doesWithout(two.value, "noData"), true);
  assert.equal(doesWithout(two.value, "noUnknown"), true);
  const three = agree(6, answer(3, 1, 0));
  assert.ok(three.ok);
  assert.equal(doesWithout(three.value, "noUnknown"), false);
});

test("a newer version than ours, or one that never was, is no agreement", () => {
  assert.deepEqual(agree(4, answer(6, 1, 0)), { ok: false, problem: "it speaks version 6, and we offered 4" });
  assert.equal(agree(6, answer(1, 1, 0)).ok, false);
  assert.equal(agree(6, Buffer.alloc(11)).ok, false);
});

test("actions that were not offered are no agreement, nor is silence where we would wait", () => {
  assert.equal(agree(2, answer(2, MILTER_ACTIONS.changeSender, 0)).ok, false);
  assert.equal(agree(4, answer(4, 0, MILTER_STEPS.noReplyHeader)).ok, false);
  // A step that we don't have anyway is simply not taken.
  assert.equal(agree(2, answer(2, 0, MILTER_STEPS.noData)).ok, true);
});

test("a milter chooses its macros stage by stage", () => {
  const agreed = agree(
    6,
    answer(6, 0x101, 0, milterNumber(0), milterString("j {daemon_name}"), milterNumber(5), milterString("i, {msg_id}")),
  );
  assert.ok(agreed.ok);
  assert.deepEqual(agreed.value.macros.get("connect"), ["j", "{daemon_name}"]);
  assert.deepEqual(agreed.value.macros.get("endOfMessage"), ["i", "{msg_id}"]);
  assert.equal(agreed.value.macros.get("mail"), undefined);
});

test("a list of macros that does not end is no agreement", () => {
  assert.equal(agree(6, answer(6, 0, 0, milterNumber(0), Buffer.from("j"))).ok, false);
  assert.equal(agree(6, answer(6, 0, 0, Buffer.from([0, 0]))).ok, false);
});

test("no answer makes it throw", () => {
  fc.assert(
    fc.property(fc.constantFrom(...MILTER_VERSIONS), fc.uint8Array({ maxLength: 60 }), (version, bytes) => {
      agree(version, Buffer.from(bytes));
    }),
  );
});
