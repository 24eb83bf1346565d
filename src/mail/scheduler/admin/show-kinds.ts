import type { Penalty } from "../../route/penalty.ts";
import type { Route } from "../../route/route.ts";
import { domainTerms, general, hostTerms, sourceTerms } from "../../route/terms.ts";
import type { RelayPlan } from "../plan.ts";
import { relayText } from "../relay-text.ts";
import { noneStanding, type Standing, type StandingCounts } from "./standing.ts";
import type { RelayQueue, SchedulerState } from "../state.ts";
import { suspensionKey, type SuspensionLevel } from "../suspension/suspension.ts";
import { suspensionOfRelay } from "../suspension/suspensions.ts";
import type { Tallies, Tally } from "./tallies.ts";

/** Where the rows of `show.ts` come from: one story for each kind of thing. A look changes nothing. */
/** What a row is made of, before anybody knows whether it is wanted: no more than that needs. */
export interface Thing<Of> {
  readonly name: string;
  /** Where several may have one name. */
  readonly id?: string;
  readonly of: Of;
  readonly connections: number;
  /** Where slow start stands, where there is such. */
  readonly allowed?: number;
  readonly penalty?: Penalty | undefined;
  /** Where no penalty of its own says so. */
  readonly restsUntilAt?: number;
  readonly isSuspended: boolean;
  readonly tally: Tally | undefined;
  readonly counts: Readonly<StandingCounts>;
}

export interface Kind<Of> {
  readonly things: (s: SchedulerState, tallies: Tallies, standing: Standing) => Iterable<Thing<Of>>;
  /** Asked for rows that are shown, and for no others. */
  readonly limit: (s: SchedulerState, of: Of) => number;
  readonly note: (of: Of) => string | undefined;
}

const nothing = (): undefined => undefined;

const routes: Kind<Route> = {
  *things(s, tallies) {
    for (const route of s.routes.values()) {
      const name = `${route.source ?? "*"} > ${route.text}`;
      yield {
        name,
        of: route,
        connections: route.connections.used,
        allowed: route.connections.limit,
        isSuspended: isSuspended(s, "route", name) || isHostSuspended(s, route),
        penalty: route.penalty,
        tally: tallies.routes.get(route.key),
        counts: noneStanding,
      };
    }
  },
  limit: (s, { name, address }) => hostTerms(s.settings.route, name, ipOf(address)).route.value,
  note: nothing,
};

const relays: Kind<RelayQueue | undefined> = {
  *things(s, tallies, standing) {
    const resting = restingHosts(s);
    for (const relay of s.relays.values()) {
      yield {
        name: relayText(relay),
        id: relay.key,
        of: relay,
        connections: relay.sessions.size,
        allowed: relay.connections.limit,
        isSuspended: suspensionOfRelay(s, relay) !== undefined,
        penalty: relay.penalty.restsUntilAt > s.now ? relay.penalty : (restOf(relay, resting) ?? relay.penalty),
        restsUntilAt: relay.greylist?.phase === "resting" ? relay.greylist.restsUntilAt : 0,
        tally: tallies.relays.get(relay.key),
        counts: standing.relays.get(relay.key)?.counts ?? noneStanding,
      };
    }
    // Nothing is ready there, so the scheduler has no books of it; but something waits.
    for (const [key, { plan, domain, counts }] of standing.relays) {
      if (s.relays.has(key)) continue;
      const name = relayName(plan, domain);
      yield {
        name,
        id: key,
        of: undefined,
        connections: 0,
        allowed: 1,
        isSuspended: isSuspended(s, "relay", name),
        tally: tallies.relays.get(key),
        counts,
      };
    }
  },
  limit: (s) => general(s.settings.route, "relay").value,
  note(relay) {
    if (relay === undefined) return undefined;
    const { greylist, lines, isResolving } = relay;
    const notes = [
      ...(isResolving ? ["its next hosts are being looked up"] : []),
      ...(lines.size > 1 ? [`${lines.size} domains`] : []),
      ...(greylist === undefined || greylist.phase === "watching" ? [] : [`greylists: ${greylist.phase}`]),
    ];
    return notes.length === 0 ? undefined : notes.join("; ");
  },
};

/** Next hosts by address that rest from wherever we come: until the first of these rests ends, with the worst penalty. */
function restingHosts(s: SchedulerState): ReadonlyMap<string, Penalty> {
  const resting = new Map<string, Penalty>();
  const awake = new Set<string>();
  for (const { address, penalty } of s.routes.values()) {
    if (penalty.restsUntilAt <= s.now) awake.add(address);
    else resting.set(address, together(resting.get(address), penalty));
  }
  for (const address of awake) resting.delete(address);
  return resting;
}

/** A relay rests when every one of its next hosts does. */
function restOf({ candidates }: RelayQueue, resting: ReadonlyMap<string, Penalty>): Penalty | undefined {
  if (resting.size === 0) return undefined;
  let rest: Penalty | undefined;
  for (const { address } of candidates) {
    const host = resting.get(address);
    if (host === undefined) return undefined;
    rest = together(rest, host);
  }
  return rest;
}

function together(one: Penalty | undefined, other: Penalty): Penalty {
  if (one === undefined) return other;
  const worse = one.count > other.count ? one : other;
  return { ...worse, restsUntilAt: Math.min(one.restsUntilAt, other.restsUntilAt) };
}

interface Host {
  readonly route: Route;
  until: number;
  penalty: Penalty;
  used: number;
}

const hosts: Kind<Host> = {
  *things(s, tallies) {
    const known = new Map<string, Host>();
    for (const route of s.routes.values()) {
      const { address, penalty, connections } = route;
      const host = known.get(address);
      if (host === undefined)
        known.set(address, { route, until: penalty.restsUntilAt, penalty, used: connections.used });
      else {
        // From one source it may rest and from another not: it rests when every one does.
        host.until = Math.min(host.until, penalty.restsUntilAt);
        host.used += connections.used;
        if (penalty.count > host.penalty.count) host.penalty = penalty;
      }
    }
    for (const [address, host] of known) {
      yield {
        name: host.route.text,
        of: host,
        connections: host.used,
        isSuspended: isHostSuspended(s, host.route),
        penalty: { ...host.penalty, restsUntilAt: host.until },
        tally: tallies.hosts.get(address),
        counts: noneStanding,
      };
    }
  },
  limit: (s, { route: { name, address } }) => hostTerms(s.settings.route, name, ipOf(address)).host.value,
  note: nothing,
};

const sources: Kind<{ readonly source: string; used: number; resting: number }> = {
  *things(s, tallies) {
    const known = new Map<string, { readonly source: string; used: number; resting: number }>();
    for (const { source = "*", connections, penalty } of s.routes.values()) {
      let of = known.get(source);
      if (of === undefined) known.set(source, (of = { source, used: 0, resting: 0 }));
      of.used += connections.used;
      if (penalty.restsUntilAt > s.now) of.resting++;
    }
    for (const [source, of] of known) {
      yield {
        name: source,
        of,
        connections: of.used,
        isSuspended: false,
        penalty: s.sourceRests.get(source),
        tally: tallies.sources.get(source),
        counts: noneStanding,
      };
    }
  },
  limit: (s, { source }) => sourceTerms(s.settings.route, [], source === "*" ? undefined : source).connections.value,
  note: ({ resting }) => (resting > 0 ? `${resting} of its routes rest` : undefined),
};

const domains: Kind<string> = {
  *things(s, tallies, standing) {
    const thing = (domain: string, counts: Readonly<StandingCounts>): Thing<string> => ({
      name: domain,
      of: domain,
      connections: s.domains.get(domain)?.used ?? 0,
      isSuspended: isSuspended(s, "domain", domain),
      tally: tallies.domains.get(domain),
      counts,
    });
    for (const [domain, counts] of standing.domains) yield thing(domain, counts);
    for (const domain of s.domains.keys()) if (!standing.domains.has(domain)) yield thing(domain, noneStanding);
  },
  limit: (s, domain) => domainTerms(s.settings.route, domain).domain.value,
  note: nothing,
};

/** What can be shown, by its name. */
export const KINDS = { routes, relays, hosts, sources, domains } as const;

function isSuspended(s: SchedulerState, level: SuspensionLevel, ...names: readonly string[]): boolean {
  const known = s.suspensions[level];
  return known.size > 0 && names.some((name) => known.has(suspensionKey(level, name)));
}

function isHostSuspended(s: SchedulerState, { name, address, text }: Route): boolean {
  return s.suspensions.host.size > 0 && isSuspended(s, "host", name, address, ipOf(address) ?? address, text);
}

/** Of `ip:port` or `[ip]:port`; a socket's path has none. */
function ipOf(address: string): string | undefined {
  return /^(?:\[([^\]]+)\]|([^/[\]]+)):\d+$/
    .exec(address)
    ?.slice(1)
    .find((part) => part !== undefined);
}

/** As people know it: the domain, where that decides by itself; else what it goes to. */
function relayName(plan: RelayPlan, domain: string | undefined): string {
  const [way] = plan.ways;
  if (domain !== undefined && plan.ways.length === 1 && way?.relay.backupAs === undefined) return domain;
  const ways = plan.ways.map(({ text }) => text).join(", ");
  return domain === undefined ? ways : `${domain} by ${ways}`;
}
