import assert from "node:assert/strict";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { systemPasswords } from "./system-passwords.io.ts";
import type { SystemQuestion } from "./system-passwords.ts";

/** Nobody of that name: wrong where the shadow file may be read, failed elsewhere; an answer in either case. */
const question: SystemQuestion = { by: "shadow", service: "", user: "nobody-of-that-name", password: "x" };

test("many questions at a time each get an answer, from few threads, and again when those are idle", async () => {
  const passwords = systemPasswords({ clock: systemClock, atOnce: () => 2 });
  try {
    for (let round = 0; round < 3; round++) {
      const beganMs = performance.now();
      const verdicts = await Promise.all(Array.from({ length: 12 }, () => passwords.checkSystemPassword(question)));
      const expected = process.getuid?.() === 0 ? "wrong" : "failed";
      assert.deepEqual(
        verdicts.map(({ kind }) => kind),
        Array.from({ length: 12 }, () => expected),
        JSON.stringify(verdicts[0]),
      );
      assert.ok(performance.now() - beganMs < 25_000, "none was given up");
    }
  } finally {
    await passwords.close();
  }
});

test("after the end nobody is asked any more", async () => {
  const passwords = systemPasswords({ clock: systemClock, atOnce: () => 1 });
  const asked = passwords.checkSystemPassword(question);
  await passwords.close();
  assert.equal((await asked).kind, "failed");
  assert.equal((await passwords.checkSystemPassword(question)).kind, "failed");
});

test("a question that cannot name a user is a no without a look", async () => {
  const passwords = systemPasswords({ clock: systemClock, atOnce: () => 1 });
  try {
    for (const wrong of [{ user: "" }, { password: "" }, { user: "a:b" }, { user: "../x" }, { user: "a\0b" }])
      assert.deepEqual(await passwords.checkSystemPassword({ ...question, ...wrong }), { kind: "wrong" });
  } finally {
    await passwords.close();
  }
});
