import assert from "node:assert/strict";
import { test } from "node:test";
import { inheritedSockets } from "./systemd.ts";

const byName = ([a]: [string, number], [b]: [string, number]): number => a.localeCompare(b);
const us = { pid: 7, ppid: 6 };
const listeners = [{ name: "smtp" }, { name: "submission" }];

test("sockets go to the listeners whose names they carry", () => {
  const environment = { LISTEN_PID: "7", LISTEN_FDS: "2", LISTEN_FDNAMES: "submission:smtp" };
  assert.deepEqual([...inheritedSockets(environment, us, listeners)].sort(byName), [
    ["smtp", 4],
    ["submission", 3],
  ]);
});

test("sockets without a known name go to the listeners that are left, in their order", () => {
  const environment = { LISTEN_PID: "7", LISTEN_FDS: "2", LISTEN_FDNAMES: "posthorn.socket:submission" };
  assert.deepEqual([...inheritedSockets(environment, us, listeners)].sort(byName), [
    ["smtp", 3],
    ["submission", 4],
  ]);
});

test("sockets meant for another process, or none, are left alone", () => {
  assert.equal(inheritedSockets({ LISTEN_PID: "8", LISTEN_FDS: "1" }, us, listeners).size, 0);
  assert.equal(inheritedSockets({}, us, listeners).size, 0);
  assert.equal(inheritedSockets({ LISTEN_PID: "7", LISTEN_FDS: "x" }, us, listeners).size, 0);
});

test("an older Node that started us hands its sockets on, and nobody else does", () => {
  const environment = { LISTEN_FDS: "1", LISTEN_FDNAMES: "smtp" };
  assert.equal(inheritedSockets({ ...environment, LISTEN_PID: "after 6" }, us, listeners).get("smtp"), 3);
  assert.equal(inheritedSockets({ ...environment, LISTEN_PID: "after 5" }, us, listeners).size, 0);
});
