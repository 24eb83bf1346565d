import { cpus } from "node:os";
import { mkdtempSync, rmSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { systemClock } from "../src/foundation/clock.io.ts";
import { envelopeIdOf, messageIdMaker, type MessageId } from "../src/foundation/ids.ts";
import { openIntake } from "../src/mail/queue/intake.io.ts";
import { queueSettings } from "../src/mail/queue/settings.ts";
import { openStore } from "../src/mail/queue/store.io.ts";
import type { Operation, Store } from "../src/mail/queue/store.ts";
import type { Intake } from "../src/mail/queue/queue.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

/**
 * What keeping a message costs: `node bench/store.ts [--seconds 2] [--in DIRECTORY] [--inline 32KiB] [--rows]
 * [--sizes 1,4,50] [--committers 1,10,100]`, sizes in KiB.
 * A row of the table: some committers, each with one message at a time, in turn `accept` (write the body, commit) or
 * `life` (write, commit, one update, removal). CPU is user + system of the whole process, all threads, per message.
 * With `--rows` also: load, list and census of 100,000 envelopes, and what listing does to commits.
 */
const { values: options } = scriptArguments({
  options: {
    seconds: { type: "string", default: "2" },
    in: { type: "string", default: "." },
    inline: { type: "string", default: "32KiB" },
    sizes: { type: "string", default: "1,4,50" },
    committers: { type: "string", default: "1,10,100" },
    rows: { type: "boolean", default: false },
  },
});
const seconds = Number(options.seconds);
const nextId = messageIdMaker(systemClock, 0);
const settings = queueSettings.parse({ inlineBodyUpTo: options.inline });

await main();

async function main(): Promise<void> {
  const root = mkdtempSync(`${options.in}/bench-store-`);
  process.on("exit", () => rmSync(root, { recursive: true, force: true }));
  console.log(
    `${cpus().length} × ${cpus()[0]?.model ?? "?"}, node ${process.version}, ${seconds} s a cell, inline up to ${options.inline}\n`,
  );
  console.log(
    "| what | size KiB | committers | messages/s | CPU ms/message | p50 ms | p99 ms | longest stall ms | messages/sync |",
  );
  console.log("|---|---|---|---|---|---|---|---|---|");
  for (const what of ["accept", "life"] as const)
    for (const kib of options.sizes.split(",").map(Number))
      for (const committers of options.committers.split(",").map(Number)) await measure(root, what, kib, committers);
  if (options.rows) await measureRows(`${root}/rows`);
}

async function measure(root: string, what: "accept" | "life", kib: number, committers: number): Promise<void> {
  const directory = `${root}/${what}-${kib}-${committers}`;
  await using store = await openStore({ directory, settings, clock: systemClock });
  const intake = openIntake({ directory, settings, clock: systemClock });
  const content = Buffer.alloc(kib * 1024, "All work and no play makes Jack a dull boy.\r\n");
  const latencies: number[] = [];
  const stall = monitorEventLoopDelay({ resolution: 1 });
  const before = store.counters();
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  stall.enable();
  const until = startedAt + seconds * 1000;
  await Promise.all(
    Array.from({ length: committers }, async () => {
      while (performance.now() < until) {
        const begunAt = performance.now();
        const id = await accept(store, intake, content);
        latencies.push(performance.now() - begunAt);
        if (what === "life") await live(store, id);
      }
    }),
  );
  stall.disable();
  const tookMs = performance.now() - startedAt;
  const cpu = process.cpuUsage(cpuBefore);
  const after = store.counters();
  latencies.sort((a, b) => a - b);
  const quantile = (part: number): string => (latencies[Math.floor(latencies.length * part)] ?? 0).toFixed(1);
  const cells = [
    what,
    kib,
    committers,
    Math.round((latencies.length / tookMs) * 1000),
    ((cpu.user + cpu.system) / 1000 / latencies.length).toFixed(3),
    quantile(0.5),
    quantile(0.99),
    (stall.max / 1e6).toFixed(1),
    (latencies.length / (after.syncs - before.syncs)).toFixed(1),
  ];
  console.log(`| ${cells.join(" | ")} |`);
}

async function accept(store: Store, intake: Intake, content: Uint8Array): Promise<MessageId> {
  const id = nextId();
  const writer = intake.begin(id);
  for (let at = 0; at < content.length; at += 65_536) await writer.write(content.subarray(at, at + 65_536));
  await store.apply([commitOf(id, await writer.finish(), content.length)]);
  return id;
}

async function live(store: Store, id: MessageId): Promise<void> {
  const envelope = envelopeIdOf(id, 1);
  const now = Date.now();
  const attempt = { startedAt: now, tookMs: 12, outcome: "deferred", relay: "mx.example[192.0.2.1]:25" } as const;
  const progress = { state: "queued", dueAt: now + 400_000, expiresAt: now + 345_600_000, attempts: 1 } as const;
  await store.apply([{ do: "update", envelope, progress, attempt }]);
  await store.apply([{ do: "remove", envelope }]);
}

function commitOf(
  id: MessageId,
  body: Extract<Operation, { do: "commit" }>["body"],
  sizeBytes: number,
): Extract<Operation, { do: "commit" }> {
  const now = Date.now();
  return {
    do: "commit",
    message: {
      id,
      sender: "sender@example.org",
      receivedAt: now,
      sizeBytes,
      content: "7bit",
      isInternational: false,
      messageIdField: "<20250101120000.12345@client.example.org>",
      origin: {
        listener: "smtp",
        protocol: "ESMTP",
        session: "s1",
        address: "192.0.2.7",
        port: 4711,
        helo: "client.example.org",
      },
    },
    body,
    envelopes: [
      {
        envelope: {
          id: envelopeIdOf(id, 1),
          message: id,
          recipient: "recipient@example.net",
          notify: [],
          action: "relay",
        },
        progress: { state: "queued", dueAt: now, expiresAt: now + 345_600_000, attempts: 0 },
      },
    ],
  };
}

async function measureRows(directory: string): Promise<void> {
  const count = 100_000;
  const content = Buffer.alloc(1024, "x");
  await using store = await openStore({ directory, settings, clock: systemClock });
  for (let made = 0; made < count; made += 1000)
    await store.apply(
      Array.from({ length: 1000 }, () => commitOf(nextId(), { kind: "inline", bytes: content }, content.length)),
    );
  console.log(`\n| with ${count} envelopes queued | ms |\n|---|---|`);
  const timed = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    const begunAt = performance.now();
    await work();
    console.log(`| ${what} | ${Math.round(performance.now() - begunAt)} |`);
  };
  await timed("load", async () => {
    for await (const portion of store.load()) void portion;
  });
  await timed("list all", () => store.list({}));
  await timed("list one domain of none", () => store.list({ domain: "nowhere.example" }));
  await timed("census", () => store.census(Date.now()));
  for (const reading of [false, true]) {
    let isOver = false;
    const lists = reading
      ? (async () => {
          // oxlint-disable-next-line no-unmodified-loop-condition -- modified below, when the commits are done
          while (!isOver) await store.list({});
        })()
      : Promise.resolve();
    const latencies: number[] = [];
    const until = performance.now() + seconds * 1000;
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        while (performance.now() < until) {
          const begunAt = performance.now();
          await store.apply([commitOf(nextId(), { kind: "inline", bytes: content }, content.length)]);
          latencies.push(performance.now() - begunAt);
        }
      }),
    );
    isOver = true;
    await lists;
    latencies.sort((a, b) => a - b);
    const rate = Math.round(latencies.length / seconds);
    const p99 = (latencies[Math.floor(latencies.length * 0.99)] ?? 0).toFixed(1);
    console.log(
      `| commits with 50 committers, ${reading ? "lists without a pause beside them" : "nothing beside them"} | ${rate}/s, p99 ${p99} |`,
    );
  }
}
