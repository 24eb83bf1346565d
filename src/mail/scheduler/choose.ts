import { hasRoom, limited, type Limited } from "../route/limited.ts";
import { forgive, type PenaltyRules } from "../route/penalty.ts";
import { newRoute, routeKey, sourcesFor, type Route } from "../route/route.ts";
import type { Candidate, RelayQueue, SchedulerState } from "./state.ts";

/**
 * Where a relay's next connection goes. Of the best rank that can be used: the host with the fewest connections. The
 * next rank is for when every host of the better one failed in this round or rests; when they are merely full we wait,
 * for a backup is not there to carry our load (RFC 5321 section 5.1).
 */
export type Choice =
  | {
      readonly kind: "use";
      readonly candidate: Candidate;
      readonly route: Route;
      readonly occupies: readonly Limited[];
    }
  /** All that could be used is full. */
  | { readonly kind: "full"; readonly limits: readonly Limited[] }
  /** Nothing is left in this round; what rests can be used again at `untilAt`. */
  | { readonly kind: "none"; readonly untilAt: number };

export function choose(s: SchedulerState, relay: RelayQueue): Choice {
  const full: Limited[] = [];
  let best: Extract<Choice, { kind: "use" }> | undefined;
  let leastConnections = Infinity;
  let untilAt = Infinity;
  let rank: number | undefined;
  for (const candidate of relay.candidates) {
    if (candidate.rank !== rank) {
      if (best !== undefined) return best;
      if (full.length > 0) return { kind: "full", limits: full };
      rank = candidate.rank;
    }
    if (relay.tried.has(candidate.address)) continue;
    for (const source of sourcesFor(candidate.host, relay.plan.sources)) {
      const route = routeTo(s, source, candidate);
      forgive(route.penalty, s.now, penaltyRules(s));
      if (route.penalty.restsUntilAt > s.now) {
        untilAt = Math.min(untilAt, route.penalty.restsUntilAt);
        continue;
      }
      const limits = [route.connections, hostLimit(s, candidate.address), sourceLimit(s, source)];
      const tooFull = limits.filter((limit) => !hasRoom(limit));
      if (tooFull.length > 0) full.push(...tooFull);
      else {
        const connections = hostLimit(s, candidate.address).used;
        if (connections >= leastConnections) continue;
        leastConnections = connections;
        best = { kind: "use", candidate, route, occupies: limits };
      }
    }
  }
  if (best !== undefined) return best;
  return full.length > 0 ? { kind: "full", limits: full } : { kind: "none", untilAt };
}

export function penaltyRules(s: SchedulerState): PenaltyRules {
  const { penaltyStep, longestRest, quietTime } = s.settings.route;
  return { stepMs: penaltyStep, longestRestMs: longestRest, quietMs: quietTime };
}

function routeTo(s: SchedulerState, source: string | undefined, candidate: Candidate): Route {
  const key = routeKey(source, candidate.host);
  let route = s.routes.get(key);
  if (route === undefined) {
    sweepRoutes(s);
    route = newRoute(key, source, candidate.host);
    s.routes.set(key, route);
  }
  return route;
}

/** Forgets routes about which there is nothing to remember, whenever there are twice as many as after the last time. */
function sweepRoutes(s: SchedulerState): void {
  if (s.routes.size < 2 * s.routesAfterSweep + 1000) return;
  for (const [key, route] of s.routes) {
    forgive(route.penalty, s.now, penaltyRules(s));
    const { connections, penalty } = route;
    if (connections.used === 0 && penalty.count === 0 && penalty.restsUntilAt <= s.now) s.routes.delete(key);
  }
  s.routesAfterSweep = s.routes.size;
}

function hostLimit(s: SchedulerState, address: string): Limited {
  return limitOf(s.hosts, address, s.settings.route.limits.host);
}

function sourceLimit(s: SchedulerState, source: string | undefined): Limited {
  return limitOf(s.sources, source ?? "*", s.settings.route.limits.source);
}

export function domainLimit(s: SchedulerState, domain: string): Limited {
  return limitOf(s.domains, domain, s.settings.route.limits.domain);
}

function limitOf(among: Map<string, Limited>, key: string, limit: number): Limited {
  let known = among.get(key);
  if (known === undefined) {
    forgetUnused(among);
    known = limited(limit);
    among.set(key, known);
  }
  known.limit = limit;
  return known;
}

const MANY = 10_000;

/** Limits that nobody uses carry no knowledge; they are dropped when they are many. */
function forgetUnused(among: Map<string, Limited>): void {
  if (among.size === 0 || among.size % MANY !== 0) return;
  for (const [key, { used, waiting, from }] of among) if (used === 0 && from >= waiting.length) among.delete(key);
}
