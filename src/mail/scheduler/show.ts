import { forgive } from "../route/penalty.ts";
import type { Penalty } from "../route/penalty.ts";
import type { Route } from "../route/route.ts";
import { domainTerms, general, hostTerms, sourceTerms } from "../route/terms.ts";
import { failureText } from "../envelope/failure-text.ts";
import { penaltyRules } from "./choose.ts";
import { relayText } from "./relay-text.ts";
import { noneStanding, type Standing, type StandingCounts } from "./standing.ts";
import type { RelayPlan } from "./plan.ts";
import type { RelayQueue, SchedulerState } from "./state.ts";
import { suspensionKey, type SuspensionLevel } from "./suspension.ts";
import { suspensionOfRelay } from "./suspensions.ts";
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
  /** The limit in force, and where slow start stands, where there is such; asked only for rows that are shown. */
  readonly limit: () => number;
  readonly allowed?: number | undefined;
  readonly isSuspended?: boolean;
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
    counts.held > 0 || facts.isSuspended === true,
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
      allowed: Math.min(facts.allowed ?? Infinity, facts.limit()),
      limit: facts.limit(),
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
      const name = `${route.source ?? "*"} > ${route.text}`;
      yield thing(s, {
        name,
        connections: route.connections.used,
        allowed: route.connections.limit,
        limit: () => hostTerms(s.settings.route, route.name, ipOf(route.address)).route.value,
        isSuspended: isSuspended(s, "route", [name]) || isHostSuspended(s, route),
        penalty: route.penalty,
        tally: tallies.routes.get(route.key),
        counts: noneStanding,
      });
    }
  },
  *relays(s, tallies, standing) {
    const limit = (): number => general(s.settings.route, "relay").value;
    for (const relay of s.relays.values()) {
      const { greylist } = relay;
      yield thing(s, {
        name: relayText(relay),
        id: relay.key,
        connections: relay.sessions.size,
        allowed: relay.connections.limit,
        limit,
        isSuspended: suspensionOfRelay(s, relay) !== undefined,
        penalty: relay.penalty,
        ...(greylist?.phase === "resting" ? { restsUntilAt: greylist.restsUntilAt } : {}),
        tally: tallies.relays.get(relay.key),
        counts: standing.relays.get(relay.key)?.counts ?? noneStanding,
        note: () => relayNote(relay),
      });
    }
    // Nothing is ready there, so the scheduler has no books of it; but something waits.
    for (const [key, { plan, domain, counts }] of standing.relays) {
      if (s.relays.has(key)) continue;
      const name = relayName(plan, domain);
      yield thing(s, {
        name,
        id: key,
        connections: 0,
        allowed: 1,
        limit,
        isSuspended: isSuspended(s, "relay", [name]),
        tally: tallies.relays.get(key),
        counts,
      });
    }
  },
  *hosts(s, tallies) {
    interface Host {
      readonly route: Route;
      until: number;
      penalty: Penalty;
      used: number;
    }
    const hosts = new Map<string, Host>();
    for (const route of s.routes.values()) {
      const { address, penalty, connections } = route;
      const host = hosts.get(address);
      if (host === undefined)
        hosts.set(address, { route, until: penalty.restsUntilAt, penalty, used: connections.used });
      else {
        // From one source it may rest and from another not: it rests when every one does.
        host.until = Math.min(host.until, penalty.restsUntilAt);
        host.used += connections.used;
        if (penalty.count > host.penalty.count) host.penalty = penalty;
      }
    }
    for (const [address, { route, until, penalty, used }] of hosts) {
      yield thing(s, {
        name: route.text,
        connections: used,
        limit: () => hostTerms(s.settings.route, route.name, ipOf(address)).host.value,
        isSuspended: isHostSuspended(s, route),
        penalty: { ...penalty, restsUntilAt: until },
        tally: tallies.hosts.get(address),
        counts: noneStanding,
      });
    }
  },
  *sources(s, tallies) {
    const sources = new Map<string, { used: number; resting: number }>();
    for (const { source = "*", connections, penalty } of s.routes.values()) {
      let known = sources.get(source);
      if (known === undefined) sources.set(source, (known = { used: 0, resting: 0 }));
      known.used += connections.used;
      if (penalty.restsUntilAt > s.now) known.resting++;
    }
    for (const [source, { used, resting }] of sources) {
      yield thing(s, {
        name: source,
        connections: used,
        limit: () => sourceTerms(s.settings.route, [], source === "*" ? undefined : source).connections.value,
        penalty: s.sourceRests.get(source),
        tally: tallies.sources.get(source),
        counts: noneStanding,
        note: () => (resting > 0 ? `${resting} of its routes rest` : undefined),
      });
    }
  },
  *domains(s, tallies, standing) {
    const row = (domain: string, counts: Readonly<StandingCounts>): Thing =>
      thing(s, {
        name: domain,
        connections: s.domains.get(domain)?.used ?? 0,
        limit: () => domainTerms(s.settings.route, domain).domain.value,
        isSuspended: isSuspended(s, "domain", [domain]),
        tally: tallies.domains.get(domain),
        counts,
      });
    for (const [domain, counts] of standing.domains) yield row(domain, counts);
    for (const domain of s.domains.keys()) if (!standing.domains.has(domain)) yield row(domain, noneStanding);
  },
};

function isSuspended(s: SchedulerState, level: SuspensionLevel, names: readonly string[]): boolean {
  const known = s.suspensions[level];
  return known.size > 0 && names.some((name) => known.has(suspensionKey(level, name)));
}

function isHostSuspended(s: SchedulerState, { name, address, text }: Route): boolean {
  return isSuspended(s, "host", [name, address, ipOf(address) ?? address, text]);
}

/** Of `ip:port` or `[ip]:port`; a socket's path has none. */
function ipOf(address: string): string | undefined {
  return /^(?:\[([^\]]+)\]|([^/[\]]+)):\d+$/
    .exec(address)
    ?.slice(1)
    .find((part) => part !== undefined);
}

/** As people know it: the domain, where that decides by itself; else what it goes to. */
export function relayName(plan: RelayPlan, domain: string | undefined): string {
  const [way] = plan.ways;
  if (domain !== undefined && plan.ways.length === 1 && way?.relay.backupAs === undefined) return domain;
  const ways = plan.ways.map(({ text }) => text).join(", ");
  return domain === undefined ? ways : `${domain} by ${ways}`;
}

function relayNote(relay: RelayQueue): string | undefined {
  const { greylist, lines } = relay;
  const notes = [
    ...(relay.isResolving ? ["its next hosts are being looked up"] : []),
    ...(lines.size > 1 ? [`${lines.size} domains`] : []),
    ...(greylist === undefined || greylist.phase === "watching" ? [] : [`greylists: ${greylist.phase}`]),
  ];
  return notes.length === 0 ? undefined : notes.join("; ");
}
