/**
 * What a long queue costs the scheduler: `node bench/scheduler.ts [--count 1000000] [--decisions 1500000]
 * [--parts core,fairness,store]`.
 *
 * `core`: resident memory of an envelope beyond the first 10,000 (after forced collections of garbage), half of them
 * ready and half waiting, and how long decisions take in that queue: steps of the pure core in a world that answers at
 * once. `fairness`: what a huge list does to a single mail behind it. `store`: the same memory through a real start, the
 * driver reading the queue's store, its threads included. Each part has a process of its own.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../src/foundation/clock.io.ts";
import { envelopeIdOf, messageIdOf } from "../src/foundation/ids.ts";
import { seededRandom } from "../src/foundation/random.ts";
import { queueSettings } from "../src/mail/queue/settings.ts";
import { openStore } from "../src/mail/queue/store.io.ts";
import type { LoadedEnvelope, Operation } from "../src/mail/queue/store.ts";
import { Scheduler } from "../src/mail/scheduler/scheduler.io.ts";
import { newScheduler, type SchedulerState } from "../src/mail/scheduler/state.ts";
import { simulatedDeliveries } from "../src/simulator/deliveries.ts";
import { coreSettings } from "../src/simulator/scheduling.ts";
import { greylisted, World } from "./scheduler-world.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

const { values: options } = scriptArguments({
  options: {
    count: { type: "string", default: "1000000" },
    parts: { type: "string", default: "core,fairness,store" },
    decisions: { type: "string", default: "1500000" },
    part: { type: "string" },
  },
});
const count = Number(options.count);
const FIRST = 10_000;
const DOMAINS = 50_000;
const HOUR_MS = 3_600_000;
const NOW = Date.UTC(2026, 5, 1, 12);
const random = seededRandom(4);

if (options.part === "core") core();
else if (options.part === "fairness") fairness();
else if (options.part === "store") await store();
else if (options.part === "store-memory") process.stdout.write(`${await startFromStore(count, () => {})}`);
else {
  console.log(
    `${cpus().length} × ${cpus()[0]?.model ?? "?"}, node ${process.version}, ${count} envelopes, load average ${(loadavg()[0] ?? 0).toFixed(1)}\n`,
  );
  console.log("| what | |\n|---|---|");
  for (const part of options.parts.split(",")) {
    const argv = ["--expose-gc", "--disable-warning=ExperimentalWarning", import.meta.filename, "--part", part];
    const { status } = spawnSync(process.execPath, [...argv, ...process.argv.slice(2)], { stdio: "inherit" });
    if (status !== 0) process.exitCode = 1;
  }
}

/** Every second one is due, the others have been tried before; each is the only envelope of its message. */
function envelope(n: number): LoadedEnvelope {
  const message = messageIdOf(45_000_000_000 * 4096 + n * 3);
  const isWaiting = n % 2 === 0;
  const receivedAt = NOW - Math.floor(random.next() * 12 * HOUR_MS);
  const wasWarned = NOW - receivedAt > 4 * HOUR_MS;
  return {
    id: envelopeIdOf(message, 1),
    message,
    recipient: `recipient.${n}@domain${n % DOMAINS}.example`,
    sender: `sender.${n}@origin${(n * 7) % DOMAINS}.example`,
    action: "relay",
    sizeBytes: 1000 + (n % 50_000),
    receivedAt,
    progress: {
      state: "queued",
      dueAt: isWaiting ? NOW + Math.floor(random.next() * 4 * HOUR_MS) : NOW,
      expiresAt: receivedAt + 96 * HOUR_MS,
      attempts: isWaiting ? 1 + (n % 5) : 0,
      ...(isWaiting && wasWarned ? { warnedAt: receivedAt + 4 * HOUR_MS } : {}),
    },
    wantsDelayNotice: true,
  };
}

function core(): void {
  const state = newScheduler(coreSettings({ scheduler: {} }), 1);
  let made = 0;
  const wanted = Number(options.decisions);
  // Made before anything is measured: what is noted here is not to be the collector's work as well.
  const tookMsOf = new Float64Array(wanted);
  let measured = 0;
  let longest = { event: "", tookMs: 0 };
  let isMeasuring = false;
  let settled = 0;
  let workMs = 0;
  const world = new World(state, NOW, {
    // Half of what is tried is put off: the queue keeps its length, and what leaves is replaced.
    failureOf: () => (random.next() < 0.5 ? greylisted : undefined),
    replacement: () => [envelope(2 * ++made + 1 + 2 * count)],
    onStep(event, tookMs, actions) {
      if (!isMeasuring) return;
      workMs += tookMs;
      if (event.on === "transacted") settled += event.transacted.outcomes.length;
      const handsOut = actions.some((action) => action.do === "transact" || action.do === "deliver");
      if (!handsOut && event.on !== "transacted" && event.on !== "written" && event.on !== "queued") return;
      tookMsOf[measured++] = tookMs;
      if (tookMs > longest.tookMs) longest = { event: event.on, tookMs };
    },
  });
  world.holdsAnswers = true;
  const load = (from: number, to: number): void => {
    for (let n = from; n < to; n += 500) {
      const portion = Array.from({ length: Math.min(500, to - n) }, (_, at) => envelope(n + at));
      // As it comes from the store's thread: strings of their own, shared with nothing.
      world.post({ on: "loaded", envelopes: structuredClone(portion) });
    }
  };
  load(0, FIRST);
  const before = rssBytes();
  load(FIRST, count);
  const after = rssBytes();
  row("resident bytes an envelope, half ready, half waiting", ((after - before) / (count - FIRST)).toFixed(0));
  row("ready, waiting", `${state.counts.ready}, ${state.counts.waiting}`);

  world.release();
  // V8's compilers come first.
  while (world.steps < count / 500 + 200_000 && world.advance()) continue;
  isMeasuring = true;
  const cpuBefore = process.threadCpuUsage();
  const isMissingSome = (): boolean => measured < wanted;
  while (isMissingSome() && world.advance()) continue;
  isMeasuring = false;
  const cpu = process.threadCpuUsage(cpuBefore);
  // Of the thread's own time: what else runs on the machine counts for nothing, what the world does counts as well.
  const cpuS = (cpu.user + cpu.system) / 1e6;
  const times = tookMsOf.subarray(0, measured).sort();
  const quantile = (part: number): string => ((times[Math.floor(times.length * part)] ?? 0) * 1000).toFixed(1);
  row("decisions a second of the thread's CPU, the world's work included", Math.round(measured / cpuS));
  row("decisions a second of real time in steps", Math.round((measured / workMs) * 1000));
  row("envelopes settled a second of the thread's CPU", Math.round(settled / cpuS));
  const most = `${(longest.tookMs * 1000).toFixed(0)} (${longest.event})`;
  row("a decision, µs: p50, p99, p99.9, longest", `${[0.5, 0.99, 0.999].map(quantile).join(", ")}, ${most}`);
  row("envelopes then: ready, waiting", `${state.counts.ready}, ${state.counts.waiting}`);
  row("resident bytes an envelope then", ((rssBytes() - before) / (state.tickets.size - FIRST)).toFixed(0));
}

/** What a mail waits that comes behind a huge list: on its own, and with the list before it. */
function fairness(): void {
  const list = Math.min(300_000, count);
  const kinds: readonly (readonly [string, (n: number) => Partial<LoadedEnvelope>])[] = [
    ["one message with 300,000 recipients", () => ({ message: "00000000001", sender: "list@origin.example" })],
    ["300,000 messages of one sender", () => ({ sender: "list@origin.example" })],
    ["300,000 messages, the sender's address naming each recipient", (n) => ({ sender: `list+u=${n}@origin.example` })],
  ];
  for (const [what, of] of kinds) {
    const state = newScheduler(coreSettings(), 1);
    const deliveredAt = new Map<string, number>();
    const world = new World(state, NOW, {
      connectMs: 50,
      transactMs: 100,
      onDelivered: (id, at) => void (id.startsWith("Z") && deliveredAt.set(id, at)),
    });
    const mail = (id: string, recipient: string, more: Partial<LoadedEnvelope>): LoadedEnvelope => ({
      ...envelope(0),
      id,
      message: id.slice(0, id.indexOf(".")),
      recipient,
      receivedAt: NOW,
      progress: { state: "queued", dueAt: NOW, expiresAt: NOW + 96 * HOUR_MS, attempts: 0 },
      ...more,
    });
    const all = Array.from({ length: list }, (_, n) => {
      const more = of(n);
      const id = more.message === undefined ? `${messageIdOf(n)}.1` : `${more.message}.${n + 1}`;
      return mail(id, `u${n}@big.example`, more);
    });
    world.post({ on: "queued", envelopes: all });
    while (world.now < NOW + 5000 && world.advance()) continue;
    const sentAt = world.now;
    const single = { sender: "jane@other.example" };
    world.post({ on: "queued", envelopes: [mail("Z0000000001.1", "joe@big.example", single)] });
    world.post({ on: "queued", envelopes: [mail("Z0000000002.1", "joe@small.example", single)] });
    while (deliveredAt.size < 2 && world.advance()) continue;
    const waits = [1, 2].map((n) => ((deliveredAt.get(`Z000000000${n}.1`) ?? Infinity) - sentAt).toFixed(0));
    row(`a single mail behind ${what}: to the same relay, to another (ms)`, waits.join(", "));
  }
}

/** The driver reads the queue's store, as at a start; its threads are in the figure. */
async function store(): Promise<void> {
  // What the process has anyway is measured in one of its own, which begins with only the first envelopes.
  const argv = ["--expose-gc", "--disable-warning=ExperimentalWarning", import.meta.filename];
  const first = spawnSync(process.execPath, [...argv, "--part", "store-memory", "--count", String(FIRST)], {
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  const atFirst = Number(first.stdout);
  if (first.status !== 0 || !(atFirst > 0))
    throw new Error(`the start with ${FIRST} envelopes failed: ${first.stdout}`);
  const inAll = await startFromStore(count, row);
  row("resident bytes an envelope after a start from the store", ((inAll - atFirst) / (count - FIRST)).toFixed(0));
}

/** Resident bytes of a process that has started from a store of so many envelopes. */
async function startFromStore(
  envelopes: number,
  tell: (what: string, value: string | number) => void,
): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-bench-scheduler-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  {
    await using filled = await openStore({ directory, settings: queueSettings.parse({}), clock: systemClock });
    for (let made = 0; made < envelopes; made += 1000)
      await filled.apply(Array.from({ length: Math.min(1000, envelopes - made) }, (_, n) => commit(made + n)));
  }
  const deliveries = simulatedDeliveries(systemClock);
  const settings = coreSettings();
  await using opened = await openStore({ directory, settings: queueSettings.parse({}), clock: systemClock });
  const scheduler = new Scheduler({
    store: opened,
    // Hosts are never found: what is ready stays so.
    network: { ...deliveries.network, resolve: () => new Promise(() => {}) },
    local: deliveries.local,
    notices: { make: () => Promise.resolve({ kind: "unwanted" }) },
    clock: { ...systemClock, now: () => NOW },
    emit: () => {},
    seed: 1,
    settings,
  });
  const startedAt = performance.now();
  scheduler.start();
  while (scheduler.isLoading || size(scheduler.state) < envelopes)
    await new Promise((resolve) => setTimeout(resolve, 50));
  tell("read from the store, ms", (performance.now() - startedAt).toFixed(0));
  tell("ready, waiting", `${scheduler.state.counts.ready}, ${scheduler.state.counts.waiting}`);
  const resident = rssBytes();
  await scheduler.stop(0);
  return resident;
}

function size(state: SchedulerState): number {
  return state.tickets.size;
}

function commit(n: number): Operation {
  const { id, message, recipient, sender, action, sizeBytes, receivedAt, progress } = envelope(n);
  return {
    do: "commit",
    message: {
      id: message,
      sender,
      receivedAt,
      sizeBytes,
      content: "7bit",
      isInternational: false,
      origin: { listener: "smtp", protocol: "ESMTP", session: "smtp-1" },
    },
    body: { kind: "inline", bytes: Buffer.alloc(16, "x") },
    envelopes: [{ envelope: { id, message, recipient, notify: [], action }, progress }],
  };
}

/** Resident memory when all garbage is gone and what is left has been moved together. */
function rssBytes(): number {
  for (let n = 0; n < 3; n++) globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
  return process.memoryUsage.rss();
}

function row(what: string, value: string | number): void {
  console.log(`| ${what} | ${value} |`);
}
