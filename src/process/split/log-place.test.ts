import assert from "node:assert/strict";
import { test } from "node:test";
import { canMoveLog, type LogTarget } from "./log-place.ts";

test("a log moves below the folder where it was at the start, and to what is no file, and comes back from there", () => {
  const file = (path: string): LogTarget => ({ kind: "file", path });
  const stdout: LogTarget = { kind: "stdout" };
  assert.ok(canMoveLog(file("/a/log"), file("/a/other")));
  assert.ok(canMoveLog(file("/a/log"), file("/a/b/log")));
  assert.ok(canMoveLog(file("/log"), file("/a/log")));
  assert.ok(canMoveLog(file("/a/log"), stdout));
  assert.ok(!canMoveLog(file("/a/log"), file("/ab/log")));
  assert.ok(!canMoveLog(file("/a/log"), file("/log")));
  assert.ok(!canMoveLog(stdout, file("/a/log")));
});
