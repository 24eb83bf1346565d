import type { ProcessSample, Probe, Sample } from "./watch.ts";

/**
 * Whether a server under a steady load stays as it is. The run has a warm-up, then two equal parts under load, with a rest before, between and after them, in which all garbage is collected:
 *
 * - memory: the median of what all processes take together (PSS of what backs no file: code is shared with whatever else runs it) in the last part is at most 5 % above that of the part before;
 * - the same at rest: what all processes take then, behind the collection, is at most 5 % above that of the rest before;
 * - live heap: what lives in the heaps of a process, of all its threads, after a collection, in the last rest, is at most 5 %, or 1 MiB, above that of
 *   the rest before: nothing is under way there, so what is more is kept;
 * - descriptors, sockets and pipes of a process: in the last rest at most two more than in the rest before, for a connection that
 *   is kept for the next question may come or go.
 *
 * Then settings are read again some times: processes that are not replaced by that may not keep anything of it, and there must be
 * as many as before.
 */
const MOST_GROWTH = 1.05;
const MOST_LIVE_BYTES = 1024 * 1024;
const MOST_MORE_HANDLES = 2;

/** What is known of each process when nothing goes on. */
export interface Rest {
  readonly processes: readonly (ProcessSample & {
    readonly liveBytes: number;
    /** What V8 holds for the heaps of all its threads. */
    readonly pageBytes: number;
    readonly handles: number;
  })[];
}

export interface Judged {
  readonly middle: readonly Sample[];
  readonly last: readonly Sample[];
  readonly before: Rest;
  /** Between the two parts: only told. */
  readonly between: Rest;
  readonly after: Rest;
}

export function judge({ middle, last, before, after }: Judged): readonly string[] {
  const problems: string[] = [];
  const [was, is] = [median(middle.map(totalOwn)), median(last.map(totalOwn))];
  if (is > was * MOST_GROWTH)
    problems.push(`memory grew from ${mib(was)} to ${mib(is)} MiB (PSS of what backs no file, medians)`);
  const [restWas, restIs] = [totalOwn(before), totalOwn(after)];
  if (restIs > restWas * MOST_GROWTH)
    problems.push(`memory at rest grew from ${mib(restWas)} to ${mib(restIs)} MiB (PSS of what backs no file)`);
  for (const now of after.processes) {
    const then = before.processes.find(({ name }) => name === now.name);
    if (then?.pid === now.pid) problems.push(...growthOf(then, now));
    else problems.push(`${now.name} is another process than before: it ended in between`);
  }
  for (const then of before.processes)
    if (!after.processes.some(({ name }) => name === then.name)) problems.push(`${then.name} is gone`);
  return problems;
}

/** Some reloads behind the last rest: processes are replaced, or stay as they are; there are as many as before. */
export function judgeReloads(before: Rest, after: Rest): readonly string[] {
  const problems = after.processes.flatMap((now) => {
    const then = before.processes.find(({ pid }) => pid === now.pid);
    return then === undefined ? [] : growthOf(then, now).map((problem) => `after reloads: ${problem}`);
  });
  if (after.processes.length !== before.processes.length)
    problems.push(`after reloads: ${before.processes.length} processes have become ${after.processes.length}`);
  return problems;
}

function growthOf(then: Rest["processes"][number], now: Rest["processes"][number]): readonly string[] {
  if (!Number.isFinite(then.liveBytes + now.liveBytes)) return [`${now.name} did not tell its heap`];
  const problems: string[] = [];
  if (now.liveBytes > Math.max(then.liveBytes * MOST_GROWTH, then.liveBytes + MOST_LIVE_BYTES))
    problems.push(`the live heap of ${now.name} grew from ${mb(then.liveBytes)} to ${mb(now.liveBytes)} MB`);
  if (now.descriptors > then.descriptors + MOST_MORE_HANDLES)
    problems.push(`${now.name} had ${then.descriptors} descriptors and has ${now.descriptors}`);
  if (now.handles > then.handles + MOST_MORE_HANDLES)
    problems.push(`${now.name} had ${then.handles} sockets and pipes and has ${now.handles}`);
  return problems;
}

/** Of several looks at rest the smallest of each figure: something may have been on its way in one of them. */
export function restOf(samples: readonly Sample[], probes: readonly Probe[]): Rest {
  const last = samples.at(-1)?.processes ?? [];
  return {
    processes: last.map((process) => {
      const own = probes.filter(({ pid }) => pid === process.pid);
      return {
        ...process,
        descriptors: Math.min(
          ...samples.flatMap(({ processes }) =>
            processes.filter(({ pid }) => pid === process.pid).map(({ descriptors }) => descriptors),
          ),
        ),
        liveBytes: sumOfLeast(own, ({ liveBytes }) => liveBytes),
        pageBytes: sumOfLeast(own, ({ pageBytes }) => pageBytes),
        handles: Math.min(...own.filter(({ thread }) => thread === 0).map(({ handles }) => countOf(handles))),
      };
    }),
  };
}

/** Of each thread its smallest. Infinite where the main thread did not answer. */
function sumOfLeast(probes: readonly Probe[], bytesOf: (probe: Probe) => number): number {
  const least = new Map([[0, Infinity]]);
  for (const probe of probes) least.set(probe.thread, Math.min(least.get(probe.thread) ?? Infinity, bytesOf(probe)));
  return [...least.values()].reduce((sum, bytes) => sum + bytes, 0);
}

export function totalOwn({ processes }: Pick<Sample, "processes">): number {
  return processes.reduce((sum, { ownKiB }) => sum + ownKiB, 0);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[sorted.length >> 1] ?? 0;
}

/** Timers and other short-lived kinds are left out. */
function countOf(handles: Probe["handles"]): number {
  return Object.entries(handles).reduce((sum, [kind, count]) => sum + (kind.endsWith("Wrap") ? count : 0), 0);
}

function mib(kib: number): string {
  return (kib / 1024).toFixed(1);
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}
