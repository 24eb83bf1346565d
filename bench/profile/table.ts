import { table, whole } from "./markdown.ts";
import type { PlaceOf } from "./places.ts";
import type { StackSample } from "./samples.ts";

/** What less than this goes to is put together, in microseconds a message. */
const LEAST_US = 2;

export interface ProfileTables {
  readonly samples: readonly StackSample[];
  readonly placeOf: PlaceOf;
  /** What a process is for: `ingress`. Those of one kind are one column. */
  readonly roleOf: (pid: number) => string;
  /** What a message takes of the processors where nobody looks on, in microseconds: all rows together. */
  readonly cpuUs: number;
}

/** Two tables in Markdown: by thread, and by what is done, each in microseconds a message. */
export function profileTables({ samples, placeOf, roleOf, cpuUs }: ProfileTables): string {
  if (samples.length === 0) throw new Error("the profiler saw nothing");
  const each = cpuUs / samples.length;
  const threads = new Map<string, { us: number; kernelUs: number }>();
  const places = new Map<string, Map<string, number>>();
  const roles = new Map<string, number>();
  for (const sample of samples) {
    const role = roleOf(sample.pid);
    const thread = `${role}: ${threadName(sample.thread)}`;
    const sum = threads.get(thread) ?? { us: 0, kernelUs: 0 };
    sum.us += each;
    if (sample.frames[0]?.isKernel === true) sum.kernelUs += each;
    threads.set(thread, sum);
    const row = places.get(placeOf(sample)) ?? new Map<string, number>();
    places.set(placeOf(sample), row.set(role, (row.get(role) ?? 0) + each));
    roles.set(role, (roles.get(role) ?? 0) + each);
  }
  const byUs = [...threads].toSorted(([, a], [, b]) => b.us - a.us).filter(([, { us }]) => us >= LEAST_US / 2);
  const columns = [...roles].toSorted(([, a], [, b]) => b - a).map(([role]) => role);
  const totals = [...places].map(([place, row]) => ({ place, row, us: [...row.values()].reduce((a, b) => a + b, 0) }));
  const shown = totals.filter(({ us }) => us >= LEAST_US).toSorted((a, b) => b.us - a.us);
  const rest = new Map(
    columns.map((role) => [
      role,
      totals.filter(({ us }) => us < LEAST_US).reduce((sum, { row }) => sum + (row.get(role) ?? 0), 0),
    ]),
  );
  const rows = [
    ...shown.map(({ place, row }) => [place, row] as const),
    ["what is below 2 each", rest] as const,
    ["**together**", roles] as const,
  ];
  return [
    table(
      ["thread", "µs", "of them the kernel's"],
      byUs.map(([name, { us, kernelUs }]) => [name, whole(us), whole(kernelUs)]),
    ),
    table(
      ["µs a message", ...(columns.length > 1 ? ["all"] : []), ...columns],
      rows.map(([name, row]) => {
        const all = [...row.values()].reduce((a, b) => a + b, 0);
        return [name, ...(columns.length > 1 ? [whole(all)] : []), ...columns.map((role) => whole(row.get(role) ?? 0))];
      }),
    ),
  ].join("\n\n");
}

/** Node calls the first thread by the process's name, cut at 15 characters, or `MainThread`. */
export function threadName(thread: string): string {
  return thread === "MainThread" || thread.startsWith("posthorn") ? "main thread" : thread;
}
