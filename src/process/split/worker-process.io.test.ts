import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import type { AnyEvent, Emit } from "../../foundation/events.ts";
import { virtualClock } from "../../simulator/clock.ts";
import type { WorkerStart } from "./roles.ts";
import { startWorker } from "./worker-process.ts";

const folder = mkdtempSync(join(tmpdir(), "posthorn-worker-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A worker that says it is ready, answers the questions that `answers` (JavaScript) lets it, and tells of each that it has come. */
function entryOf(name: string, answers: string): string {
  const file = join(folder, `${name}.mjs`);
  writeFileSync(
    file,
    `let asked = 0;
process.on("message", (message) => {
  if (message.kind === "start") process.send({ kind: "ready", listening: [] });
  else if (message.kind === "stop") process.exit(0);
  else if (message.kind === "leave") process.send({ kind: "closed" });
  else if (message.kind === "alive?") { asked++; if (${answers}) process.send({ kind: "alive" }); process.send({ kind: "ask-counts" }); }
});
process.on("disconnect", () => process.exit(0));
`,
  );
  return file;
}

async function until(holds: () => boolean): Promise<void> {
  const untilAt = performance.now() + 30_000;
  while (!holds()) {
    assert.ok(performance.now() < untilAt, "it does not come to that");
    await wait(5);
  }
}

for (const [what, answers, isKilled] of [
  ["a process that stands still is killed after a minute without an answer, and started again", "false", true],
  ["a process that answers now and then goes on", "asked % 5 === 0", false],
] as const)
  test(what, async () => {
    const clock = virtualClock(0);
    const told: string[] = [];
    let heard = 0;
    const emit: Emit = (event, fields) => void told.push((event as AnyEvent).line(fields as never) ?? "");
    const worker = startWorker({
      name: "egress-1",
      role: "egress",
      entry: entryOf(isKilled ? "still" : "slow", answers),
      nodeOptions: [],
      descriptors: [],
      // What it is told is no matter to this one.
      start: {} as WorkerStart,
      clock,
      emit,
      onMessage: () => heard++,
    });
    try {
      await worker.ready;
      const first = worker.pid();
      for (let question = 1; question <= 30 && worker.pid() === first; question++) {
        await clock.advance(10_000);
        // Its answers come in real time.
        await until(() => heard === question || worker.pid() === undefined);
        if (isKilled && question < 7) assert.equal(told.length, 1, `question ${question}: ${told.join("\n")}`);
      }
      if (!isKilled) {
        assert.equal(worker.pid(), first);
        assert.equal(told.length, 1);
        return;
      }
      await until(() => worker.pid() === undefined);
      assert.match(told[1] ?? "", /process egress-1 pid \d+ stood still for 60 s; killed/);
      assert.match(told[2] ?? "", /ended: signal SIGKILL; starting it again in 500 ms/);
      await clock.advance(500);
      await until(() => told.length === 4);
      assert.notEqual(worker.pid(), first);
      const pid = worker.pid();
      assert.deepEqual(worker.status(), { role: "egress-1", pid, startedAt: clock.now(), restarts: 1 });
    } finally {
      const stopped = worker.stop(1000);
      await stopped;
    }
  });

test("one whose time has not come is there, and begins when those are ready whom it asks", async () => {
  const told: string[] = [];
  const before = Promise.withResolvers<void>();
  const worker = startWorker({
    name: "ingress-1",
    role: "ingress",
    entry: entryOf("waits", "true"),
    nodeOptions: [],
    descriptors: [],
    start: {} as WorkerStart,
    after: before.promise,
    clock: virtualClock(0),
    emit: (event, fields) => void told.push((event as AnyEvent).line(fields as never) ?? ""),
  });
  try {
    assert.ok(worker.pid() !== undefined);
    await wait(300);
    assert.deepEqual(told, []);
    before.resolve();
    await worker.ready;
    assert.equal(told.length, 1);
  } finally {
    await worker.stop(1000);
  }
});

interface Machine {
  readonly node: string;
  /** A link to it. */
  readonly program: string;
  readonly env: Record<string, string>;
}

// Node tells the first by an event, and throws the second.
for (const [what, because, breakIt, mendIt] of [
  [
    "its program is not there",
    /ENOENT/,
    ({ program }: Machine) => rmSync(program),
    ({ program, node }: Machine) => symlinkSync(node, program),
  ],
  [
    "the system refuses the call",
    /E2BIG/,
    ({ env }: Machine) => void (env["POSTHORN_TEST"] = "x".repeat(200_000)),
    ({ env }: Machine) => void (env["POSTHORN_TEST"] = ""),
  ],
] as const)
  test(
    `a process that cannot be started again is tried until it can, and may be stopped meanwhile: ${what}`,
    { timeout: 60_000 },
    async () => {
      const machine: Machine = { node: process.execPath, program: join(folder, "node"), env: {} };
      symlinkSync(machine.node, machine.program);
      const clock = virtualClock(0);
      const told: string[] = [];
      let ends = 0;
      const worker = startWorker({
        name: "egress-1",
        role: "egress",
        entry: entryOf("comes-back", "true"),
        nodeOptions: [],
        descriptors: [],
        env: machine.env,
        start: {} as WorkerStart,
        clock,
        emit: (event, fields) => void told.push((event as AnyEvent).line(fields as never) ?? ""),
        onEnd: () => ends++,
      });
      try {
        process.execPath = machine.program;
        await worker.ready;
        breakIt(machine);
        process.kill(worker.pid() ?? 0, "SIGKILL");
        await until(() => told.length === 2);
        await clock.advance(500);
        await until(() => told.length === 3);
        assert.match(told[2] ?? "", /process egress-1 could not be started: .*; trying again in 1000 ms/);
        assert.match(told[2] ?? "", because);
        assert.equal(worker.pid(), undefined);
        await clock.advance(1000);
        await until(() => told.length === 4);
        assert.match(told[3] ?? "", /trying again in 2000 ms/);
        assert.equal(ends, 1);
        mendIt(machine);
        await clock.advance(2000);
        await until(() => told.length === 5);
        assert.match(told[4] ?? "", /egress-1: ready/);
        breakIt(machine);
        process.kill(worker.pid() ?? 0, "SIGKILL");
        await until(() => told.length === 6);
        await clock.advance(4000);
        await until(() => told.length === 7);
      } finally {
        process.execPath = machine.node;
        await worker.stop(1000);
        await worker.leave();
        rmSync(machine.program, { force: true });
      }
      assert.equal(clock.nextAt(), undefined);
    },
  );

test("a process that cannot be started at all is told to whoever waits for it", { timeout: 60_000 }, async () => {
  const node = process.execPath;
  process.execPath = join(folder, "nothing");
  const worker = startWorker({
    name: "egress-1",
    role: "egress",
    entry: entryOf("never", "true"),
    nodeOptions: [],
    descriptors: [],
    start: {} as WorkerStart,
    clock: virtualClock(0),
    emit: () => {},
  });
  process.execPath = node;
  await assert.rejects(worker.ready, /process egress-1 did not start: .*ENOENT/);
  await worker.stop(1000);
});

test("connections that a process never took are closed when it ends, and there are never many on the way", async () => {
  const worker = startWorker({
    name: "ingress-1",
    role: "ingress",
    entry: entryOf("takes-nothing", "true"),
    nodeOptions: [],
    descriptors: [],
    start: {} as WorkerStart,
    clock: virtualClock(0),
    emit: () => {},
  });
  const accepted: Socket[] = [];
  const path = join(folder, "clients.sock");
  const server = createServer({ pauseOnConnect: true }, (socket) => void accepted.push(socket));
  const clients: Socket[] = [];
  let closed = 0;
  try {
    await worker.ready;
    server.listen(path);
    await once(server, "listening");
    for (let count = 0; count < 300; count++) {
      const client = connect(path);
      client.on("error", () => {});
      client.on("close", () => closed++);
      client.resume();
      clients.push(client);
      await once(client, "connect");
    }
    await until(() => accepted.length === clients.length);
    const pid = worker.pid() ?? 0;
    process.kill(pid, "SIGSTOP");
    const taken = accepted.filter((socket) =>
      worker.hand(
        { kind: "local-client", known: { account: "ann", mechanism: "PEERCRED" }, client: 1 },
        socket,
        () => {},
      ),
    );
    assert.ok(taken.length > 200 && taken.length < 290, String(taken.length));
    for (const socket of accepted) if (!taken.includes(socket)) socket.destroy();
    await until(() => closed === clients.length - taken.length);
    process.kill(pid, "SIGKILL");
    // The one that Node had begun to send is Node's own until it is acknowledged.
    await until(() => closed >= clients.length - 1);
  } finally {
    for (const client of clients) client.destroy();
    server.close();
    await worker.stop(1000);
  }
});

test("a process that was asked to leave says when it accepts no more, which may be long before its end", async () => {
  const worker = startWorker({
    name: "ingress-1",
    role: "ingress",
    entry: entryOf("leaving", "true"),
    nodeOptions: [],
    descriptors: [],
    // What it is told is no matter to this one.
    start: {} as WorkerStart,
    clock: virtualClock(0),
    emit: () => {},
  });
  await worker.ready;
  let isOver = false;
  const left = worker.leave().then(() => (isOver = true));
  await worker.closed;
  assert.equal(isOver, false);
  await worker.stop(1000);
  await left;
});
