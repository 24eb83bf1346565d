import { failureText } from "../../envelope/failure-text.ts";
import type { QueueRow } from "../../queue/store.ts";
import type { Hindrance, LiveState, WhyGroup } from "./admin.ts";
import { earliestOf } from "./hindrances.ts";

/** An envelope as the store has it, and what the scheduler says holds it up; nothing where it does not know it. */
export interface Held {
  readonly row: QueueRow;
  readonly live: LiveState | undefined;
  readonly hindrances: readonly Hindrance[] | undefined;
}

const MOST_NAMED = 20;

/**
 * A message to five hundred is read at three in the morning: envelopes that the same holds up become one group, with the
 * first and the last instant at which one of them can go on.
 */
export function groupAlike(envelopes: readonly Held[], now: number): readonly WhyGroup[] {
  const groups = new Map<string, Group>();
  for (const { row, live, hindrances = UNKNOWN } of envelopes) {
    const lastFailure = row.lastFailure === undefined ? undefined : failureText(row.lastFailure);
    const state = live ?? undefined;
    // Each has its own instants; what is said of them is the same.
    const alike = JSON.stringify([hindrances.map(({ what, text }) => [what, text]), state, row.attempts, lastFailure]);
    const earliestAt = earliestOf(hindrances, now);
    const group = groups.get(alike);
    if (group === undefined) {
      groups.set(alike, {
        hindrances,
        count: 1,
        envelopes: [{ id: row.envelope, recipient: row.recipient }],
        state,
        attempts: row.attempts,
        expiresAt: row.expiresAt,
        lastFailure,
        earliestAt,
        latestAt: earliestAt,
      });
      continue;
    }
    group.count++;
    if (group.envelopes.length < MOST_NAMED) group.envelopes.push({ id: row.envelope, recipient: row.recipient });
    group.expiresAt = Math.min(group.expiresAt, row.expiresAt);
    if (earliestAt === undefined || group.earliestAt === undefined) continue;
    if (earliestAt < group.earliestAt) {
      group.earliestAt = earliestAt;
      group.hindrances = hindrances;
    }
    group.latestAt = Math.max(group.latestAt ?? 0, earliestAt);
  }
  return [...groups.values()].toSorted((one, other) => other.count - one.count);
}

type Group = { -readonly [Name in keyof WhyGroup]: WhyGroup[Name] } & {
  envelopes: { readonly id: string; readonly recipient: string }[];
};

const UNKNOWN: readonly Hindrance[] = [
  { what: "queue", text: "the scheduler does not know it yet: the queue is being loaded, or it is just leaving" },
];
