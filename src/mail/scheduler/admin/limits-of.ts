import { formatRate, type Rate } from "../../../foundation/units.ts";
import type { SettingPath } from "../../../service/config/config.ts";
import { isToBeHad, nextTokenAt, tokensIn } from "../../route/rate.ts";
import { hostText, routeKey } from "../../route/route.ts";
import { general } from "../../route/terms.ts";
import { sourceRest, withinShare, type Sharing } from "../serve/choose.ts";
import {
  domainClaims,
  hostClaims,
  knownLimit,
  relayClaim,
  sourceClaims,
  sourcesTo,
  type Claim,
  type Claims,
  type RateClaim,
} from "../serve/claims.ts";
import { relayText } from "../relay-text.ts";
import type { Candidate, RelayQueue, SchedulerState } from "../state.ts";
import { suspensionOfRoute } from "../suspension/suspensions.ts";

/** A limit that is in force for some mail, where it was set, and how much of it is used. */
export interface LimitInForce {
  readonly scope: Claim["scope"];
  readonly unit: "connections" | "mails in a time" | "connections in a time";
  /** Whom it is about: `example.org`, `mx.example[192.0.2.1]:25`, `mx:*.google.com`. */
  readonly of: string;
  readonly limit: number | Rate;
  /** Connections that are open, or tokens that have not come back. */
  readonly used: number;
  /** By slow start no more than this many connections just now. */
  readonly allowed?: number | undefined;
  readonly isFull: boolean;
  /** When the next token comes back. */
  readonly untilAt?: number | undefined;
  readonly setting: SettingPath;
}

export interface LimitsOfRelay {
  /** These must have room, whatever host is chosen. */
  readonly common: readonly LimitInForce[];
  /** One of these ways must have room in all of its own. */
  readonly ways: readonly {
    readonly host: string;
    readonly source: string;
    readonly limits: readonly LimitInForce[];
  }[];
}

/** What is in force for mail at a relay; of all domains that share it, or one of them. Changes nothing. */
export function limitsOf(s: SchedulerState, relay: RelayQueue, domain?: string): LimitsOfRelay {
  const domains = domain === undefined ? [...relay.lines.keys()] : [domain];
  const mainDomain = domains[0] ?? relay.domain ?? "";
  const common: LimitInForce[] = [
    inForce(s, { scope: "total", of: "all", key: "", said: general(s.settings.route, "total") }, s.total.used),
    slowStart(inForce(s, relayClaim(s, relay)), relay.connections, relayText(relay)),
    ...domains.flatMap((one) => listed(s, domainClaims(s, one))),
  ];
  const ways = waysTo(s, relay, mainDomain)
    .filter(({ restsUntilAt }) => restsUntilAt <= s.now)
    .map(({ host, source, limits }) => ({ host, source: source?.address ?? "*", limits }));
  return { common, ways };
}

/** One of our addresses to one address of a next host. */
interface WayTo extends Sharing {
  readonly candidate: Candidate;
  /** Of the route, or of our address altogether. */
  readonly restsUntilAt: number;
  readonly key: string;
  /** The host failed in this round, from this address of ours or another one. */
  readonly isHostTried: boolean;
  readonly host: string;
  readonly limits: readonly LimitInForce[];
}

function waysTo(s: SchedulerState, relay: RelayQueue, domain: string): readonly WayTo[] {
  return relay.candidates.flatMap((candidate) => {
    const { host } = candidate;
    const sources = sourcesTo(s, relay.plan, domain, host);
    const isHostTried = sources.some((source) => relay.tried?.has(routeKey(source?.address, host)) === true);
    return sources.flatMap((source) => {
      const key = routeKey(source?.address, host);
      const route = s.routes.get(key);
      const restsUntilAt = Math.max(route?.penalty.restsUntilAt ?? 0, sourceRest(s, source));
      if (suspensionOfRoute(s, candidate, { source: source?.address, text: hostText(host) }) !== undefined) return [];
      const own = [
        ...listed(s, hostClaims(s, host, source, undefined, undefined, relay.plan)),
        ...listed(s, sourceClaims(s, source)),
      ];
      const limits = own.map((one) =>
        one.scope === "route" && one.unit === "connections" ? slowStart(one, route?.connections, one.of) : one,
      );
      return [{ candidate, source, route, key, restsUntilAt, isHostTried, host: hostText(host), limits }];
    });
  });
}

/** A limit that is full. */
export interface FullLimit extends LimitInForce {
  /** Another way, which would do, is open then; without an instant: perhaps at any moment. */
  readonly otherWay?: { readonly untilAt?: number | undefined } | undefined;
}

/** What is full for mail of this domain at the relay; nothing while some way is open. Each limit once. */
export function fullFor(s: SchedulerState, relay: RelayQueue, domain: string): readonly FullLimit[] {
  const common = limitsOf(s, relay, domain).common.filter((one) => one.isFull);
  if (common.length > 0) return common;
  const { open, rests } = eligible(s, relay, waysTo(s, relay, domain));
  const full = open.map(({ limits }) => limits.filter((one) => one.isFull));
  if (full.some((one) => one.length === 0)) return [];
  const soonest = soonestOf([...full.map(clearsAt), ...rests]);
  const seen = new Map<string, FullLimit>();
  for (const one of full.flat()) {
    const isEverywhere = rests.length === 0 && full.every((way) => way.some((other) => nameOf(other) === nameOf(one)));
    seen.set(nameOf(one), isEverywhere ? one : { ...one, otherWay: { untilAt: soonest } });
  }
  return [...seen.values()];
}

function nameOf({ scope, unit, of }: LimitInForce): string {
  return `${scope} ${unit} ${of}`;
}

/**
 * The ways that a session is opened by, as `choose` sees it: those of the best rank, for a backup is not there to carry a load, and
 * of our addresses none that would have more than its share. What failed in this round is none, and the same host from another
 * address of ours is one when no other is left. `rests`: when those that rest, and would be as good, are back.
 */
function eligible(
  s: SchedulerState,
  { tried }: RelayQueue,
  ways: readonly WayTo[],
): { readonly open: readonly WayTo[]; readonly rests: readonly number[] } {
  const left = ways.filter(
    ({ candidate, key }) => tried === undefined || !(tried.has(candidate.address) || tried.has(key)),
  );
  const isAwake = ({ restsUntilAt }: WayTo): boolean => restsUntilAt <= s.now;
  const fresh = left.filter(({ isHostTried }) => !isHostTried);
  const among = fresh.some(isAwake) ? fresh : left;
  // In the order of their ranks.
  const rank = among.find(isAwake)?.candidate.rank;
  if (rank === undefined) return { open: [], rests: [] };
  const good = among.filter(({ candidate }) => candidate.rank <= rank);
  const awake = good.filter(isAwake);
  const open = awake.filter((way) => {
    const beside = awake.filter(({ candidate }) => candidate === way.candidate);
    return withinShare([way], beside).length > 0;
  });
  return { open, rests: good.filter((way) => !isAwake(way)).map(backAt) };
}

/** When what rests is back, and has a token of what was spent. */
function backAt({ restsUntilAt, limits }: WayTo): number {
  return Math.max(restsUntilAt, ...limits.filter((one) => one.isFull).map(({ untilAt = 0 }) => untilAt));
}

/** When all of these have room; undefined: nobody knows when a connection ends. */
function clearsAt(full: readonly LimitInForce[]): number | undefined {
  return full.some(({ untilAt }) => untilAt === undefined)
    ? undefined
    : Math.max(...full.map(({ untilAt = 0 }) => untilAt));
}

function soonestOf(ends: readonly (number | undefined)[]): number | undefined {
  return ends.includes(undefined) ? undefined : Math.min(...ends.map((at) => at ?? 0));
}

/** `3 of 3 connections to mx.example[192.0.2.1]:25 are open`, `100/1m mails for example.org are spent`. */
export function limitText(one: LimitInForce): string {
  const whom = `${WORDS[one.scope]}${one.scope === "total" ? "" : ` ${one.of}`}`;
  if (typeof one.limit !== "number") {
    const unit = one.unit === "mails in a time" ? "mails" : "new connections";
    return `the rate of ${unit} ${whom} is spent (${formatRate(one.limit)})`;
  }
  const { allowed, limit, used } = one;
  const more = allowed !== undefined && allowed < limit ? `; more when they have worked, up to ${limit}` : "";
  return `${used} of ${Math.min(allowed ?? limit, limit)} connections ${whom} are open${more}`;
}

const WORDS: Readonly<Record<Claim["scope"], string>> = {
  total: "in all",
  relay: "for",
  domain: "for the domain",
  host: "to",
  route: "from one address to",
  source: "from",
  together: "for all of",
};

function listed(s: SchedulerState, { limits, mails, opens }: Claims): readonly LimitInForce[] {
  return [...limits.map((claim) => inForce(s, claim)), ...[...mails, ...opens].map((claim) => rateInForce(s, claim))];
}

function inForce(s: SchedulerState, claim: Claim, used = knownLimit(s, claim)?.used ?? 0): LimitInForce {
  const { scope, of, said } = claim;
  return { scope, unit: "connections", of, limit: said.value, used, isFull: used >= said.value, setting: said.path };
}

function rateInForce(s: SchedulerState, { scope, unit, of, key, said }: RateClaim): LimitInForce {
  const known = s.buckets.get(key);
  // A look takes back no tokens: what a replay would not do, a question must not do either.
  const bucket = known === undefined ? undefined : { ...known, rate: said.value };
  const isFull = bucket !== undefined && !isToBeHad(bucket, s.now);
  return {
    scope,
    unit: unit === "mails" ? "mails in a time" : "connections in a time",
    of,
    limit: said.value,
    used: bucket === undefined ? 0 : said.value.count - tokensIn(bucket, s.now),
    isFull,
    ...(isFull ? { untilAt: nextTokenAt(bucket, s.now) } : {}),
    setting: said.path,
  };
}

function slowStart(
  one: LimitInForce,
  slow: { readonly used: number; readonly limit: number } | undefined,
  of: string,
): LimitInForce {
  if (slow === undefined) return one;
  return { ...one, of, allowed: slow.limit, isFull: one.isFull || slow.used >= slow.limit };
}
