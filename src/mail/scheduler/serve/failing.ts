import { moveLine } from "./lines.ts";
import { firstRanked } from "./priorities.ts";
import {
  newRelayQueue,
  type DomainLine,
  type RelayQueue,
  type SchedulerState,
  type Task,
  type Ticket,
} from "../state.ts";

/**
 * What is ready at a relay fails together when all its hosts have, be it three hundred thousand envelopes. Their lines are
 * moved to a relay that is in no book and serves nobody, in one go, and the envelopes are taken out of there some at a
 * time, as the store takes their outcomes (`writing.ts`). Until then they count as ready, and whatever else happens to
 * them (an operator's command, a deadline) takes them out of it as out of any other.
 */
export interface Failing {
  readonly relay: RelayQueue;
  readonly fate: Fate;
}

/** What becomes of each of them. */
type Fate = Together<Extract<Task, { do: "fail" | "put-off" }>>;
type Together<Each> = Each extends Task ? Omit<Each, "ticket"> : never;

export function failTogether(s: SchedulerState, from: RelayQueue, lines: Iterable<DomainLine>, fate: Fate): void {
  const relay = newRelayQueue(from.key, from.plan, from.domain);
  relay.candidates = from.candidates;
  relay.isRetired = true;
  for (const line of lines) moveLine(s, line, relay);
  if (relay.readyCount > 0) s.failing.push({ relay, fate });
}

/** The next envelope of those that fail, with what becomes of it. It stays until it is taken out. */
export function nextFailing(s: SchedulerState): { readonly ticket: Ticket; readonly fate: Fate } | undefined {
  for (let group = s.failing[0]; group !== undefined; group = s.failing[0]) {
    const [line] = group.relay.lines.values();
    const ticket = line && (line.batches.first ?? firstRanked(line))?.tickets.first;
    if (ticket !== undefined) return { ticket, fate: group.fate };
    s.failing.shift();
  }
  return undefined;
}
