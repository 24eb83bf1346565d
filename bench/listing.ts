/**
 * A queue of 100,000 envelopes: `node bench/listing.ts [--count 100000] [--layout single|split] [--tried]`. How long its
 * list takes through the control socket and for `posthorn queue list`, what that does to reception meanwhile, and what
 * an envelope costs in memory. Uses the emitted JavaScript (`npm run build`).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { connectControl } from "../src/admin/control/client.io.ts";
import { pssKiBOf } from "../test/processes.ts";
import { startServer, type Layout } from "../test/server.ts";
import { RECIPIENT } from "./comparison/contender.ts";
import { fillQueue } from "./filled-queue.ts";
import { smtpSource } from "./smtp-source.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

const { values: options } = scriptArguments({
  options: {
    count: { type: "string", default: "100000" },
    layout: { type: "string", default: "single" },
    /** Deferred mail: each envelope with why its last attempt failed. */
    tried: { type: "boolean", default: false },
  },
});
const count = Number(options.count);
const layout: Layout = options.layout === "split" ? "split" : "single";
const folder = mkdtempSync(join(tmpdir(), "posthorn-bench-listing-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
await fillQueue(join(folder, "data", "queue"), count, layout, options.tried);
await main();

async function main(): Promise<void> {
  const settings = `actions: { onward: { relay: { to: "smtp://127.0.0.1:9" } } }
rules: [{ match: { for: bench.test }, action: onward }]
`;
  process.env["POSTHORN_EMITTED"] = "1";
  await using server = await startServer({ folder, layout, settings });
  const pid = server.process.pid ?? 0;
  using query = await connectControl(join(folder, "data", "run", "query.sock"));
  using change = await connectControl(join(folder, "data", "run", "control.sock"));
  await change.call("pause", { direction: "out", because: "measuring" });
  while ((await query.call("status")).queue.isLoading) await wait(100);
  console.log(`| with ${count} envelopes ${options.tried ? "deferred" : "queued"}, ${layout} | |\n|---|---|`);
  console.log(`| memory (PSS of all processes) | ${(pssKiBOf(pid) / 1024).toFixed(0)} MiB |`);
  for (const round of [1, 2, 3]) {
    const startedAt = performance.now();
    let rows = 0;
    for await (const portion of query.portions("queue.list", {})) rows += portion.length;
    console.log(`| list through the control socket, ${round} | ${since(startedAt)} ms, ${rows} rows |`);
  }
  for (const argv of [[], ["--json"], ["--domain", "domain7.example"]]) {
    const startedAt = performance.now();
    const shown = await server.posthorn("queue", "list", ...argv);
    const command = ["posthorn queue list", ...argv].join(" ");
    console.log(`| \`${command}\` | ${since(startedAt)} ms, ${shown.stdout.split("\n").length - 1} lines |`);
  }
  await reception(server.ports.smtp, "nothing beside it");
  const stop = new AbortController();
  const lists = listing(join(folder, "data", "run", "query.sock"), stop.signal);
  await reception(server.ports.smtp, "lists without a pause beside it");
  stop.abort();
  console.log(`| lists meanwhile | ${await lists} |`);

  async function reception(port: number, beside: string): Promise<void> {
    const messages = 5000;
    await smtpSource({ port, sessions: 50, messages: 1000, bytes: 1024, keepsSession: true, recipient: RECIPIENT });
    const tookS = await smtpSource({
      port,
      sessions: 50,
      messages,
      bytes: 1024,
      keepsSession: true,
      recipient: RECIPIENT,
    });
    console.log(`| reception, 50 sessions, ${beside} | ${(messages / tookS).toFixed(0)} msg/s |`);
  }
}

async function listing(path: string, signal: AbortSignal): Promise<number> {
  using control = await connectControl(path);
  let lists = 0;
  for (; !signal.aborted; lists++) await Array.fromAsync(control.portions("queue.list", {}), (rows) => rows.length);
  return lists;
}

function since(startedAt: number): string {
  return (performance.now() - startedAt).toFixed(0);
}
