/**
 * What sessions cost that wait for their peer's close_notify: `node bench/waiting-closes.ts [--waiting 1000]
 * [--seconds 10] [--every 20]`, milliseconds between its NOOPs. So many clients say QUIT, get their 221 and our close_notify, and answer nothing; meanwhile another
 * session sends NOOPs. CPU of the whole server beside the same time without the waiting ones (goal: under 1 % of a core
 * more), and the round trips of that session (goal: none takes 10 ms longer).
 */
import { setTimeout as wait } from "node:timers/promises";
import { startServer } from "../test/server.ts";
import { median } from "./comparison/figures.ts";
import { cpuMsOf, establishedOn, greeted, heard, inGroups, openHanded, percentile, roundTrips } from "./tls-load.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

const { values: options } = scriptArguments({
  options: {
    waiting: { type: "string", default: "1000" },
    seconds: { type: "string", default: "10" },
    /** Of NOOPs: each costs the server some, and is in both figures. */
    every: { type: "string", default: "20" },
  },
});

const forMs = Number(options.seconds) * 1000;
const everyMs = Number(options.every);
// Long enough for the whole measurement, the opening of the sessions apart.
await using server = await startServer({ layout: "single", settings: openHanded("1m") });
const port = server.ports.smtps;
const pid = server.process.pid ?? 0;
const other = await greeted(port);

const measure = async () => {
  const [cpuBefore, startedAt] = [cpuMsOf(pid), performance.now()];
  const trips = await roundTrips(other, everyMs, forMs);
  const tookMs = performance.now() - startedAt;
  return { share: (cpuMsOf(pid) - cpuBefore) / tookMs, trips };
};

await roundTrips(other, 5, 2000);
// Memory that the start has left behind is collected now or never.
await wait(3000);
const without = await measure();
const clients = await inGroups(Number(options.waiting), () => greeted(port));
await Promise.all(
  clients.map(async (client) => {
    const bye = heard(client, /^221 .*\r\n/m);
    client.write("QUIT\r\n");
    await bye;
  }),
);
// What opening and leaving a thousand sessions costs is over before the waiting is measured.
await wait(5000);
const waiting = await measure();
// The other session's connection is one of them.
const open = establishedOn(port) - 1;
if (open !== clients.length) throw new Error(`${open} of ${clients.length} closes were waited for to the end`);
const again = await (async () => {
  for (const client of clients) client.destroy();
  await wait(5000);
  return await measure();
})();
other.destroy();

const percent = (share: number): string => `${(share * 100).toFixed(2)} % of a core`;
const ms = (value: number): string => `${value.toFixed(2)} ms`;
for (const [name, { share, trips }] of [
  ["nobody waits", without],
  [`${clients.length} wait`, waiting],
  ["nobody any more", again],
] as const)
  console.log(
    `${name.padEnd(16)} CPU ${percent(share)}; round trips ${trips.length}: median ${ms(median(trips))}, ` +
      `99 % within ${ms(percentile(trips, 0.99))}, longest ${ms(Math.max(...trips))}`,
  );
const added = waiting.share - Math.min(without.share, again.share);
const quiet = Math.max(percentile(without.trips, 1), percentile(again.trips, 1));
const delay = percentile(waiting.trips, 1) - quiet;
console.log(`added ${percent(Math.max(0, added))} (goal: under 1 %)`);
console.log(
  `longest round trip ${ms(Math.abs(delay))} ${delay > 0 ? "longer" : "shorter"} than without (goal: under 10 ms)`,
);
if (added >= 0.01 || delay >= 10) process.exitCode = 1;
