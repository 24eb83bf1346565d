/**
 * TLS as a whole, under peers of every kind: `node test/tls/endurance/run.ts --endings 2000 --chaos 10000 --hostile 2000`.
 * Fails on a connection whose end was told wrongly, on anything thrown that nobody caught, and on a socket left open.
 * `node tools/tls-endurance.ts` runs it on each version of Node.
 */
import { parseArgs } from "node:util";
import { runChaos } from "./chaos.ts";
import { runEndings } from "./endings.ts";
import { runHostile } from "./hostile.ts";
import { makeWorld, rest } from "./world.ts";

const { values } = parseArgs({
  options: {
    endings: { type: "string", default: "2000" },
    chaos: { type: "string", default: "10000" },
    hostile: { type: "string", default: "2000" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
  },
});

const uncaught: string[] = [];
process.on("uncaughtException", (error) => uncaught.push(String(error.stack)));
process.on("unhandledRejection", (reason) => uncaught.push(`a rejection that nobody handles: ${String(reason)}`));

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const heapMb = (): number => Math.round(process.memoryUsage().heapUsed / 1e5) / 10;

say(`Node ${process.version}, OpenSSL ${process.versions.openssl}, seed ${values.seed}`);
const problems: string[] = [];
const parts = [
  { name: "endings", run: runEndings, count: Number(values.endings) },
  { name: "chaos", run: runChaos, count: Number(values.chaos) },
  { name: "hostile", run: runHostile, count: Number(values.hostile) },
] as const;
for (const { name, run, count } of parts) {
  if (count === 0) continue;
  const startedMs = performance.now();
  const world = await makeWorld(Number(values.seed));
  const report = await run(world, count);
  await world[Symbol.asyncDispose]();
  await rest(100);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  const wrong = [...report.wrong];
  if (world.openSockets > 0) wrong.push(`${world.openSockets} sockets are still open`);
  say(
    `${name}: ${report.connections} connections in ${seconds} s, ${wrong.length} wrong, ${uncaught.length} uncaught, heap ${heapMb()} MB`,
  );
  const counts = "counts" in report ? report.counts : "ends" in report ? report.ends : report.said;
  for (const [what, times] of [...counts].sort(([a], [b]) => a.localeCompare(b)))
    say(`  ${String(times).padStart(6)}  ${what}`);
  for (const one of wrong.slice(0, 20)) say(`  wrong: ${one}`);
  problems.push(...wrong);
}
const tcpHandles = (): string[] => process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP"));
// Node's own server gives up a handshake after ten seconds.
for (let waited = 0; tcpHandles().length > 0 && waited < 12_000; waited += 50) await rest(50);
const handles = tcpHandles();
if (handles.length > 0) problems.push(`handles are still there: ${handles.join(" ")}`);
for (const one of uncaught.slice(0, 5)) say(`uncaught: ${one}`);
const isGood = problems.length === 0 && uncaught.length === 0;
say(
  isGood
    ? "all as it should be"
    : `${problems.length} problems, ${uncaught.length} uncaught, ${handles.length} handles left`,
);
process.exit(isGood ? 0 : 1);
