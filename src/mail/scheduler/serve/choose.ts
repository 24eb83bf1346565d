import type { Source } from "../../envelope/source.ts";
import { waitingFor, type Limited } from "../../route/limited.ts";
import { forgive, type PenaltyRules } from "../../route/penalty.ts";
import type { Bucket, Scarce } from "../../route/rate.ts";
import { newRoute, routeKey, type Route } from "../../route/route.ts";
import { chanceOf } from "../chance.ts";
import {
  bucketFor,
  domainClaims,
  hasRates,
  hostClaims,
  limitFor,
  plainLimit,
  plainPlaces,
  sourceClaims,
  sourcesTo,
} from "./claims.ts";
import type { RelayPlan } from "../plan.ts";
import type { Candidate, RelayQueue, SchedulerState } from "../state.ts";
import { type Suspension } from "../suspension/suspension.ts";
import { suspensionOfRoute } from "../suspension/suspensions.ts";

/**
 * Where a relay's next connection goes, and from which of our addresses. Of the best rank that can be used: the host with
 * the fewest connections, from one of the addresses that have room there, drawn by weight. The next rank is for when every
 * host of the better one failed in this round or rests; when they are merely full we wait, for a backup is not there to
 * carry our load (RFC 5321 section 5.1). A host that failed from one of our addresses is tried from another one when no
 * other host is left in this round.
 */
export type Choice =
  | ({
      readonly kind: "use";
      /** No address of ours rests there: this session is one of those that they share by weight. */
      readonly isShared: boolean;
    } & Connector)
  /** All that could be used is full, or has no token left; what rests can be used again at `untilAt`. */
  | { readonly kind: "full"; readonly scarce: readonly Scarce[]; readonly untilAt: number }
  /** Nothing is left in this round; what rests can be used again at `untilAt`. `suspension`: of what else there would be. */
  | { readonly kind: "none"; readonly untilAt: number; readonly suspension?: Suspension | undefined };

/** One of our addresses to one address of a next host, and what a session there takes of. */
export interface Connector {
  readonly candidate: Candidate;
  readonly route: Route;
  readonly source: Source | undefined;
  readonly occupies: readonly Limited[];
  /** A token of each for the connection. */
  readonly opens: readonly Bucket[];
  /** A token of each for each mail. */
  readonly pays: readonly Bucket[];
}

/** `isFree`: may this relay take of it now? */
export function choose(
  s: SchedulerState,
  relay: RelayQueue,
  domain: string,
  isFree: (scarce: Scarce) => boolean,
): Choice {
  const fresh = chooseAmong(s, relay, domain, isFree, false);
  if (fresh.kind !== "none" || relay.tried === undefined) return fresh;
  const again = chooseAmong(s, relay, domain, isFree, true);
  if (again.kind === "use") return again;
  const untilAt = Math.min(fresh.untilAt, again.untilAt);
  if (again.kind === "full") return { ...again, untilAt };
  return { kind: "none", untilAt, suspension: fresh.suspension ?? again.suspension };
}

/** `wasTried`: among the hosts that failed in this round from another address of ours, or among the others. */
function chooseAmong(
  s: SchedulerState,
  relay: RelayQueue,
  domain: string,
  isFree: (scarce: Scarce) => boolean,
  wasTried: boolean,
): Choice {
  const full: Scarce[] = [];
  let best: readonly Connector[] | undefined;
  let isShared = false;
  let leastConnections = Infinity;
  let untilAt = Infinity;
  let suspension: Suspension | undefined;
  let rank: number | undefined;
  for (const candidate of relay.candidates) {
    if (candidate.rank !== rank) {
      if (best !== undefined) break;
      if (full.length > 0) return { kind: "full", scarce: full, untilAt };
      rank = candidate.rank;
    }
    if (relay.tried?.has(candidate.address) === true) continue;
    const sources = sourcesTo(s, relay.plan, domain, candidate.host);
    const isOneTried = relay.tried !== undefined && sources.some((source) => wasTriedFrom(relay, source, candidate));
    if (wasTried !== isOneTried) continue;
    const usable: Connector[] = [];
    const awake: Connector[] = [];
    for (const source of sources) {
      if (wasTriedFrom(relay, source, candidate)) continue;
      const route = routeTo(s, source, candidate);
      const stopped = suspensionOfRoute(s, candidate, route);
      if (stopped !== undefined) {
        suspension ??= stopped;
        continue;
      }
      const restsUntilAt = Math.max(route.penalty.restsUntilAt, sourceRest(s, source));
      if (restsUntilAt > s.now) {
        untilAt = Math.min(untilAt, restsUntilAt);
        continue;
      }
      if (route.penalty.count > 0) forgive(route.penalty, s.now, penaltyRules(s));
      const connector = connectorOf(s, relay.plan, candidate, route, source);
      awake.push(connector);
      const missing = narrowest(connector, isFree);
      if (missing === undefined) usable.push(connector);
      else full.push(missing);
    }
    // The host's own limit stands first behind slow start's.
    const connections = usable[0]?.occupies[1]?.used ?? Infinity;
    if (connections >= leastConnections) continue;
    const mayGo = withinShare(usable, awake);
    if (mayGo.length === 0) continue;
    leastConnections = connections;
    best = mayGo;
    // While one rests the others carry its share, and owe it nothing when it is back.
    isShared = awake.length === sources.length;
  }
  if (best !== undefined) return { kind: "use", isShared, ...byWeight(s, best) };
  return full.length > 0 ? { kind: "full", scarce: full, untilAt } : { kind: "none", untilAt, suspension };
}

/**
 * Of what is missing the one for which most wait; undefined: it can be used now. Standing in all these lines, everybody would be called at each place that
 * is given back, and find the next thing missing.
 */
function narrowest({ occupies, opens, pays }: Connector, isFree: (scarce: Scarce) => boolean): Scarce | undefined {
  let most: Scarce | undefined;
  for (const scarce of [occupies, opens, pays])
    for (const one of scarce)
      if (!isFree(one) && (most === undefined || waitingFor(one) > waitingFor(most))) most = one;
  return most;
}

function wasTriedFrom(relay: RelayQueue, source: Source | undefined, { host, address }: Candidate): boolean {
  return relay.tried !== undefined && relay.tried.has(routeKey(source?.address, host, address));
}

function connectorOf(
  s: SchedulerState,
  plan: RelayPlan,
  candidate: Candidate,
  route: Route,
  source: Source | undefined,
): Connector {
  const places = plainPlaces(s, candidate, source, route.key, plan);
  if (places !== undefined)
    return { candidate, route, source, occupies: [route.connections, ...places], opens: NO_BUCKETS, pays: NO_BUCKETS };
  const host = hostClaims(s, candidate.host, source, candidate.address, route.key, plan);
  const own = sourceClaims(s, source);
  return {
    candidate,
    route,
    source,
    occupies: [route.connections, ...[...host.limits, ...own.limits].map((claim) => limitFor(s, claim))],
    opens: [...host.opens, ...own.opens].map((claim) => bucketFor(s, claim)),
    pays: [...host.mails, ...own.mails].map((claim) => bucketFor(s, claim)),
  };
}

/**
 * Of the addresses that could be used now (`usable`, among those that do not rest there) the ones that have not had more
 * than their share of the sessions to this host. The heaviest may carry more where others are full, but a lighter one
 * never steps in for a heavier: it may be an address whose name is still to be made. Equal ones stand in for each other.
 */
export function withinShare<One extends Sharing>(usable: readonly One[], awake: readonly One[]): readonly One[] {
  if (usable.length === 0 || awake.length === 1) return usable;
  const most = Math.max(...awake.map(weightOf));
  if (awake.every((one) => weightOf(one) === most)) return usable;
  const weights = awake.reduce((sum, one) => sum + weightOf(one), 0);
  const opened = awake.reduce((sum, one) => sum + openedBy(one), 0);
  const within = usable.filter((one) => openedBy(one) * weights < weightOf(one) * (opened + 1));
  return within.length > 0 ? within : usable.filter((one) => weightOf(one) === most);
}

/** One of our addresses beside others; no route: nothing was opened from there yet. */
export interface Sharing {
  readonly source: Source | undefined;
  readonly route: Pick<Route, "opened"> | undefined;
}

function openedBy({ route }: Sharing): number {
  return route?.opened ?? 0;
}

function weightOf({ source }: Sharing): number {
  return source?.weight ?? 1;
}

function byWeight(s: SchedulerState, connectors: readonly Connector[]): Connector {
  const [first, ...others] = connectors;
  if (first === undefined) throw new RangeError("there is nothing to choose from");
  if (others.length === 0) return first;
  let at = chanceOf(s).next() * connectors.reduce((sum, one) => sum + weightOf(one), 0);
  return connectors.find((one) => (at -= weightOf(one)) < 0) ?? first;
}

/** Until when an address of ours is not used at all. */
export function sourceRest(s: SchedulerState, source: Source | undefined): number {
  return source === undefined ? 0 : (s.sourceRests.get(source.address)?.restsUntilAt ?? 0);
}

/** Of whatever leads to a content filter, `relay`: it is a program near by, and is back before a host far away would be. */
export function penaltyRules(s: SchedulerState, relay?: Pick<RelayQueue, "plan">): PenaltyRules {
  const { penaltyStep, longestRest, quietTime } = s.settings.route;
  const longestRestMs = relay?.plan.isContentFilter === true ? Math.min(longestRest, FILTER_REST_MS) : longestRest;
  return { stepMs: penaltyStep, longestRestMs, quietMs: quietTime };
}

const FILTER_REST_MS = 60_000;

function routeTo(s: SchedulerState, source: Source | undefined, candidate: Candidate): Route {
  const { host, address } = candidate;
  const key = routeKey(source?.address, host, address);
  let route = s.routes.get(key);
  if (route === undefined) {
    route = newRoute(key, source?.address, host, address);
    s.routes.set(key, route);
  }
  return route;
}

/** What bounds the connections that carry mail for this recipient domain; nothing where all domains are alike (`""`). */
export function domainLimits(s: SchedulerState, domain: string): readonly Limited[] {
  if (domain === "") return NO_LIMITS;
  const plain = plainLimit(s, domain);
  return plain === undefined ? domainClaims(s, domain).limits.map((claim) => limitFor(s, claim)) : [plain];
}

const NO_LIMITS: readonly Limited[] = [];
const NO_BUCKETS: readonly Bucket[] = [];

/** What each mail for this recipient domain costs a token of. */
export function domainPays(s: SchedulerState, domain: string): readonly Bucket[] {
  return hasRates(s, domain) ? domainClaims(s, domain).mails.map((claim) => bucketFor(s, claim)) : NO_BUCKETS;
}

/** What each connection opened for this recipient domain costs a token of. */
export function domainOpens(s: SchedulerState, domain: string): readonly Bucket[] {
  return hasRates(s, domain) ? domainClaims(s, domain).opens.map((claim) => bucketFor(s, claim)) : NO_BUCKETS;
}
