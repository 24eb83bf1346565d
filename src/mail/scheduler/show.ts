import { forgive } from "../route/penalty.ts";
import type { Limited } from "../route/limited.ts";
import type { Penalty } from "../route/penalty.ts";
import { failureText } from "../envelope/failure-text.ts";
import { penaltyRules } from "./choose.ts";
import { noneStanding, type Standing, type StandingCounts } from "./standing.ts";
import type { RelayPlan } from "./plan.ts";
import type { RelayQueue, SchedulerState } from "./state.ts";
import type { Tallies, Tally } from "./tallies.ts";

/**
 * What the scheduler knows of the world outside, as rows for people: routes, relays, hosts, our source addresses and
 * recipient domains. A look changes nothing.
 *
 * Rows come in pages, what is in trouble first: a page is found by one pass over what there is, and between two pages
 * nothing is kept. So a list is true row by row, not as one instant, and a hundred thousand rows cost the server a page.
 */
export type Shown = (typeof SHOWN)[number];
export const SHOWN = ["routes", "relays", "hosts", "sources", "domains"] as const;

export type RowState = (typeof ROW_STATES)[number];
/** In the order of their letters in a row's flags: `N R Z Q H`. */
export const ROW_STATES = ["new", "running", "resting", "queued", "held"] as const;

export interface ShownRow {
  /** Unique among the rows of its kind; what commands take. */
  readonly name: string;
  readonly states: readonly RowState[];
  readonly connections: number;
  /** So many may be open just now: slow start. */
  readonly allowed: number;
  /** So many may be open at most, by the settings. */
  readonly limit: number;
  /** Sessions opened since the start. */
  readonly sessions: number;
  /** Sessions and searches that failed since the start. */
  readonly failures: number;
  /** Recipients refused since the start. */
  readonly refused: number;
  readonly penalty: number;
  readonly restsUntilAt?: number | undefined;
  readonly ready: number;
  readonly waiting: number;
  readonly held: number;
  readonly lastFailure?: string | undefined;
  readonly lastFailureAt?: number | undefined;
  readonly lastSuccessAt?: number | undefined;
  /** Something more in words: that a relay's hosts are being looked up, that it seems to greylist. */
  readonly note?: string | undefined;
}

export interface ShowFilter {
  readonly what: Shown;
  /** A part of the name, without regard to case. */
  readonly name?: string | undefined;
  readonly state?: RowState | undefined;
  readonly limit?: number | undefined;
}

/** Where a page ended. Whoever asks hands it back as it is. */
export interface ShowPlace {
  readonly rank: number;
  readonly size: number;
  readonly name: string;
  /** Tells two of one name apart. */
  readonly id: string;
}

export interface ShowPage {
  readonly rows: readonly ShownRow[];
  readonly next?: ShowPlace | undefined;
}

/** What a row is made of, before anybody knows whether it is wanted. */
interface Thing extends ShowPlace {
  readonly state: number;
  readonly make: () => ShownRow;
}

const PAGE = 500;

/** The next page behind `behind`. */
export function showPage(
  s: SchedulerState,
  tallies: Tallies,
  standing: Standing,
  filter: ShowFilter,
  behind?: ShowPlace,
): ShowPage {
  const most = Math.min(filter.limit ?? PAGE, PAGE);
  const wantedState = filter.state === undefined ? 0 : 1 << ROW_STATES.indexOf(filter.state);
  const name = filter.name?.toLowerCase();
  let found: Thing[] = [];
  let last: Thing | undefined;
  let isMore = false;
  for (const thing of THINGS[filter.what](s, tallies, standing)) {
    if ((thing.state & wantedState) !== wantedState) continue;
    if (behind !== undefined && inOrder(thing, behind) <= 0) continue;
    if (last !== undefined && inOrder(thing, last) >= 0) {
      isMore = true;
      continue;
    }
    if (name !== undefined && !thing.name.toLowerCase().includes(name)) continue;
    found.push(thing);
    if (found.length < 4 * most) continue;
    isMore = true;
    found = found.sort(inOrder).slice(0, most);
    last = found.at(-1);
  }
  found.sort(inOrder);
  isMore ||= found.length > most;
  found = found.slice(0, most);
  const end = found.at(-1);
  return {
    rows: found.map((thing) => thing.make()),
    ...(isMore && end !== undefined ? { next: { rank: end.rank, size: end.size, name: end.name, id: end.id } } : {}),
  };
}

/** Trouble first, then where most waits, then by name. */
function inOrder(one: ShowPlace, other: ShowPlace): number {
  if (one.rank !== other.rank) return one.rank - other.rank;
  if (one.size !== other.size) return other.size - one.size;
  if (one.name !== other.name) return one.name < other.name ? -1 : 1;
  return one.id < other.id ? -1 : one.id > other.id ? 1 : 0;
}

interface Facts {
  readonly name: string;
  /** Where several may have one name. */
  readonly id?: string;
  readonly connections: number;
  readonly allowed: number;
  readonly limit: number;
  readonly penalty?: Penalty | undefined;
  /** Where no penalty of its own says so. */
  readonly restsUntilAt?: number;
  readonly tally: Tally | undefined;
  readonly counts: Readonly<StandingCounts>;
  readonly note?: () => string | undefined;
}

function thing(s: SchedulerState, facts: Facts): Thing {
  const { tally, counts, penalty } = facts;
  const restsUntilAt = Math.max(facts.restsUntilAt ?? 0, penalty?.restsUntilAt ?? 0);
  const isResting = restsUntilAt > s.now;
  const is = [
    tally?.lastSuccessAt === undefined && tally?.lastFailureAt === undefined,
    facts.connections > 0,
    isResting,
    counts.ready + counts.waiting > 0,
    counts.held > 0,
  ];
  let state = 0;
  is.forEach((holds, at) => (state |= holds ? 1 << at : 0));
  return {
    rank: isResting ? 0 : (penalty?.count ?? 0) > 0 ? 1 : facts.connections > 0 ? 2 : 3,
    size: counts.ready + counts.waiting + counts.held,
    name: facts.name,
    id: facts.id ?? "",
    state,
    make: () => ({
      name: facts.name,
      states: ROW_STATES.filter((_, at) => is[at] === true),
      connections: facts.connections,
      allowed: facts.allowed,
      limit: facts.limit,
      sessions: tally?.sessions ?? 0,
      failures: tally?.failures ?? 0,
      refused: tally?.refused ?? 0,
      penalty: penalty === undefined ? 0 : forgiven(s, penalty),
      ...(isResting ? { restsUntilAt } : {}),
      ready: counts.ready,
      waiting: counts.waiting,
      held: counts.held,
      lastFailure: penalty?.lastFailure === undefined ? tally?.lastFailure : failureText(penalty.lastFailure),
      lastFailureAt: tally?.lastFailureAt,
      lastSuccessAt: tally?.lastSuccessAt,
      note: facts.note?.(),
    }),
  };
}

/** What quiet time has earned is reckoned on a copy. */
function forgiven(s: SchedulerState, penalty: Penalty): number {
  const copy = { ...penalty };
  forgive(copy, s.now, penaltyRules(s));
  return copy.count;
}

type Things = (s: SchedulerState, tallies: Tallies, standing: Standing) => Iterable<Thing>;

const THINGS: Readonly<Record<Shown, Things>> = {
  *routes(s, tallies) {
    for (const route of s.routes.values()) {
      const { used, limit } = route.connections;
      yield thing(s, {
        name: `${route.source ?? "*"} > ${route.text}`,
        connections: used,
        allowed: limit,
        limit: s.settings.route.limits.route,
        penalty: route.penalty,
        tally: tallies.routes.get(route.key),
        counts: noneStanding,
      });
    }
  },
  *relays(s, tallies, standing) {
    for (const relay of s.relays.values()) {
      yield thing(s, {
        name: relayName(relay.plan, relay.domain),
        id: relay.key,
        connections: relay.sessions.size,
        allowed: relay.connections.limit,
        limit: s.settings.route.limits.relay,
        penalty: relay.penalty,
        tally: tallies.relays.get(relay.key),
        counts: standing.relays.get(relay.key)?.counts ?? noneStanding,
        note: () => relayNote(relay),
      });
    }
    // Nothing is ready there, so the scheduler has no books of it; but something waits.
    for (const [key, { plan, domain, counts }] of standing.relays) {
      if (s.relays.has(key)) continue;
      yield thing(s, {
        name: relayName(plan, domain),
        id: key,
        connections: 0,
        allowed: 1,
        limit: s.settings.route.limits.relay,
        tally: tallies.relays.get(key),
        counts,
      });
    }
  },
  *hosts(s, tallies) {
    const rests = new Map<string, { until: number; text: string; penalty: Penalty }>();
    for (const { address, text, penalty } of s.routes.values()) {
      const before = rests.get(address);
      // From one source it may rest and from another not: it rests when every one does.
      if (before === undefined) rests.set(address, { until: penalty.restsUntilAt, text, penalty });
      else {
        const worse = penalty.count > before.penalty.count ? penalty : before.penalty;
        rests.set(address, { until: Math.min(before.until, penalty.restsUntilAt), text, penalty: worse });
      }
    }
    for (const [address, { until, text, penalty }] of rests) {
      yield thing(s, {
        ...limitFacts(s.hosts.get(address), s.settings.route.limits.host),
        name: text,
        penalty: { ...penalty, restsUntilAt: until },
        tally: tallies.hosts.get(address),
        counts: noneStanding,
      });
    }
  },
  *sources(s, tallies) {
    const resting = new Map<string, number>();
    for (const { source = "*", penalty } of s.routes.values())
      if (penalty.restsUntilAt > s.now) resting.set(source, (resting.get(source) ?? 0) + 1);
    for (const [source, limit] of s.sources) {
      yield thing(s, {
        ...limitFacts(limit, s.settings.route.limits.source),
        name: source,
        tally: tallies.sources.get(source),
        counts: noneStanding,
        note: () => (resting.has(source) ? `${resting.get(source) ?? 0} of its routes rest` : undefined),
      });
    }
  },
  *domains(s, tallies, standing) {
    for (const [domain, counts] of standing.domains) {
      yield thing(s, {
        ...limitFacts(s.domains.get(domain), s.settings.route.limits.domain),
        name: domain,
        tally: tallies.domains.get(domain),
        counts,
      });
    }
    for (const [domain, limit] of s.domains) {
      if (standing.domains.has(domain)) continue;
      yield thing(s, {
        ...limitFacts(limit, s.settings.route.limits.domain),
        name: domain,
        tally: tallies.domains.get(domain),
        counts: noneStanding,
      });
    }
  },
};

function limitFacts(limit: Limited | undefined, most: number): Pick<Facts, "connections" | "allowed" | "limit"> {
  return { connections: limit?.used ?? 0, allowed: limit?.limit ?? most, limit: most };
}

/** As people know it: the domain, where that decides by itself; else what it goes to. */
export function relayName(plan: RelayPlan, domain: string | undefined): string {
  const [way] = plan.ways;
  if (domain !== undefined && plan.ways.length === 1 && way?.relay.backupAs === undefined) return domain;
  const ways = plan.ways.map(({ text }) => text).join(", ");
  return domain === undefined ? ways : `${domain} by ${ways}`;
}

function relayNote(relay: RelayQueue): string | undefined {
  if (relay.isResolving) return "its next hosts are being looked up";
  return undefined;
}
