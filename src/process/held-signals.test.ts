import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { heldSignals } from "./held-signals.ts";

function setUp(...early: readonly string[]) {
  const source = new EventEmitter();
  const signals = heldSignals(source);
  for (const signal of early) source.emit(signal);
  const asked: string[] = [];
  signals.obey({ stop: (because) => asked.push(because), reload: () => asked.push("reload") });
  return { source, asked };
}

test("a signal during the start is obeyed once the server is up, and a stop comes before all else", () => {
  assert.deepEqual(setUp().asked, []);
  assert.deepEqual(setUp("SIGHUP").asked, ["reload"]);
  assert.deepEqual(setUp("SIGTERM").asked, ["SIGTERM"]);
  assert.deepEqual(setUp("SIGHUP", "SIGINT", "SIGTERM").asked, ["SIGINT"]);
});

test("signals to a server that runs are obeyed at once, each time", () => {
  const { source, asked } = setUp();
  for (const signal of ["SIGHUP", "SIGHUP", "SIGTERM", "SIGINT"]) source.emit(signal);
  assert.deepEqual(asked, ["reload", "reload", "SIGTERM", "SIGINT"]);
});
