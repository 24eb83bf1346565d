import assert from "node:assert/strict";
import { test } from "node:test";
import { PosthornError } from "../../../foundation/error.ts";
import { NOON, posthorn } from "../../../testing/command-world.ts";
import { flagsOf } from "./show.ts";

test("flags have a letter for each state, each in its own place", () => {
  assert.equal(flagsOf([]), "-----");
  assert.equal(flagsOf(["queued", "resting"]), "--ZQ-");
  assert.equal(flagsOf(["new", "running", "resting", "queued", "held"]), "NRZQH");
});

test("show writes a line a row, and --watch looks again until interrupted, over an absence of the server", async () => {
  const route = {
    name: "* > mx.d.example[192.0.2.1]:25",
    states: ["resting"],
    connections: 0,
    allowed: 1,
    limit: 5,
    sessions: 3,
    failures: 2,
    refused: 0,
    penalty: 2,
    restsUntilAt: NOON + 60_000,
    ready: 0,
    waiting: 0,
    held: 0,
    lastFailure: "Connection refused\u001b[2J",
    lastFailureAt: NOON - 5000,
    lastSuccessAt: NOON - 3_600_000,
  };
  const once = await posthorn(["show", "routes", "d.example", "--state", "resting"], { portions: [[route]] });
  assert.equal(
    once.out.split("\n")[1],
    "--Z--  * > mx.d.example[192.0.2.1]:25  0/1/5     3    2         2     1m                         1h  Connection refused\\x1b[2J (5s ago)",
  );
  assert.deepEqual(once.asked[0], [
    "query",
    "show",
    { what: "routes", name: "d.example", state: "resting", limit: undefined },
  ]);
  assert.equal((await posthorn(["show", "hosts"], { portions: [] })).code, 1);
  assert.equal((await posthorn(["show", "hosts", "--state", "gone"])).code, 64);

  const interrupted = new AbortController();
  let looks = 0;
  const slept: number[] = [];
  const watched = await posthorn(["show", "stats", "--watch", "--json"], {
    answers: { stats: [{ name: "queued", total: 1, lastMinute: 0, lastHour: 1 }] },
    world: {
      interrupted: interrupted.signal,
      sleep: (forMs) => {
        slept.push(forMs);
        if (++looks === 3) interrupted.abort();
        return Promise.resolve();
      },
    },
  });
  assert.deepEqual([watched.code, watched.out.split("\n").length, slept], [0, 4, [2000, 2000, 2000]]);

  const away = new AbortController();
  const gone = await posthorn(["show", "stats", "--watch", "5"], {
    answers: { stats: new PosthornError("CONTROL_UNREACHABLE", { message: "no such file", advice: "start it" }) },
    world: {
      interrupted: away.signal,
      sleep: () => {
        away.abort();
        return Promise.resolve();
      },
    },
  });
  assert.match(gone.out, /the server is not there \(no such file\); waiting for it/);
  assert.equal(gone.code, 0);
});
