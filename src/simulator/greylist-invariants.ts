import { BrokenInvariant } from "../foundation/assert.ts";
import { MOST_FIRST, mayHandOut } from "../mail/route/greylist.ts";
import type { DomainLine, RelayQueue, SchedulerState } from "../mail/scheduler/state.ts";

const DAY_MS = 86_400_000;
const MOST_SENDERS = 1000;

/** What a relay has learnt of greylisting is bounded, its rests have an end, and nobody is served while it rests. */
export function assertGreylist(s: SchedulerState, relay: RelayQueue): void {
  if ((relay.refusedSenders?.size ?? 0) > MOST_SENDERS) broken(`${relay.key} remembers too many refused senders`);
  for (const line of relay.lines.values()) assertFront(line);
  const of = relay.greylist;
  if (of === undefined) return;
  if (of.first.length > MOST_FIRST) broken(`${relay.key} remembers too many who were refused first`);
  if (of.run.length > s.settings.route.greylisting.after) broken(`${relay.key} remembers too long a run`);
  if (new Set(of.run).size < of.run.length) broken(`${relay.key} counts a recipient twice in a run`);
  if (of.probesLeft.refused < 0 || of.probesLeft.untried < 0) broken(`${relay.key} probes more than it may`);
  if (of.phase === "resting" && !(of.restsUntilAt <= s.now + DAY_MS + 3_600_000))
    broken(`${relay.key} rests without end`);
  if (mayHandOut(of) === "none" && of.restsUntilAt > s.now && relay.idle.length > 0)
    broken(`${relay.key} keeps a connection while it rests`);
}

function assertFront(line: DomainLine): void {
  if (line.front === undefined) return;
  for (let batch = line.batches.first; batch !== undefined; batch = batch.next) if (batch === line.front) return;
  broken(`the front of ${line.domain} is not in its line`);
}

function broken(text: string): never {
  throw new BrokenInvariant(text);
}
