import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { connectControl } from "../../src/admin/control/client.io.ts";
import { run } from "../../test/peers/running.ts";
import { pssKiBOf } from "../../test/processes.ts";
import { startServer, type Layout, type TestServer } from "../../test/server.ts";
import { fillQueue } from "../filled-queue.ts";
import { smtpSource } from "../smtp-source.ts";
import { attempt } from "./attempt.ts";
import { isAside, isOurs, RECIPIENT, type Contender, type ContenderName } from "./contender.ts";
import type { Field } from "./contenders.ts";
import type { Figures } from "./figures.ts";
import { portsFor } from "./opensmtpd.ts";
import type { Plan } from "./plan.ts";
import { makeScratch } from "./scratch.ts";

export const DEFERRED = "deferred";

export function deferredCell(count: number): string {
  return `${count.toLocaleString("en")} envelopes`;
}

/**
 * A long queue of deferred mail: what its list takes for the administrator's command, how long a restart takes until the server
 * takes mail and knows all of it, and what its processes take of the memory.
 */
export async function measureDeferred(plan: Plan, count: number, field: Field, figures: Figures): Promise<void> {
  const cell = deferredCell(count);
  figures.note(
    DEFERRED,
    "The list is what the administrator's command takes, its own start included. A restart counts from SIGTERM until a mail is taken and, at Posthorn, all envelopes are known again; for the others it was not measured: they answer at once and read their queue by and by. Posthorn's queue is filled through its store, the others' by SMTP: Postfix's is deferred, the others' is queued with delivery paused.",
  );
  for (const name of field.able({ task: { kind: "keep" } })) {
    if (isAside(name) || (plan.marksOnly && !isOurs(name))) continue;
    // Ours are what the marks are about: each is the first of its kind.
    const kind = `${DEFERRED} ${isOurs(name) ? name : "others"}`;
    if (!plan.budget.allowsAnother(kind)) {
      figures.note(DEFERRED, `${name}: left out, the time was over.`);
      continue;
    }
    const startedAt = performance.now();
    const tell = (measure: "list" | "restart" | "memory", value: number): void => {
      figures.add(DEFERRED, cell, measure, name, value);
      plan.progress(`deferred ${name}: ${measure} ${value.toFixed(2)}`);
    };
    await attempt({ part: DEFERRED, name, what: cell }, plan, figures, async () => {
      if (isOurs(name)) return await ofPosthorn(name === "Posthorn, single" ? "single" : "split", count, plan, tell);
      await using stack = plan.owner();
      return await ofPeer(stack.use(await field.start(name, { task: { kind: "keep" } })), name, count, tell);
    });
    plan.budget.took(kind, performance.now() - startedAt);
  }
}

type Tell = (measure: "list" | "restart" | "memory", value: number) => void;

async function ofPosthorn(layout: Layout, count: number, plan: Plan, tell: Tell): Promise<void> {
  const folder = makeScratch("posthorn-deferred");
  await fillQueue(join(folder, "data", "queue"), count, layout, true);
  const start = (): Promise<TestServer> =>
    startServer({
      folder,
      layout,
      settings: `actions: { onward: { relay: { to: "smtp://127.0.0.1:9" } } }
rules: [{ match: { for: bench.test }, action: onward }]
`,
      env: { POSTHORN_EMITTED: "1" },
      readyWithinMs: 90_000,
    });
  let server = await start();
  try {
    await untilAllKnown(server);
    for (let round = 0; round < plan.rounds; round++) {
      const restartedAt = performance.now();
      await server.stop();
      server = await start();
      await oneMail(server.ports.smtp);
      await untilAllKnown(server);
      tell("restart", secondsSince(restartedAt));
      const listedAt = performance.now();
      const { stdout } = await server.posthorn("queue", "list");
      tell("list", secondsSince(listedAt));
      const rows = stdout.split("\n").length - 1;
      if (rows < count) throw new Error(`the list has ${rows} lines of ${count} envelopes`);
    }
    await wait(3000);
    tell("memory", (pssKiBOf(server.process.pid ?? 0) * 1024) / 1e6);
  } finally {
    await server[Symbol.asyncDispose]();
  }
}

async function untilAllKnown({ folder }: TestServer): Promise<void> {
  using query = await connectControl(join(folder, "data", "run", "query.sock"));
  const untilAt = performance.now() + 120_000;
  while ((await query.call("status")).queue.isLoading) {
    if (performance.now() > untilAt) throw new Error("the queue is not loaded");
    await wait(10);
  }
}

async function ofPeer(contender: Contender, name: ContenderName, count: number, tell: Tell): Promise<void> {
  const ports = name === "OpenSMTPD" ? portsFor(contender.ports, 20) : contender.ports;
  const share = { sessions: 20 / ports.length, messages: Math.ceil(count / ports.length), bytes: 1024 };
  await Promise.all(ports.map((port) => smtpSource({ ...share, port, keepsSession: true, recipient: RECIPIENT })));
  const { list } = contender;
  if (list === undefined) return;
  const [program, argv] = list.command;
  const rowsOf = (text: string): number => text.split("\n").filter((line) => list.row.test(line)).length;
  // What was taken last may not be in the list yet.
  const untilAt = performance.now() + 60_000;
  for (;;) {
    const startedAt = performance.now();
    const { output } = await run(program, argv, "", 120_000);
    const tookS = secondsSince(startedAt);
    const rows = rowsOf(output);
    if (rows >= count) {
      tell("list", tookS);
      break;
    }
    if (performance.now() > untilAt) throw new Error(`${name} lists ${rows} of ${count}: ${output.slice(0, 600)}`);
    await wait(500);
  }
  tell("memory", (pssKiBOf(contender.pid) * 1024) / 1e6);
}

async function oneMail(port: number): Promise<void> {
  await smtpSource({ port, sessions: 1, messages: 1, bytes: 1024, keepsSession: true, recipient: RECIPIENT });
}

function secondsSince(startedAt: number): number {
  return (performance.now() - startedAt) / 1000;
}
