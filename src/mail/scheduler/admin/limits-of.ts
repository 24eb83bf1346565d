import { formatRate, type Rate } from "../../../foundation/units.ts";
import type { SettingPath } from "../../../service/config/config.ts";
import { isToBeHad, nextTokenAt, tokensIn } from "../../route/rate.ts";
import { hostText, routeKey } from "../../route/route.ts";
import { general } from "../../route/terms.ts";
import { sourceRest } from "../serve/choose.ts";
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
import type { RelayQueue, SchedulerState } from "../state.ts";

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
  const ways = relay.candidates.flatMap(({ host }) =>
    sourcesTo(s, relay.plan, mainDomain, host)
      .filter((source) => {
        const route = s.routes.get(routeKey(source?.address, host));
        return Math.max(route?.penalty.restsUntilAt ?? 0, sourceRest(s, source)) <= s.now;
      })
      .map((source) => {
        const own = [
          ...listed(s, hostClaims(s, host, source, undefined, undefined, relay.plan)),
          ...listed(s, sourceClaims(s, source)),
        ];
        const route = s.routes.get(routeKey(source?.address, host));
        const limits = own.map((one) =>
          one.scope === "route" && one.unit === "connections" ? slowStart(one, route?.connections, one.of) : one,
        );
        return { host: hostText(host), source: source?.address ?? "*", limits };
      }),
  );
  return { common, ways };
}

/** What is full for mail of this domain at the relay; nothing while some way is open. Each limit once. */
export function fullFor(s: SchedulerState, relay: RelayQueue, domain: string): readonly LimitInForce[] {
  const { common, ways } = limitsOf(s, relay, domain);
  const full = common.filter((one) => one.isFull);
  if (full.length > 0 || ways.length === 0) return full;
  const perWay = ways.map(({ limits }) => limits.filter((one) => one.isFull));
  if (perWay.some((one) => one.length === 0)) return [];
  const seen = new Map<string, LimitInForce>();
  for (const one of perWay.flat()) seen.set(`${one.scope} ${one.unit} ${one.of}`, one);
  return [...seen.values()];
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
