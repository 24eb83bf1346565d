import { readFileSync } from "node:fs";

/**
 * What a virtual machine's host took of its processors for others ("steal"). Nothing in the machine sees it but the
 * kernel's count: a server whose one thread holds up all the others loses more by it than one of many processes.
 */
export interface ProcessorTime {
  readonly all: number;
  readonly stolen: number;
}

/** Of the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; what guests had is in the first two. */
export function processorTimeOf(stat: string): ProcessorTime {
  const times = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? "").split(" ").slice(0, 8).map(Number);
  return { all: times.reduce((sum, time) => sum + time, 0), stolen: times[7] ?? 0 };
}

export function processorTime(): ProcessorTime {
  return processorTimeOf(readFileSync("/proc/stat", "latin1"));
}

/** Of all processors' time between the two, 0 to 1. */
export function stolenShare(before: ProcessorTime, after: ProcessorTime): number {
  const all = after.all - before.all;
  return all === 0 ? 0 : (after.stolen - before.stolen) / all;
}

/** What is tried once more, and then as often again, while the host takes too much; so often at most. */
const MOST_TRIES = 4;

/** The first sample during which no more than `most` was stolen, else the one with the least. */
export async function calmest<Taken extends { readonly stolen: number }>(
  most: number,
  take: () => Promise<Taken>,
): Promise<Taken> {
  let best = await take();
  for (let tries = 1; tries < MOST_TRIES && best.stolen > most; tries++) {
    const next = await take();
    if (next.stolen < best.stolen) best = next;
  }
  return best;
}
