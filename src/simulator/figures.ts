import { fates } from "./mails.ts";
import type { Run } from "./simulation.ts";
import type { HostCounts } from "./world/host.ts";

/** What became of a workload, or of all mail: times in milliseconds from a message's coming to the reply that took it. */
export interface MailFigures {
  readonly envelopes: number;
  readonly delivered: number;
  /** Refused for good by a host, or returned for another reason. */
  readonly returned: number;
  readonly expired: number;
  /** Left in the queue. */
  readonly waiting: number;
  /**
   * Percentiles over all that was not returned. What was not delivered in the end counts as later than everything
   * (Infinity), so that a strategy cannot win by leaving mail behind.
   */
  readonly p50: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly p100: number;
  /** RCPT commands for each mail delivered. */
  readonly attemptsPerDelivered: number;
  readonly mostAttempts: number;
  /** Of all its recipients. */
  readonly deliveredShare: number;
}

export interface Figures {
  readonly workloads: Readonly<Record<string, MailFigures>>;
  readonly all: MailFigures;
  readonly hosts: Readonly<Record<string, HostCounts>>;
  readonly run: {
    /** Virtual time that passed, in milliseconds. */
    readonly took: number;
    readonly events: number;
    readonly checks: number;
    readonly connections: number;
    readonly failedConnections: number;
    readonly transactions: number;
    readonly notices: number;
    /** The most that the scheduler had in its books at once. */
    readonly mostRelays: number;
    readonly mostRoutes: number;
    readonly mostSessions: number;
  };
}

export function figuresOf(run: Run): Figures {
  const { mails } = run;
  const byWorkload = mails.workloads.map(() => newColumn());
  const all = newColumn();
  for (let message = 0, envelope = 0; envelope < mails.arrived; message++) {
    const until = mails.firstEnvelopeOf(message + 1);
    const receivedAt = mails.receivedAt[message] ?? 0;
    const column = byWorkload[mails.workload[message] ?? 0];
    for (; envelope < until; envelope++) {
      for (const one of [all, column]) if (one !== undefined) count(one, run, envelope, receivedAt);
    }
  }
  return {
    workloads: Object.fromEntries(
      mails.workloads.map(({ name }, at) => [name, figures(byWorkload[at] ?? newColumn())]),
    ),
    all: figures(all),
    hosts: Object.fromEntries(run.world.counts),
    run: {
      took: run.endedAt - run.startedAt,
      events: run.events,
      checks: run.checks,
      connections: run.connections,
      failedConnections: run.failedConnections,
      transactions: run.transactions,
      notices: run.notices,
      mostRelays: run.most.relays,
      mostRoutes: run.most.routes,
      mostSessions: run.most.sessions,
    },
  };
}

interface Column {
  envelopes: number;
  delivered: number;
  returned: number;
  expired: number;
  waiting: number;
  presented: number;
  mostAttempts: number;
  readonly took: number[];
}

function newColumn(): Column {
  return { envelopes: 0, delivered: 0, returned: 0, expired: 0, waiting: 0, presented: 0, mostAttempts: 0, took: [] };
}

function count(column: Column, { mails }: Run, envelope: number, receivedAt: number): void {
  const presented = mails.presented[envelope] ?? 0;
  column.envelopes++;
  column.presented += presented;
  if (presented > column.mostAttempts) column.mostAttempts = presented;
  const fate = mails.fate[envelope];
  if (fate === fates.delivered) {
    column.delivered++;
    column.took.push((mails.endedAt[envelope] ?? 0) - receivedAt);
  } else if (fate === fates.expired) column.expired++;
  else if (fate === fates.gone) column.returned++;
  else column.waiting++;
}

function figures(column: Column): MailFigures {
  const took = Float64Array.from(column.took).sort();
  const counted = column.envelopes - column.returned;
  const percentile = (share: number): number => took[Math.max(0, Math.ceil(share * counted) - 1)] ?? Infinity;
  return {
    envelopes: column.envelopes,
    delivered: column.delivered,
    returned: column.returned,
    expired: column.expired,
    waiting: column.waiting,
    p50: percentile(0.5),
    p90: percentile(0.9),
    p95: percentile(0.95),
    p99: percentile(0.99),
    p100: percentile(1),
    attemptsPerDelivered: column.delivered === 0 ? Infinity : column.presented / column.delivered,
    mostAttempts: column.mostAttempts,
    deliveredShare: column.envelopes === 0 ? 1 : column.delivered / column.envelopes,
  };
}

/** How many of a workload (or of all) had been delivered at evenly spread instants, the last one being the end. */
export function deliveredOverTime(run: Run, workload: string | undefined, points: number): readonly number[] {
  const { mails, startedAt, endedAt } = run;
  const at = workload === undefined ? -1 : mails.workloads.findIndex(({ name }) => name === workload);
  const counts = Array.from({ length: points + 1 }, () => 0);
  const scale = points / Math.max(1, endedAt - startedAt);
  for (let message = 0, envelope = 0; envelope < mails.arrived; message++) {
    const until = mails.firstEnvelopeOf(message + 1);
    const isCounted = at < 0 || mails.workload[message] === at;
    for (; envelope < until; envelope++) {
      if (!isCounted || mails.fate[envelope] !== fates.delivered) continue;
      const point = Math.min(points, Math.ceil(((mails.endedAt[envelope] ?? 0) - startedAt) * scale));
      counts[point] = (counts[point] ?? 0) + 1;
    }
  }
  let total = 0;
  return counts.map((here) => (total += here));
}

/** A figure by its name: `list.p99`, `all.delivered`, `host.provider.mails`, `run.connections`. */
export function figureAt(figures: Figures, path: string): number | undefined {
  const [first = "", ...rest] = path.split(".");
  const from: unknown =
    first === "all"
      ? figures.all
      : first === "run"
        ? figures.run
        : first === "host"
          ? figures.hosts[rest.shift() ?? ""]
          : figures.workloads[first];
  const [name = ""] = rest;
  if (typeof from !== "object" || from === null || rest.length !== 1 || !Object.hasOwn(from, name)) return undefined;
  const value = (from as Record<string, unknown>)[name];
  return typeof value === "number" ? value : undefined;
}
