import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, closeSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import type { Clock } from "../../foundation/clock.ts";
import { systemClock } from "../../foundation/clock.io.ts";
import { PosthornError } from "../../foundation/error.ts";
import { requireFfi } from "../../foundation/ffi/ffi.io.ts";
import type { Emit } from "../../foundation/events.ts";
import type { EventRecord } from "../../mail/log/record.ts";
import type { SpoolCopy } from "../../mail/queue/store.ts";
import type { LiveRow } from "../../mail/scheduler/admin/admin.ts";
import { virtualClock } from "../../simulator/clock.ts";
import type { Admin } from "./admin.ts";
import { connectControl } from "./client.io.ts";
import { controlPaths, type ControlPaths } from "./paths.ts";
import { startControl } from "./server.io.ts";
import { controlSettings } from "./settings.ts";

const MESSAGE = "01ARZ3NDEKT";

interface Place extends AsyncDisposable {
  readonly paths: ControlPaths;
  readonly said: { name: string; fields: unknown }[];
  readonly listeners: Set<(records: readonly EventRecord[]) => void>;
}

function row(number: number): LiveRow {
  const envelope = `${MESSAGE}.${number}`;
  const times = { receivedAt: 0, dueAt: 0, expiresAt: 0 };
  return {
    envelope,
    message: MESSAGE,
    state: "queued",
    sender: "a@b.example",
    recipient: "c@d.example",
    action: "relay",
    sizeBytes: 1,
    attempts: 0,
    ...times,
  };
}

/** The scheduler's side of a list: pages of `size`, each found by where the one before ended. */
function pagedList(rows: readonly LiveRow[], size: number): Admin["queue"]["list"] {
  return (filter, behind) => {
    const from = behind?.n ?? 0;
    const page = rows.slice(from, from + Math.min(size, filter.limit ?? size));
    const n = from + page.length;
    const next = n < rows.length ? { next: { message: 0, n } } : {};
    return Promise.resolve({ count: page.length, rows: JSON.stringify(page), ...next });
  };
}

async function place(
  given: { queue?: Partial<Admin["queue"]> } & Partial<Omit<Admin, "queue">>,
  clock: Clock = systemClock,
): Promise<Place> {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-control-"));
  const said: Place["said"] = [];
  const listeners: Place["listeners"] = new Set();
  const emit: Emit = (event, fields) => void said.push({ name: event.name, fields });
  const subscribe: Admin["subscribe"] = (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
  // Each test hands in what it asks for; anything else would be a TypeError, which the server must survive anyway.
  const admin = { subscribe, ...given } as unknown as Admin;
  const settings = controlSettings.parse({});
  const server = await startControl({
    settings,
    paths: controlPaths(settings, directory),
    admin,
    clock,
    emit,
  });
  return {
    paths: server.paths,
    said,
    listeners,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      rmSync(directory, { recursive: true });
    },
  };
}

test("the sockets' file modes say who may query and who may change", async () => {
  await using server = await place({});
  assert.equal(statSync(server.paths.query).mode & 0o777, 0o660);
  assert.equal(statSync(server.paths.change).mode & 0o777, 0o600);
});

test("a query is answered on either socket, and a long list comes whole and in order", async () => {
  const rows = Array.from({ length: 1234 }, (_, number) => row(number + 1));
  await using server = await place({ queue: { list: pagedList(rows, 100), census: () => Promise.resolve([]) } });
  for (const path of [server.paths.query, server.paths.change]) {
    using client = await connectControl(path);
    assert.deepEqual((await Array.fromAsync(client.portions("queue.list", { state: "queued" }))).flat(), rows);
    assert.equal((await Array.fromAsync(client.stream("queue.list", { limit: 250 }))).length, 250);
    assert.deepEqual(await client.call("queue.count"), []);
  }
});

/** A list without an end, in pages that no socket's buffer holds many of. */
function endlessList() {
  const counts = { asked: 0 };
  const rows = JSON.stringify(Array.from({ length: 1000 }, (_, number) => row(number + 1)));
  const list: Admin["queue"]["list"] = () =>
    Promise.resolve({ count: 1000, rows, next: { message: 0, n: ++counts.asked } });
  return { list, counts };
}

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate);
};

test("a list is read only as fast as the client takes it, and no more once it hangs up", async () => {
  const { list, counts } = endlessList();
  await using server = await place({ queue: { list } });
  const socket = connect(server.paths.query).pause();
  await once(socket, "connect");
  socket.write('{"v":1,"id":1,"do":"queue.list"}\n');
  while (counts.asked === 0) await turns(1);
  await turns(500);
  // What the kernel holds for a socket, one page being written and one ahead.
  const stalled = counts.asked;
  assert.ok(stalled <= 6, `${stalled} pages for a client that reads nothing`);
  socket.resume();
  while (counts.asked < stalled + 20) await turns(1);
  socket.destroy();
  await once(socket, "close");
  await turns(100);
  const hungUp = counts.asked;
  await turns(100);
  assert.equal(counts.asked, hungUp);
});

test("a reader who stops in mid-list frees the server of it", async () => {
  const { list, counts } = endlessList();
  await using server = await place({ queue: { list } });
  using client = await connectControl(server.paths.query);
  let portions = 0;
  for await (const rows of client.portions("queue.list")) {
    assert.equal(rows.length, 1000);
    if (++portions === 30) break;
  }
  await turns(100);
  const left = counts.asked;
  await turns(100);
  assert.equal(counts.asked, left);
});

test("a client that takes nothing for five minutes loses its connection, and one that takes its time does not", async () => {
  const clock = virtualClock(0);
  const { list, counts } = endlessList();
  await using server = await place({ queue: { list } }, clock);
  const socket = connect(server.paths.query).pause();
  await once(socket, "connect");
  socket.write('{"v":1,"id":1,"do":"queue.list"}\n');
  while (counts.asked === 0) await turns(1);
  await turns(500);
  for (let reads = 0; reads < 5; reads++) {
    await clock.advance(4 * 60_000);
    const before = counts.asked;
    socket.resume();
    while (counts.asked < before + 5) await turns(1);
    socket.pause();
    await turns(500);
  }
  await clock.advance(5 * 60_000);
  const ended = once(socket, "close");
  socket.on("error", () => {});
  socket.resume();
  await ended;
});

test("a page that does not come in time ends the list with an error, and so does a failing store", async () => {
  const clock = virtualClock(0);
  let page: () => ReturnType<Admin["queue"]["list"]> = () => new Promise(() => {});
  let asked = 0;
  const queue = {
    list: () =>
      asked++ === 0
        ? Promise.resolve({ count: 1, rows: JSON.stringify([row(1)]), next: { message: 0, n: 1 } })
        : page(),
  };
  await using server = await place({ queue }, clock);
  using client = await connectControl(server.paths.query);
  const late = client.portions("queue.list");
  assert.deepEqual((await late.next()).value, [row(1)]);
  const refused = assert.rejects(late.next(), { message: /queue\.list took longer than 30000 ms/ });
  await clock.advance(30_000);
  await refused;

  asked = 0;
  page = () => Promise.reject(new PosthornError("SPOOL_FAILED", { message: "the disk failed", advice: "look at it" }));
  using other = await connectControl(server.paths.query);
  const failing = other.portions("queue.list");
  await failing.next();
  await assert.rejects(failing.next(), { code: "SPOOL_FAILED" });
});

test("who waits for an answer is not idle, and who asks for nothing is", async () => {
  const clock = virtualClock(0);
  const copied = Promise.withResolvers<SpoolCopy>();
  const begun = Promise.withResolvers<void>();
  const backup = () => (begun.resolve(), copied.promise);
  await using server = await place({ queue: { backup } }, clock);
  using client = await connectControl(server.paths.change);
  const asked = client.call("backup", { directory: "/backup" });
  await begun.promise;
  await clock.advance(20 * 60_000);
  copied.resolve({ messages: 1, bytes: 2, lost: { count: 0, messages: [] } });
  assert.deepEqual(await asked, { messages: 1, bytes: 2, lost: { count: 0, messages: [] } });
  await turns(10);
  await clock.advance(5 * 60_000);
  await turns(10);
  await assert.rejects(client.call("queue.count"), { code: "CONTROL_UNREACHABLE" });
});

test("a change is made on the control socket, and logged with the uid", async () => {
  const asked: unknown[] = [];
  await using server = await place({
    queue: { hold: (...args) => (asked.push(args), Promise.resolve({ envelopes: 2 })) },
  });
  using client = await connectControl(server.paths.change);
  const selector = { by: "message", id: MESSAGE };
  assert.deepEqual(await client.call("queue.hold", { selector, because: "test" }), { envelopes: 2 });
  assert.deepEqual(asked, [[selector, "test", undefined]]);
  const change = server.said.find(({ name }) => name === "control.change");
  assert.deepEqual(change?.fields, {
    operation: "queue.hold",
    arguments: JSON.stringify({ selector, because: "test" }),
    uid: String(process.getuid?.()),
    pid: String(process.pid),
  });
});

test("a change is refused on the query socket, and that is logged", async () => {
  let isHeld = false;
  await using server = await place({
    queue: { hold: () => ((isHeld = true), Promise.resolve({ envelopes: 1 })) },
  });
  using client = await connectControl(server.paths.query);
  const hold = client.call("queue.hold", { selector: { by: "all" }, because: "" });
  await assert.rejects(hold, { code: "CONTROL_REFUSED" });
  assert.equal(isHeld, false);
  assert.equal(server.said.at(-1)?.name, "control.refused");
});

test("an error of the server reaches the client with its advice, and the connection goes on", async () => {
  await using server = await place({
    status: () => Promise.reject(new PosthornError("STORE_CLOSED", { message: "the queue is closed", advice: "wait" })),
    queue: { census: () => Promise.resolve([]) },
  });
  using client = await connectControl(server.paths.query);
  await assert.rejects(client.call("status"), { code: "STORE_CLOSED", message: "the queue is closed", advice: "wait" });
  assert.deepEqual(await client.call("queue.count"), []);
});

test("arguments of the wrong shape are refused with what was expected", async () => {
  await using server = await place({ queue: {} });
  using client = await connectControl(server.paths.query);
  await assert.rejects(client.call("queue.show", { id: "../../etc" }), {
    code: "USAGE",
    message: /expected a message id/,
  });
  await assert.rejects(client.portions("queue.list", { limt: 3 }).next(), { code: "USAGE", message: /limt/ });
});

test("whatever a client sends, it gets an error and the server lives", async () => {
  await using server = await place({ queue: { census: () => Promise.resolve([]) } });
  const nonsense = [
    "\n\n",
    "hello\n",
    "[]\n",
    "null\n",
    '{"v":1}\n',
    '{"v":2,"id":1,"do":"status"}\n',
    '{"v":1,"id":1,"do":"__proto__"}\n',
    '{"v":1,"id":1,"do":"constructor","with":{}}\n',
    '{"v":1,"id":1,"do":"status","with":{"deep":' + "[".repeat(5000) + "]".repeat(5000) + "}}\n",
    '{"v":1,"id":1,"do":"status"}\n', // The admin of this test has no status: a bug in the server, to the client an error.
    Buffer.from([0xff, 0xfe, 0x0a]),
    "x".repeat(100_000),
  ];
  for (const bytes of nonsense) {
    const socket = connect(server.paths.change);
    await once(socket, "connect");
    socket.write(bytes);
    socket.end();
    const text = (await Array.fromAsync(socket.setEncoding("utf8"))).join("");
    if (bytes !== "\n\n") assert.match(text, /"ok":false,"error":\{"code":"/, String(bytes).slice(0, 50));
  }
  using client = await connectControl(server.paths.query);
  assert.deepEqual(await client.call("queue.count"), []);
});

test("live events come as they happen, no less urgent than asked for, until the client leaves", async () => {
  await using server = await place({});
  using client = await connectControl(server.paths.query);
  const from = { role: "server", pid: 1, startedAt: 0 };
  const record = (name: string, level: "info" | "warning"): EventRecord => ({ at: 0, name, level, from, fields: {} });
  const items = client.stream("tail", { level: "warning" });
  const first = items.next();
  while (server.listeners.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const listener of server.listeners) listener([record("a.b", "info"), record("c.d", "warning")]);
  assert.deepEqual((await first).value, { record: record("c.d", "warning") });
  await items.return();
  while (server.listeners.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
});

test("the header section is a query; the whole content is a change, for it is somebody's mail", async () => {
  const portions = ["Subject: x\r\nFr", "om: a\r\n", "\r\nsecret body\r\n"].map((text) => Buffer.from(text));
  await using server = await place({ content: () => Promise.resolve(asPortions(portions)) });
  const read = async (path: string, name: "queue.headers" | "queue.content"): Promise<string> => {
    using client = await connectControl(path);
    const parts = await Array.fromAsync(client.stream(name, { message: MESSAGE }));
    return parts.map((part) => Buffer.from(part, "base64").toString()).join("");
  };
  assert.equal(await read(server.paths.query, "queue.headers"), "Subject: x\r\nFrom: a\r\n");
  await assert.rejects(read(server.paths.query, "queue.content"), { code: "CONTROL_REFUSED" });
  assert.equal(await read(server.paths.change, "queue.content"), Buffer.concat(portions).toString());
});

async function* asPortions(portions: readonly Buffer[]): AsyncGenerator<Uint8Array> {
  for (const portion of portions) yield await Promise.resolve(portion);
}

test("a second server on the same sockets is refused; a dead one's sockets are taken over", async () => {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-control-"));
  const settings = controlSettings.parse({});
  const options = {
    settings,
    paths: controlPaths(settings, directory),
    admin: {} as Admin,
    clock: systemClock,
    emit: () => {},
  };
  const first = await startControl(options);
  await assert.rejects(startControl(options), { code: "PORT_UNAVAILABLE", message: /another server listens there/ });
  await first[Symbol.asyncDispose]();
  const second = await startControl(options);
  await second[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

test("a file in the place of a socket is somebody's, and stays", async () => {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-control-"));
  const file = join(directory, "posthorn.yaml");
  writeFileSync(file, "state: /var/lib/posthorn\n");
  const settings = controlSettings.parse({ query: { path: file } });
  const started = startControl({
    settings,
    paths: controlPaths(settings, directory),
    admin: {} as Admin,
    clock: systemClock,
    emit: () => {},
  });
  try {
    const server = await started.catch((thrown: unknown) => thrown);
    // One that did start would keep the test from ending.
    if (!(server instanceof PosthornError)) await (await started)[Symbol.asyncDispose]();
    assert.match(String(server), /posthorn\.yaml: a file or a link is there that is no socket/);
  } finally {
    assert.equal(readFileSync(file, "utf8"), "state: /var/lib/posthorn\n");
    rmSync(directory, { recursive: true });
  }
});

/** A socket that only the C library can make; closed and removed at the end. */
function boundSocket(path: string, type: number): Disposable {
  const ffi = requireFfi("this test");
  const descriptor = Number(ffi.declare("int socket(int domain, int type, int protocol)")(1, type, 0));
  const address = Buffer.concat([Buffer.from([1, 0]), Buffer.from(`${path}\0`)]);
  const bound = ffi.declare("int bind(int socket, const void *address, unsigned int length)");
  assert.equal(bound(descriptor, address, address.length), 0, ffi.lastError());
  return { [Symbol.dispose]: () => closeSync(descriptor) };
}

async function refused(options: Parameters<typeof startControl>[0], message: RegExp): Promise<void> {
  const server = await startControl(options).catch((thrown: unknown) => thrown);
  if (server instanceof Error) assert.match(server.message, message);
  else {
    // One that did start would keep the test from ending.
    await (server as AsyncDisposable)[Symbol.asyncDispose]();
    assert.fail("started");
  }
}

test("a live socket of another kind is another program's, and stays", async () => {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-control-"));
  const settings = controlSettings.parse({});
  const paths = controlPaths(settings, directory);
  const options = { settings, paths, admin: {} as Admin, clock: systemClock, emit: () => {} };
  mkdirSync(dirname(paths.query), { recursive: true });
  for (const type of [2, 5]) {
    {
      using _socket = boundSocket(paths.query, type);
      await refused(options, /another program has a socket of another kind/);
      assert.ok(statSync(paths.query).isSocket());
    }
    // Now nobody has it.
    await (await startControl(options))[Symbol.asyncDispose]();
  }
  rmSync(directory, { recursive: true });
});

test(
  "another user's socket stays, dead or alive; one of ours for the group alone is taken over",
  {
    skip: process.getuid?.() !== 0,
  },
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "posthorn-control-"));
    const settings = controlSettings.parse({ change: { mode: "0060" } });
    const paths = controlPaths(settings, directory);
    const options = { settings, paths, admin: {} as Admin, clock: systemClock, emit: () => {} };
    mkdirSync(dirname(paths.query), { recursive: true });
    for (const folder of [directory, dirname(paths.query)]) chmodSync(folder, 0o777);
    const other = createServer();
    other.listen(paths.query);
    await once(other, "listening");
    chmodSync(paths.query, 0o600);
    process.seteuid?.(65_534);
    try {
      await refused(options, /may not connect to/);
      assert.ok(statSync(paths.query).isSocket());
      rmSync(paths.query);
      boundSocket(paths.change, 1)[Symbol.dispose]();
      chmodSync(paths.change, 0o060);
      await (await startControl(options))[Symbol.asyncDispose]();
    } finally {
      process.seteuid?.(0);
      other.close();
      rmSync(directory, { recursive: true });
    }
  },
);

test("without a server the client says what to do", async () => {
  await assert.rejects(connectControl("/nowhere/control.sock"), {
    code: "CONTROL_UNREACHABLE",
    advice: /^no server listens there: start it .* before `state` or `control` was changed .* a reload cannot move it/,
  });
});

test("a server that takes connections and says nothing is not waited for", async () => {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-control-"));
  const path = join(directory, "query.sock");
  const silent = createServer((socket) => void socket.on("error", () => {}).resume());
  silent.listen(path);
  await once(silent, "listening");
  {
    using client = await connectControl(path, 120);
    await assert.rejects(client.call("status"), {
      code: "CONTROL_UNREACHABLE",
      message: /it has said nothing for/,
      advice: /stopped, or hangs/,
    });
    using follower = await connectControl(path, 120);
    await assert.rejects(Array.fromAsync(follower.stream("tail")), { code: "CONTROL_UNREACHABLE" });
  }
  await new Promise((resolve) => silent.close(resolve));
  rmSync(directory, { recursive: true });
});

test("an answer that takes long is waited for, while the server gives signs of life", async () => {
  const clock = virtualClock(0);
  const census = Promise.withResolvers<[]>();
  await using server = await place({ queue: { census: () => census.promise } }, clock);
  using asking = await connectControl(server.paths.query, 600);
  using following = await connectControl(server.paths.query, 600);
  const events = Array.fromAsync(following.portions("tail"));
  const answer = asking.call("queue.count");
  let isOver = false;
  void answer.catch(() => {}).finally(() => (isOver = true));
  for (let round = 0; round < 15; round++) {
    await clock.advance(5_000 / 3);
    await wait(100);
  }
  assert.equal(isOver, false);
  census.resolve([]);
  assert.deepEqual(await answer, []);
  following[Symbol.dispose]();
  await assert.rejects(events, { code: "CONTROL_UNREACHABLE", message: /closed/ });
});

test("who may not use the socket is told so, and what to do", { skip: process.getuid?.() !== 0 }, async () => {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-control-"));
  const path = join(directory, "query.sock");
  const closed = createServer(() => {});
  closed.listen(path);
  await once(closed, "listening");
  chmodSync(directory, 0o755);
  chmodSync(path, 0o600);
  const effective = process.geteuid?.() ?? 0;
  process.seteuid?.(65_534);
  try {
    await assert.rejects(connectControl(path), {
      code: "CONTROL_REFUSED",
      advice: /root, or set control\.query\.group/,
    });
  } finally {
    process.seteuid?.(effective);
    await new Promise((resolve) => closed.close(resolve));
    rmSync(directory, { recursive: true });
  }
});
