import { isLoss } from "../../service/tls/told-text.ts";
import type { CloseCount } from "./tls-journal.ts";

/** How the connections of one peer (or of all) in one direction ended. */
export interface CloseSummary {
  readonly direction: "in" | "out";
  readonly peer: string;
  readonly address: string;
  readonly total: number;
  /** With the peer's close_notify. */
  readonly clean: number;
  readonly unclean: number;
  /** Nobody could see how. */
  readonly unknown: number;
  /** Inside content, so that what was being sent is void: by whichever end, a proper one too. */
  readonly losses: number;
  /** Unclean ones by how: `truncated`, `reset`. */
  readonly how: Readonly<Record<string, number>>;
  readonly lastAt: number;
}

/** By peer (a host with its port) and direction, those with most unclean ends first, and all of a direction together. */
export function summarizeCloses(counts: readonly CloseCount[]): {
  readonly peers: readonly CloseSummary[];
  readonly all: readonly CloseSummary[];
} {
  const group = (keyOf: (count: CloseCount) => string): readonly CloseSummary[] =>
    [...Map.groupBy(counts, keyOf).values()].map(summaryOf);
  const peers = group(
    ({ direction, address, peer }) => `${direction} ${direction === "out" || address === "" ? peer : address}`,
  );
  return {
    peers: peers.toSorted((one, other) => other.unclean - one.unclean || other.total - one.total),
    all: group(({ direction }) => direction).toSorted((one, other) => one.direction.localeCompare(other.direction)),
  };
}

function summaryOf(counts: readonly CloseCount[]): CloseSummary {
  const sum = (of: (count: CloseCount) => boolean): number =>
    counts.filter(of).reduce((total, { count }) => total + count, 0);
  const isUnseen = ({ ending }: CloseCount): boolean => ending === "unknown" || ending === "open";
  const isClean = ({ ending }: CloseCount): boolean => ending === "close_notify";
  const isUnclean = (count: CloseCount): boolean => !isUnseen(count) && !isClean(count);
  const how: Record<string, number> = {};
  for (const count of counts) if (isUnclean(count)) how[count.ending] = (how[count.ending] ?? 0) + count.count;
  const newest = counts.reduce((last, count) => (count.lastAt > last.lastAt ? count : last));
  return {
    direction: newest.direction,
    peer: newest.peer,
    address: newest.address,
    total: sum(() => true),
    clean: sum(isClean),
    unclean: sum(isUnclean),
    unknown: sum(isUnseen),
    losses: sum(({ ending, moment }) => isLoss({ peer: ending, we: "open" }, moment)),
    how,
    lastAt: newest.lastAt,
  };
}
