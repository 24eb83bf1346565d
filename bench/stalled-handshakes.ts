/**
 * What clients that stall in the TLS handshake do to others: `node bench/stalled-handshakes.ts [--stalled 1000]
 * [--handshakes 200] [--rounds 3]`. The median handshake of others, with nobody stalled and with so many; the goal is at most twice.
 * Alternates several times, so that a busy moment of the machine meets both.
 */
import { startServer } from "../test/server.ts";
import { median } from "./comparison/figures.ts";
import { handshakeMs, inGroups, openHanded, percentile, stalledHandshake } from "./tls-load.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

const { values: options } = scriptArguments({
  options: {
    stalled: { type: "string", default: "1000" },
    handshakes: { type: "string", default: "200" },
    rounds: { type: "string", default: "3" },
  },
});

const stalledCount = Number(options.stalled);
const perRound = Number(options.handshakes);
await using server = await startServer({ layout: "single", settings: openHanded("3s") });
const port = server.ports.smtps;
const sample = async (): Promise<readonly number[]> => {
  const taken: number[] = [];
  for (let at = 0; at < perRound; at++) taken.push(await handshakeMs(port));
  return taken;
};

// The first handshakes compile what all others use.
for (let at = 0; at < 100; at++) await handshakeMs(port);
const alone: number[] = [];
const beside: number[] = [];
for (let round = 0; round < Number(options.rounds); round++) {
  alone.push(...(await sample()));
  const stalled = await inGroups(stalledCount, () => stalledHandshake(port));
  beside.push(...(await sample()));
  const open = stalled.filter((socket) => !socket.destroyed && !socket.readableEnded).length;
  if (open !== stalledCount) throw new Error(`only ${open} of ${stalledCount} handshakes were still stalled`);
  for (const socket of stalled) socket.destroy();
}

const ms = (value: number): string => `${value.toFixed(2)} ms`;
console.log(`handshakes of others, ${alone.length} each:`);
console.log(`  nobody stalled    median ${ms(median(alone))}, 95 % within ${ms(percentile(alone, 0.95))}`);
console.log(`  ${stalledCount} stalled      median ${ms(median(beside))}, 95 % within ${ms(percentile(beside, 0.95))}`);
const ratio = median(beside) / median(alone);
console.log(`ratio of the medians ${ratio.toFixed(2)} (goal: at most 2)`);
if (ratio > 2) process.exitCode = 1;
