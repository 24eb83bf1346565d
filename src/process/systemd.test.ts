import assert from "node:assert/strict";
import { test } from "node:test";
import { inheritedSockets } from "./systemd.ts";

const byName = ([a]: [string, number], [b]: [string, number]): number => a.localeCompare(b);
const listeners = [{ name: "smtp" }, { name: "submission" }];

test("sockets go to the listeners whose names they carry", () => {
  const environment = { LISTEN_PID: "7", LISTEN_FDS: "2", LISTEN_FDNAMES: "submission:smtp" };
  assert.deepEqual([...inheritedSockets(environment, 7, listeners)].sort(byName), [
    ["smtp", 4],
    ["submission", 3],
  ]);
});

test("sockets without a known name go to the listeners that are left, in their order", () => {
  const environment = { LISTEN_PID: "7", LISTEN_FDS: "2", LISTEN_FDNAMES: "posthorn.socket:submission" };
  assert.deepEqual([...inheritedSockets(environment, 7, listeners)].sort(byName), [
    ["smtp", 3],
    ["submission", 4],
  ]);
});

test("sockets meant for another process, or none, are left alone", () => {
  assert.equal(inheritedSockets({ LISTEN_PID: "8", LISTEN_FDS: "1" }, 7, listeners).size, 0);
  assert.equal(inheritedSockets({}, 7, listeners).size, 0);
  assert.equal(inheritedSockets({ LISTEN_PID: "7", LISTEN_FDS: "x" }, 7, listeners).size, 0);
});
