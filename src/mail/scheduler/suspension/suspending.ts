import { awakenShelf } from "../awaken.ts";
import type { LiftAsked, SuspendAsked } from "../loading.ts";
import { lookAtAllRelays } from "../serve/ready-queues.ts";
import { leave } from "../serve/serve.ts";
import { mayNotGoOn } from "../serve/sessions.ts";
import type { SchedulerState } from "../state.ts";
import {
  noteKeyOf,
  NO_SUCH_SUSPENSION,
  type Suspension,
  type SuspensionFacts,
  type SuspensionLevel,
} from "./suspension.ts";
import { endSuspension, suspend } from "./suspensions.ts";
import { setWake } from "../wake-heap.ts";

/**
 * What operators suspend and lift, and what ends by its time, with the notes that make it durable. While the queue is being
 * read nothing is lifted: mail that is not read yet would never have been under it (`loading.ts`).
 */
export function onSuspend(s: SchedulerState, command: number, facts: SuspensionFacts): void {
  suspend(s, facts, true);
  // Sessions to what is suspended now end after what they carry; those that are idle, at once.
  for (const session of s.sessions.values()) if (session.phase === "idle" && mayNotGoOn(s, session)) leave(s, session);
  const { loading } = s;
  noteSuspension(s, facts, loading === undefined ? command : undefined);
  if (loading === undefined) return;
  loading.suspends.push({ command, level: facts.level, key: facts.key });
  // It is in force again before it was lifted.
  for (const lift of loading.lifts)
    if (isOf(lift, facts)) s.out.push({ do: "answer", command: lift.command, envelopes: 0 });
  loading.lifts = loading.lifts.filter((lift) => !isOf(lift, facts));
}

export function onUnsuspend(s: SchedulerState, asked: LiftAsked): void {
  const { command, level, key, by } = asked;
  const suspension = s.suspensions[level].get(key);
  if (suspension !== undefined && s.loading !== undefined) {
    suspend(s, { ...suspension.facts, untilAt: Math.min(s.now, suspension.facts.untilAt ?? Infinity) }, false);
    noteSuspension(s, asked);
    s.loading.lifts.push(asked);
    return;
  }
  const held = lift(s, asked, by, command);
  if (held === undefined) s.out.push({ do: "answer", command, envelopes: NO_SUCH_SUSPENSION });
}

/** The queue has been read: who has set or lifted something meanwhile is told what it holds, or held. */
export function suspendedWhileLoading(
  s: SchedulerState,
  suspends: readonly SuspendAsked[],
  lifts: readonly LiftAsked[],
): void {
  for (const asked of suspends) noteSuspension(s, asked, asked.command);
  for (const asked of lifts) onUnsuspend(s, asked);
}

/**
 * So long after a start mail that is due has had its way looked for, and has met what is suspended on it: earlier nobody knows
 * what a host or a route held that was over meanwhile, and whose time does not count therefore.
 */
const MEETING_MS = 60_000;
const BY_WAY: readonly SuspensionLevel[] = ["relay", "host", "route"];

export function keepUntilMet(s: SchedulerState): void {
  for (const level of BY_WAY)
    for (const suspension of s.suspensions[level].values()) {
      const { untilAt = Infinity } = suspension.facts;
      if (untilAt < s.now + MEETING_MS) setWake(s.suspensionWakes, suspension, s.now + MEETING_MS);
    }
}

/** Without a note where it is not in force any more. The command, if there is one, is done when that is durable. */
function noteSuspension(s: SchedulerState, what: Named, command?: number): void {
  const suspension = s.suspensions[what.level].get(what.key);
  const text = suspension && JSON.stringify(suspension.facts);
  s.out.push({ do: "note", key: noteKeyOf(what), text, command, envelopes: suspension?.tickets.size ?? 0 });
}

type Named = { readonly level: SuspensionLevel; readonly key: string };

function isOf(one: Named, other: Named): boolean {
  return one.level === other.level && one.key === other.key;
}

/**
 * It ends, and what it held is due. How much longer that may live is written for each first; until all of it is, the note
 * stays, with its end: after a crash the rest is held by it once more, and lifted as soon as all is read.
 */
export function lift(s: SchedulerState, what: Named, by: string | undefined, command?: number): Suspension | undefined {
  const suspension = endSuspension(s, what, by);
  if (suspension === undefined) return undefined;
  const { facts, tickets } = suspension;
  suspension.facts = { ...facts, untilAt: Math.min(s.now, facts.untilAt ?? Infinity) };
  const text = tickets.size === 0 ? undefined : JSON.stringify(suspension.facts);
  s.out.push({ do: "note", key: noteKeyOf(what), text, command, envelopes: tickets.size });
  awakenShelf(s, suspension);
  // What was suspended may be a way for mail that waits for another one's rest.
  lookAtAllRelays(s);
  return suspension;
}
