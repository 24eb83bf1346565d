import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { heldSignals } from "./held-signals.ts";

function setUp(...early: readonly string[]) {
  const source = new EventEmitter();
  const clock = { atMs: 0, monotonicMs: () => clock.atMs };
  const signals = heldSignals(source, clock);
  for (const signal of early) source.emit(signal);
  const asked: string[] = [];
  signals.obey({ stop: (because) => asked.push(because), reload: () => asked.push("reload") });
  return { source, clock, asked };
}

test("a signal during the start is obeyed once the server is up, and a stop comes before all else", () => {
  assert.deepEqual(setUp().asked, []);
  assert.deepEqual(setUp("SIGHUP").asked, ["reload"]);
  assert.deepEqual(setUp("SIGTERM").asked, ["SIGTERM"]);
  assert.deepEqual(setUp("SIGHUP", "SIGINT", "SIGTERM").asked, ["SIGINT"]);
});

test("signals to a server that runs are obeyed at once, each time", () => {
  const { source, clock, asked } = setUp();
  for (const signal of ["SIGHUP", "SIGHUP", "SIGTERM"]) source.emit(signal);
  clock.atMs += 1000;
  source.emit("SIGINT");
  assert.deepEqual(asked, ["reload", "reload", "SIGTERM", "SIGINT"]);
});

test("one Ctrl-C that comes twice, from the terminal and from who passes it on, is one wish to end", () => {
  const { source, clock, asked } = setUp("SIGINT", "SIGINT");
  clock.atMs += 999;
  source.emit("SIGTERM");
  assert.deepEqual(asked, ["SIGINT"]);
  clock.atMs += 1;
  source.emit("SIGINT");
  assert.deepEqual(asked, ["SIGINT", "SIGINT"]);
});
