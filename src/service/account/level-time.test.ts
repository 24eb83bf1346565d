import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "../../foundation/clock.ts";
import { virtualClock } from "../../simulator/clock.ts";
import type { Authenticator } from "./authenticator.ts";
import { levelTime } from "./level-time.ts";

/** Known users take 200 ms, others 5. */
function world() {
  const clock = virtualClock(0);
  const uneven: Authenticator = {
    async checkPassword(user, password) {
      await sleep(clock, user === "slow" ? 60_000 : user === "joe" ? 200 : 5);
      return user === "joe" && password === "right" ? { kind: "right", account: "joe" } : { kind: "wrong" };
    },
  };
  const even = levelTime(uneven, clock);
  const time = async (user: string, password: string): Promise<number> => {
    const beganMs = clock.monotonicMs();
    let endedMs = 0;
    const answer = even.checkPassword(user, password).then(() => (endedMs = clock.monotonicMs()));
    await clock.advance(100_000);
    await answer;
    return endedMs - beganMs;
  };
  return { clock, time };
}

test("an unknown user takes as long as a wrong password, once a known one was seen", async () => {
  const { time } = world();
  assert.equal(await time("joe", "right"), 200);
  assert.equal(await time("nobody", "x"), 200);
  assert.equal(await time("joe", "wrong"), 200);
});

test("many quick refusals do not make the slow one forgotten", async () => {
  const { time } = world();
  await time("joe", "wrong");
  for (let at = 0; at < 30; at++) assert.equal(await time("nobody", "x"), 200);
});

test("one that took very long makes others wait a second at most", async () => {
  const { time } = world();
  assert.equal(await time("slow", "x"), 60_000);
  assert.equal(await time("nobody", "x"), 1000);
});
