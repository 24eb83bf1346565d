import assert from "node:assert/strict";
import { test } from "node:test";
import { snapshot } from "../../../mail/scheduler/replay/snapshot.ts";
import { NOON, posthorn } from "../../../testing/command-world.ts";

test("replay takes a day that is to come as its end; a time of day is one that was", async () => {
  const empty = snapshot({ tickets: new Map() });
  const replayed = (...argv: readonly string[]) =>
    posthorn(["replay", ...argv], {
      world: {
        openJournal: () => ({
          story: () => [],
          tls: () => assert.fail("not asked"),
          sql: () => assert.fail("not asked"),
          inputs: () => [{ at: NOON - 60_000, isStart: true, json: empty }],
          [Symbol.dispose]: () => {},
        }),
      },
    });
  for (const until of ["2026-11-22", "2026-11-21 23:00", "11:59:30"])
    assert.match((await replayed("--until", until)).err, /says nothing of that/, until);
  for (const until of ["13:00", "2026-11-21 11:58"])
    assert.match((await replayed("--until", until)).err, /nothing was recorded/, until);
});
