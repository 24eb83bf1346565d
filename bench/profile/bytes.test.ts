import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { allocationsOf, grownBytes, type HeapNode } from "./allocations.ts";
import { allocationTables, ioTable, kindTable } from "./bytes-table.ts";
import { whole } from "./markdown.ts";
import { ownFunctionFinder } from "./own-functions.ts";
import { ioFrom, NO_IO, type ProcessIo } from "./process-io.ts";
import { kindFinder, movedFrom, sumsByKind } from "./system-calls.ts";

function node(functionName: string, url: string, selfSize: number, ...children: readonly HeapNode[]): HeapNode {
  return { callFrame: { functionName, url, lineNumber: 0, columnNumber: 0 }, selfSize, children };
}

const OWN = "file:///srv/dist/a.js";
const profile = {
  head: node(
    "(root)",
    "",
    0,
    node("(V8 API)", "", 100),
    node(
      "onread",
      "node:internal/stream",
      10,
      node("(V8 API)", "", 5),
      node("step", OWN, 200, node("from", "node:buffer", 50, node("", "", 25))),
    ),
    node("step", OWN, 1000),
  ),
};
const ownFunctionOf = ({ functionName, url }: HeapNode["callFrame"]) =>
  url === OWN ? { area: "mail/session", name: `mail/session/a.ts ${functionName}` } : undefined;

test("what Node allocates belongs to the innermost function of ours that called it, else to Node's own", () => {
  const rows = allocationsOf(profile, ownFunctionOf);
  assert.deepEqual(
    rows.map(({ area, name, isOurs, bytes }) => [area, name, isOurs, bytes]),
    [
      ["mail/session", "mail/session/a.ts step", true, 1275],
      ["Node and V8 without JavaScript", "(V8 API)", false, 100],
      ["Node: sockets, timers, threads", "node:internal/stream onread", false, 15],
    ],
  );
});

test("a heap's growth between collections is what was allocated", () => {
  const collections = [
    { before: 1500, after: 200 },
    { before: 900, after: 300 },
  ];
  assert.equal(grownBytes({ profile, usedAtStart: 1000, usedAtEnd: 350, collections }), 500 + 700 + 50);
  assert.equal(grownBytes({ profile, usedAtStart: 1000, usedAtEnd: 1100, collections: [] }), 100);
});

test("a function without a name is called by its line in the source", () => {
  const root = mkdtempSync(join(tmpdir(), "posthorn-functions-"));
  try {
    mkdirSync(join(root, "dist"));
    const file = join(root, "dist", "a.js");
    writeFileSync(file, "// src/mail/queue/rows.ts\nfunction a() {}\n");
    // One segment: the second line begins where the source's eighth does.
    const map = { version: 3, sources: ["../src/mail/queue/rows.ts"], names: [], mappings: ";AAOA" };
    writeFileSync(`${file}.map`, JSON.stringify(map));
    const of = ownFunctionFinder(root);
    const frame = { url: `file://${file}`, lineNumber: 1, columnNumber: 8 };
    assert.deepEqual(of({ ...frame, functionName: "a" }), { area: "mail/queue", name: "mail/queue/rows.ts a" });
    assert.equal(of({ ...frame, functionName: "" })?.name, "mail/queue/rows.ts:8, without a name");
    assert.equal(of({ ...frame, url: "node:buffer", functionName: "from" }), undefined);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});

const PRINTED = `  100/102  syscalls:sys_enter_pwrite64: fd: 0x00000024, buf: 0x7fd27afe9250, count: 0x00000018, pos: 0x00079b78
  100/100     syscalls:sys_enter_read: fd: 0x00000030, buf: 0x7fd27afe9250, count: 0x00010000
  100/102   syscalls:sys_exit_pwrite64: 0x18
  100/100      syscalls:sys_exit_read: 0xfffffffffffffff5
  100/102     syscalls:sys_enter_fsync: fd: 0x00000024
  100/102      syscalls:sys_exit_fsync: 0x0
  100/100   syscalls:sys_exit_writev: 0x1499
  100/100   syscalls:sys_enter_writev: fd: 0x00000030, vec: 0x7ffceeb92238, vlen: 0x00000002
  100/103    syscalls:sys_enter_write: fd: 0x00000030, buf: 0x7fd27afe9250, count: 0x00000100
  100/103     syscalls:sys_exit_write: 0x100
  100/100    syscalls:sys_exit_writev: 0x64
  100/100     syscalls:sys_enter_read: fd: 0x00000011, buf: 0x7fd27afe9250, count: 0x00010000
  100/100      syscalls:sys_exit_read: 0x12
`;

test("a call is where a thread enters it and comes back; those that fail, or were entered before, are none", () => {
  assert.deepEqual(
    movedFrom(PRINTED.split("\n")).map(({ does, thread, descriptor, bytes }) => [does, thread, descriptor, bytes]),
    [
      ["write", 102, 0x24, 24],
      ["sync", 102, 0x24, 0],
      ["write", 103, 0x30, 256],
      ["write", 100, 0x30, 100],
      ["read", 100, 0x11, 18],
    ],
  );
  assert.deepEqual(movedFrom([""]), []);
});

test("a descriptor that lasts is named by what it is, another by the thread that uses it", () => {
  const known = new Map([
    [0x24, "/srv/data/queue/queue.db-wal"],
    [0x11, "socket:[17]"],
    [0x12, "socket:[18]"],
    [0x13, "anon_inode:[eventfd]"],
    [0x14, "/srv/data/queue/queue.db"],
    [0x15, "/etc/hosts"],
  ]);
  const kindOf = kindFinder({
    lasting: (_, descriptor) => known.get(descriptor),
    unixSockets: new Set(["17"]),
    isFileThread: (thread) => thread === 103,
  });
  const call = { does: "write", pid: 100, bytes: 1 } as const;
  const of = (descriptor: number, thread = 100): string => kindOf({ ...call, thread, descriptor });
  assert.deepEqual(
    [of(0x24), of(0x14), of(0x11), of(0x12), of(0x13), of(0x15), of(1), of(0x30), of(0x30, 103)],
    [
      "file: queue, write-ahead log",
      "file: queue, database",
      "channels between processes",
      "network",
      "wakes (eventfd, pipe)",
      "file: other",
      "text log (standard output)",
      "network",
      "file: mailbox",
    ],
  );
  const sums = sumsByKind(movedFrom(PRINTED.split("\n")), kindOf);
  assert.deepEqual(sums.get("file: queue, write-ahead log"), { read: 0, written: 24, writes: 1, syncs: 1 });
  assert.deepEqual(sums.get("channels between processes"), { read: 18, written: 0, writes: 0, syncs: 0 });
  assert.deepEqual(sums.get("network"), { read: 0, written: 100, writes: 1, syncs: 0 });
});

test("what the kernel counts is read whole, or not at all", () => {
  const text = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\ncancelled_write_bytes: 0\n";
  assert.deepEqual(ioFrom(text), { rchar: 1, wchar: 2, syscr: 3, syscw: 4, writeBytes: 6 });
  assert.throws(() => ioFrom("rchar: 1\n"), /no wchar/);
});

test("the tables are of one message, and their rows add up", () => {
  const rows = allocationsOf(profile, ownFunctionOf);
  const allocated = allocationTables(
    [
      { role: "ingress", thread: "main thread", rows, grown: 1400 },
      { role: "ingress", thread: "main thread", rows, grown: 1400 },
      { role: "scheduler", thread: "queue writer", rows, grown: 1000 },
    ],
    10,
  );
  assert.match(allocated, /\| ingress: main thread \| 278 \| 280 \|/);
  assert.match(allocated, /\| mail\/session \| 383 \| 255 \| 128 \|/);
  assert.match(allocated, /\| `mail\/session\/a\.ts step` \| ingress: main thread \| 255 \|/);
  assert.match(allocated, /\| what is below 8 each \| 5 \| 3 \| 2 \|/);

  const span = (wchar: number): ProcessIo => ({
    all: { ...NO_IO, wchar },
    threads: new Map([[1, { name: "main thread", io: { ...NO_IO, wchar } }]]),
  });
  const spans = [{ role: "server", before: span(500), after: span(20_500) }];
  const io = ioTable(spans, 10);
  assert.match(io, /\| server: main thread \| {2}\| 2,000 \| {2}\| {2}\| {2}\|/);
  assert.match(io, /\| \*\*together\*\* \| {2}\| 2,000 \|/);

  const sum = { read: 0, written: 30_000, writes: 20, syncs: 5 };
  const kinds = kindTable(
    new Map([
      ["file: queue, database", sum],
      ["network", sum],
    ]),
    spans,
    { messages: 10, mailBytes: 1000 },
  );
  assert.match(kinds, /\| \*\*together\*\* \| {2}\| 6,000 \| 4\.00 \| 1\.00 \|/);
  assert.match(kinds, /\| \*\*of them files\*\* \| {2}\| 3,000 \| 2\.00 \| 0\.50 \|/);
  assert.match(kinds, /3\.0 bytes for each byte of mail\. The trace has none of .* and 300\.0 % of those written/);
});

test("figures have a comma at each thousand", () => {
  assert.deepEqual([0.4, 12, 1234, 1_234_567.8].map(whole), ["", "12", "1,234", "1,234,568"]);
});
