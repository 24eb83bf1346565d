import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import { firstExact } from "./first-exact.ts";
import { remoteTable, tablePort, type TablePort, type TableQuestion } from "./remote-table.ts";
import { inlineTable } from "./tables.ts";

const table = inlineTable("people", { kind: "map", entries: { joe: "x", "*.example.org": "y" } });
const open = tablePort(new Map([["people", table]]), () => false);

test("a table in another process answers as the table itself does", async () => {
  const remote = remoteTable("people", open, { clock: virtualClock(0), timeoutMs: 100 });
  for (const key of ["joe", "JOE", "mail.example.org", "*.example.org", "eve"]) {
    assert.deepEqual(await remote.lookup(key), await table.lookup(key), key);
    assert.deepEqual(await remote.exact(key), await table.exact(key), key);
    assert.deepEqual(await remote.has(key), await table.has(key), key);
    assert.deepEqual(await remote.hasExact(key), await table.hasExact(key), key);
  }
  assert.deepEqual(await remote.entries?.(), await table.entries?.());
});

test("several keys travel together", async () => {
  const questions: TableQuestion[] = [];
  const port: TablePort = {
    ...open,
    lookupTable(name, question, service) {
      questions.push(question);
      return open.lookupTable(name, question, service);
    },
  };
  const remote = remoteTable("people", port, { clock: virtualClock(0), timeoutMs: 100 });
  for (const keys of [["eve", "JOE", "*.example.org"], ["*.example.org"], ["eve", "adam"]])
    assert.deepEqual(await firstExact(remote, keys), await firstExact(table, keys), keys.join());
  assert.deepEqual(questions, [
    { verb: "firstExact", keys: ["eve", "JOE", "*.example.org"] },
    { verb: "exact", key: "*.example.org" },
    { verb: "firstExact", keys: ["eve", "adam"] },
  ]);
});

test("a process that is gone is a failure, never a no", async () => {
  const gone = (): Promise<never> => Promise.reject(new Error("the lookup process is not there"));
  const remote = remoteTable(
    "people",
    { lookupTable: gone, tableEntries: gone },
    { clock: virtualClock(0), timeoutMs: 100 },
  );
  for (const answer of [
    await remote.lookup("joe"),
    await remote.exact("joe"),
    await remote.has("joe"),
    await remote.hasExact("joe"),
    await firstExact(remote, ["joe", "jane"]),
    await remote.entries?.(),
  ])
    assert.deepEqual(answer, { kind: "failed", text: "table people: the lookup process is not there" });
});

test("a process that hangs is a failure when its time is over", async () => {
  const clock = virtualClock(0);
  const never: TablePort = { lookupTable: () => new Promise(() => {}), tableEntries: () => new Promise(() => {}) };
  const remote = remoteTable("people", never, { clock, timeoutMs: 100 });
  const answer = remote.lookup("joe");
  await clock.advance(5000);
  assert.equal((await answer).kind, "failed");
});

test("whoever has gone away meanwhile gets a failure at once", async () => {
  const never: TablePort = { lookupTable: () => new Promise(() => {}), tableEntries: () => new Promise(() => {}) };
  const remote = remoteTable("people", never, { clock: virtualClock(0), timeoutMs: 100 });
  const controller = new AbortController();
  const answer = remote.lookup("joe", { signal: controller.signal });
  controller.abort();
  assert.deepEqual(await answer, { kind: "failed", text: "table people: given up" });
});

test("a table of passwords says who is in it, and nothing else", async () => {
  const port = tablePort(new Map([["people", table]]), (name) => name === "people");
  const remote = remoteTable("people", port, { clock: virtualClock(0), timeoutMs: 100 });
  assert.equal((await remote.has("joe")).kind, "found");
  assert.equal((await remote.hasExact("joe")).kind, "found");
  assert.equal((await remote.lookup("joe")).kind, "failed");
  assert.equal((await remote.exact("joe")).kind, "failed");
  assert.equal((await firstExact(remote, ["joe", "jane"])).kind, "failed");
  assert.equal((await remote.entries?.())?.kind, "failed");
});

test("a table that nobody has is a failure", async () => {
  const remote = remoteTable("other", open, { clock: virtualClock(0), timeoutMs: 100 });
  assert.deepEqual(await remote.lookup("joe"), { kind: "failed", text: "there is no table other here" });
});
