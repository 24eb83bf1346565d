import type { TlsReason } from "../../service/tls/finding/finding.ts";
import type { ChangeRow, FailureRow } from "./tls-journal.ts";

/**
 * Failures of one kind together: the same reason, direction, place (listener or relay), certificate in use and client
 * software. A cluster says when it began, what changed on our side just then, and what its peers did next.
 */
export interface Cluster {
  readonly reason: TlsReason;
  readonly direction: "in" | "out";
  readonly place: string;
  /** SHA-256 of the certificate of ours that was shown or to be shown. */
  readonly certificate?: string | undefined;
  readonly ja4?: string | undefined;
  readonly fault: string;
  /** Of the newest failure. */
  readonly sentence: string;
  readonly cure: string;
  /** Within the time asked for. */
  readonly count: number;
  /** The peers with the most failures first. */
  readonly peers: readonly { readonly peer: string; readonly address: string; readonly count: number }[];
  readonly peerCount: number;
  /** When the present run of failures began; earlier runs ended in a long silence. */
  readonly beganAt: number;
  /** It may have begun earlier: the rows at hand do not reach further back. */
  readonly mayHaveBegunEarlier: boolean;
  readonly earlierRuns: number;
  readonly lastAt: number;
  /** What changed on our side within the minutes before it began. */
  readonly justThen: readonly ChangeRow[];
  readonly next: NextCounts;
  /** The newest ones first, for `posthorn tls show`. */
  readonly newest: readonly number[];
}

/** What the peers did within a minute of each failed handshake. */
export interface NextCounts {
  /** Came back with TLS that worked. */
  readonly tls: number;
  /** Of those (and of the plaintext ones), that brought mail. */
  readonly withMail: number;
  readonly plaintext: number;
  /** Of the plaintext ones without mail: how far they got. */
  readonly leftAfter: Readonly<Record<string, number>>;
  readonly failedAgain: number;
  readonly none: number;
}

/** Changes up to so long before the first failure may be its cause: a client comes back after some minutes. */
export const JUST_BEFORE_MS = 10 * 60_000;
/** The events of one instant are written in any order. */
const JUST_AFTER_MS = 2_000;
const SHORTEST_SILENCE_MS = 60 * 60_000;
const MOST_PEERS_SHOWN = 5;
const MOST_EXAMPLES = 3;

/**
 * Groups failures, those with the most first. `rows` ascend; those before `sinceAt` only tell when a cluster began.
 * `isCut`: there are older rows than these.
 */
export function clusterFailures(
  rows: readonly FailureRow[],
  changes: readonly ChangeRow[],
  sinceAt: number,
  isCut: boolean,
): readonly Cluster[] {
  const groups = Map.groupBy(rows, (row) =>
    JSON.stringify([row.finding.reason, row.direction, row.place, row.certificate, row.ja4]),
  );
  const clusters: Cluster[] = [];
  for (const group of groups.values()) {
    const cluster = clusterOf(group, changes, sinceAt, isCut ? rows[0]?.at : undefined);
    if (cluster !== undefined) clusters.push(cluster);
  }
  return clusters.sort((one, other) => other.count - one.count || other.lastAt - one.lastAt);
}

function clusterOf(
  rows: readonly FailureRow[],
  changes: readonly ChangeRow[],
  sinceAt: number,
  cutAt: number | undefined,
): Cluster | undefined {
  const newest = rows.at(-1);
  const inWindow = rows.filter((row) => row.at >= sinceAt);
  if (newest === undefined || inWindow.length === 0) return undefined;
  const runs = runsOf(rows);
  const beganAt = runs.at(-1)?.[0]?.at ?? newest.at;
  const peers = [...Map.groupBy(inWindow, (row) => (row.direction === "in" && row.address) || row.peer)]
    .map(([key, group]) => ({ peer: group.at(-1)?.peer ?? key, address: group[0]?.address ?? "", count: group.length }))
    .sort((one, other) => other.count - one.count);
  const { finding } = newest;
  return {
    reason: finding.reason,
    direction: newest.direction,
    place: newest.place,
    certificate: newest.certificate,
    ja4: newest.ja4,
    fault: finding.fault,
    sentence: finding.sentence,
    cure: finding.cure,
    count: inWindow.length,
    peers: peers.slice(0, MOST_PEERS_SHOWN),
    peerCount: peers.length,
    beganAt,
    mayHaveBegunEarlier: cutAt !== undefined && runs.length === 1 && beganAt - cutAt < SHORTEST_SILENCE_MS,
    earlierRuns: runs.length - 1,
    lastAt: newest.at,
    justThen: changes.filter(({ at }) => at >= beganAt - JUST_BEFORE_MS && at <= beganAt + JUST_AFTER_MS),
    next: nextOf(inWindow),
    newest: inWindow
      .slice(-MOST_EXAMPLES)
      .map(({ id }) => id)
      .toReversed(),
  };
}

/** Cut where it was silent for much longer than usual: an hour, or twenty times the usual wait between two. */
function runsOf(rows: readonly FailureRow[]): readonly (readonly FailureRow[])[] {
  const gaps = rows.slice(1).map((row, before) => row.at - (rows[before]?.at ?? row.at));
  // Two or three failures have no usual wait.
  const usual = gaps.length < 3 ? 0 : (gaps.toSorted((one, other) => one - other)[Math.floor(gaps.length / 2)] ?? 0);
  const silence = Math.max(SHORTEST_SILENCE_MS, 20 * usual);
  const runs: FailureRow[][] = [];
  for (const row of rows) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    if (run === undefined || last === undefined || row.at - last.at > silence) runs.push([row]);
    else run.push(row);
  }
  return runs;
}

function nextOf(rows: readonly FailureRow[]): NextCounts {
  const counts = { tls: 0, withMail: 0, plaintext: 0, failedAgain: 0, none: 0 };
  const leftAfter: Record<string, number> = {};
  for (const { next, wasUp } of rows) {
    // What a peer did after a connection that had worked is not followed.
    if (wasUp) continue;
    if (next === undefined) counts.none += 1;
    else if (next.how === "failed") counts.failedAgain += 1;
    else {
      counts[next.how] += 1;
      if (next.mails > 0) counts.withMail += 1;
      else if (next.how === "plaintext" && next.after !== undefined)
        leftAfter[next.after] = (leftAfter[next.after] ?? 0) + 1;
    }
  }
  return { ...counts, leftAfter };
}
