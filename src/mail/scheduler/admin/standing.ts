import { planFor } from "../plan.ts";
import type { RelayPlan } from "../plan.ts";
import { domainOf, relayKeyOf } from "../ready.ts";
import { homeOf } from "../serve/homes.ts";
import { liveStateOf, type SchedulerState } from "../state.ts";

/** How many envelopes there are for each relay and each recipient domain, by what they wait for. */
export interface Standing {
  readonly relays: Map<string, RelayStanding>;
  readonly domains: Map<string, StandingCounts>;
}

export interface StandingCounts {
  /** Due, or being tried. */
  ready: number;
  /** Until they are due. */
  waiting: number;
  held: number;
}

export interface RelayStanding {
  readonly plan: RelayPlan;
  readonly domain: string | undefined;
  readonly counts: StandingCounts;
}

/** Envelopes looked at in one go: some two milliseconds. */
const SLICE = 5000;

export const noneStanding: Readonly<StandingCounts> = { ready: 0, waiting: 0, held: 0 };

/**
 * Counts all envelopes, a slice at a time: whoever drives it lets other work go on between two slices, so that what it
 * counts is true within a moment, not at one instant.
 */
export function* countStanding(s: SchedulerState): Generator<undefined, Standing, void> {
  const standing: Standing = { relays: new Map(), domains: new Map() };
  let seen = 0;
  for (const ticket of s.tickets.values()) {
    if (++seen % SLICE === 0) yield;
    const live = liveStateOf(ticket);
    if (live === "dead") continue;
    const kind = live === "held" ? "held" : live === "waiting" ? "waiting" : "ready";
    const domain = domainOf(ticket.recipient);
    let counts = standing.domains.get(domain);
    if (counts === undefined) standing.domains.set(domain, (counts = { ...noneStanding }));
    counts[kind]++;
    const plan = planFor(s.settings.plans, ticket.action);
    if (plan?.kind === "relay") countsAt(s, standing, plan, ticket.recipient)[kind]++;
  }
  return standing;
}

/** At the relay that the domain shares with others, where that is known. */
function countsAt(s: SchedulerState, standing: Standing, plan: RelayPlan, recipient: string): StandingCounts {
  const { key: own, domain } = relayKeyOf(plan, recipient);
  const key = homeOf(s, own)?.key ?? own;
  let relay = standing.relays.get(key);
  if (relay === undefined) standing.relays.set(key, (relay = { plan, domain, counts: { ...noneStanding } }));
  return relay.counts;
}
