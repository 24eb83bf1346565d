import assert from "node:assert/strict";
import { test } from "node:test";
import type { PasswdEntry } from "../foundation/ffi/passwd.io.ts";
import { virtualClock } from "../simulator/clock.ts";
import { userNames } from "./user-names.ts";

const entry = (name: string): PasswdEntry => ({ name, uid: 1, gid: 1, home: "/", shell: "" });

test("a user has the directory's name, and its number where there is none or none that is fit", async () => {
  const found = new Map([
    [1, entry("ada")],
    [2, entry("a b\n")],
  ]);
  const names = userNames(virtualClock(0), (uid) =>
    uid === 3 ? Promise.reject(new Error("down")) : Promise.resolve(found.get(uid)),
  );
  assert.deepEqual(await Promise.all([1, 2, 3, 4].map((uid) => names.of(uid))), ["ada", "uid-2", "uid-3", "uid-4"]);
});

test("a directory that hangs costs five seconds, and a name is asked for once in a minute", async () => {
  const clock = virtualClock(0);
  let asked = 0;
  const names = userNames(clock, () => {
    asked++;
    return new Promise(() => {});
  });
  const both = Promise.all([names.of(7), names.of(7)]);
  await clock.advance(5001);
  assert.deepEqual(await both, ["uid-7", "uid-7"]);
  assert.equal(asked, 1);
  await clock.advance(60_000);
  void names.of(7);
  assert.equal(asked, 2);
});

test("a directory that hangs gets two questions at a time, however many users come", async () => {
  const clock = virtualClock(0);
  let asked = 0;
  const names = userNames(clock, () => {
    asked++;
    return new Promise(() => {});
  });
  const all = Promise.all([1, 2, 3, 4, 5, 6].map((uid) => names.of(uid)));
  await clock.advance(5001);
  assert.deepEqual(await all, ["uid-1", "uid-2", "uid-3", "uid-4", "uid-5", "uid-6"]);
  assert.equal(asked, 2);
});
