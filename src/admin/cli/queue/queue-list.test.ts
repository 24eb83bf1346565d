import assert from "node:assert/strict";
import { test } from "node:test";
import { PosthornError } from "../../../foundation/error.ts";
import type { LiveRow } from "../../../mail/scheduler/admin/admin.ts";
import { liveRow, NOON, posthorn } from "../../../testing/command-world.ts";
import type { Output } from "../world.ts";

test("the queue is listed in columns, and what a peer wrote does nothing to the terminal", async () => {
  const { code, out, asked } = await posthorn(
    ["queue", "list", "--state", "deferred", "--older", "1h", "--sender", "<>"],
    { portions: [[liveRow]] },
  );
  assert.equal(code, 0);
  const [title = "", line = ""] = out.split("\n");
  assert.equal(title.indexOf("STATE"), line.indexOf("waiting"));
  assert.match(
    line,
    /01ARZ3NDEKT\.1 +waiting +1h30m +2\.0 KiB +3 +<> +evil\\x1b\[2J@d\.example +in 5m +connect to the next host: ECONNREFUSED/,
  );
  const [[socket, name, args] = []] = asked;
  assert.deepEqual([socket, name], ["query", "queue.list"]);
  assert.deepEqual(JSON.parse(JSON.stringify(args)), {
    state: "deferred",
    sender: "",
    receivedBeforeAt: NOON - 3_600_000,
  });
});

test("a list says what an envelope waits for now and until when, rather than how it failed before", async () => {
  const suspended = { what: "suspended" as const, text: "domain d.example is suspended by ann: a move" };
  for (const [more, expected] of [
    [
      { live: "held", waits: { ...suspended, untilAt: NOON + 7_200_000 } },
      / held .* released in 2h +domain d\.example is/,
    ],
    [{ live: "held", waits: suspended }, / held .* - +domain d\.example is/],
    [{ live: "waiting", waits: suspended }, / waiting .* - +domain d\.example is/],
    [{ live: "waiting", waits: { ...suspended, untilAt: NOON + 60_000 } }, / waiting .* in 5m +domain/],
    [{ live: "waiting", nextAt: NOON + 60_000 }, / waiting .* in 1m +connect to/],
    [
      { live: "waiting", waits: { what: "not-due", text: "not tried: others", untilAt: NOON } },
      / in 5m +not tried: others/,
    ],
    [{ live: "ready" }, / ready .* now +connect to/],
    [
      { live: "ready", waits: { what: "route-rests", text: "every next host rests", untilAt: NOON + 30_000 } },
      / in 30s +every/,
    ],
    [{ live: "ready", waits: { what: "paused", text: "out is paused: x" } }, / ready .* - +out is paused: x/],
    [{ live: "ready", waits: { what: "limit", text: "5 of 5 connections" } }, / ready .* now +5 of 5 connections/],
  ] as readonly (readonly [Partial<LiveRow>, RegExp])[])
    assert.match((await posthorn(["queue", "list"], { portions: [[{ ...liveRow, ...more }]] })).out, expected);
});

test("with --json each envelope is an object of its own line; nothing found exits with 1", async () => {
  const { out } = await posthorn(["queue", "list", "--json"], { portions: [[liveRow], [liveRow]] });
  assert.deepEqual(
    out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as LiveRow),
    [liveRow, liveRow],
  );
  assert.equal((await posthorn(["queue", "list"], { portions: [] })).code, 1);
});

test("a long list is printed as it comes, under one line of titles, and no faster than it is read", async () => {
  const written: string[] = [];
  let rooms = 0;
  const stdout: Output = {
    isTerminal: false,
    write: (text) => void written.push(String(text)),
    room: async () => void rooms++,
    flushed: () => Promise.resolve(),
    lost: new AbortController().signal,
  };
  const wide = { ...liveRow, recipient: `${"x".repeat(60)}@d.example` };
  const broken = new PosthornError("CONTROL_UNREACHABLE", { message: "the server went away", advice: "ask again" });
  const { code, err } = await posthorn(["queue", "list"], {
    portions: [[liveRow], [wide, liveRow], broken],
    world: { stdout },
  });
  // Both portions were out when the third one failed.
  assert.equal(written.length, 2);
  assert.equal(rooms, 2);
  assert.equal(code, 75);
  assert.match(err, /the server went away/);
  const [first = "", second = ""] = written;
  assert.deepEqual(
    first.split("\n").map((line) => line.slice(0, 8)),
    ["ENVELOPE", liveRow.envelope.slice(0, 8), ""],
  );
  const [wider = "", narrower = ""] = second.split("\n");
  assert.doesNotMatch(second, /ENVELOPE/);
  assert.equal(wider.indexOf("in 5m"), narrower.indexOf("in 5m"));
});
