import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../../simulator/clock.ts";
import { inTurn } from "./in-turn.ts";

const first = { text: "a:1" };
const second = { text: "b:1" };

test("the first server is asked, and the next one only when it fails; one that failed is asked last for a while", async () => {
  const clock = virtualClock(0);
  const ask = inTurn("spamd", [first, second], clock);
  const asked: string[] = [];
  const one = (down: readonly object[]) => async (server: { text: string }) => {
    asked.push(server.text);
    if (down.includes(server)) throw new Error("connection refused");
    return server.text;
  };
  const { signal } = new AbortController();
  assert.equal(await ask(one([]), signal), "a:1");
  assert.equal(await ask(one([first]), signal), "b:1");
  assert.equal(await ask(one([]), signal), "b:1");
  await clock.advance(30_000);
  assert.equal(await ask(one([]), signal), "a:1");
  assert.deepEqual(asked, ["a:1", "a:1", "b:1", "b:1", "a:1"]);
});

test("when all fail, the failure names each of them and its reason; the next mail asks all of them again", async () => {
  const ask = inTurn("spamd", [first, second], virtualClock(0));
  const { signal } = new AbortController();
  let count = 0;
  const fail = async (): Promise<string> => {
    count++;
    throw new Error("connection refused");
  };
  await assert.rejects(ask(fail, signal), {
    code: "FILTER_FAILED",
    message: "spamd a:1: connection refused; b:1: connection refused",
  });
  await assert.rejects(ask(fail, signal));
  assert.equal(count, 4);
});

test("nobody is asked any more when nobody waits", async () => {
  const ask = inTurn("spamd", [first, second], virtualClock(0));
  const gone = new AbortController();
  const asked: string[] = [];
  await assert.rejects(
    ask(async ({ text }) => {
      asked.push(text);
      gone.abort();
      throw new Error("aborted");
    }, gone.signal),
    { code: "FILTER_FAILED" },
  );
  assert.deepEqual(asked, ["a:1"]);
});
