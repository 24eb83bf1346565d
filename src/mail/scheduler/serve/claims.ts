import type { Rate } from "../../../foundation/units.ts";
import { limited, type Limited } from "../../route/limited.ts";
import type { NextHost } from "../../route/next-host.ts";
import { newBucket, type Bucket } from "../../route/rate.ts";
import { addressText, hostText, routeKey, sourcesFor } from "../../route/route.ts";
import {
  domainTerms,
  general,
  hostTerms,
  smallest,
  sourcesOf,
  sourceTerms,
  type DomainTerms,
  type HostTerms,
  type Said,
} from "../../route/terms.ts";
import type { Source, SourceChoice } from "../../envelope/source.ts";
import type { RelayPlan } from "../plan.ts";
import { relayText } from "../relay-text.ts";
import type { Candidate, RelayQueue, SchedulerState, Session } from "../state.ts";

/**
 * What mail must have room in on its way, by the terms of its domain, its next host and our address. A claim names a
 * limit; the limit itself, with what is used of it, is made when somebody first takes of it, and is one for all whose
 * claims have the same key. Looking at claims changes nothing.
 */
export interface Claim {
  readonly scope: "total" | "relay" | "domain" | "host" | "route" | "source" | "together";
  /** Whom it is about, for people: `example.org`, `192.0.2.1:25`, `mx:*.google.com`. */
  readonly of: string;
  readonly key: string;
  readonly said: Said<number>;
}

export interface RateClaim extends Omit<Claim, "said"> {
  readonly unit: "mails" | "connections";
  readonly said: Said<Rate>;
}

export interface Claims {
  /** Connections that may be open. */
  readonly limits: readonly Claim[];
  /** Mails in a time. */
  readonly mails: readonly RateClaim[];
  /** Connections opened in a time. */
  readonly opens: readonly RateClaim[];
}

const NONE: Claims = { limits: [], mails: [], opens: [] };

/** Of a recipient domain; `""`, at a smarthost, where all domains are alike: nothing. */
export function domainClaims(s: SchedulerState, domain: string): Claims {
  if (domain === "") return NONE;
  const terms = domainTerms(s.settings.route, domain);
  return claimsOf("domain", domain, domain, terms, [{ scope: "domain", of: domain, key: domain, said: terms.domain }]);
}

/** Whether anything counts the domain's mail or connections in a time: for nearly all domains nothing does. */
export function hasRates(s: SchedulerState, domain: string): boolean {
  return domain !== "" && !isPlain(domainTerms(s.settings.route, domain));
}

/** The limit that `domainClaims` names, where there is nothing else. */
export function plainLimit(s: SchedulerState, domain: string): Limited | undefined {
  const terms = domainTerms(s.settings.route, domain);
  return isPlain(terms) ? limitAmong(s.domains, domain, terms.domain.value) : undefined;
}

/** Nothing but limits of connections of its own. */
function isPlain({ rate, connectionRate, groups }: Rates): boolean {
  return rate === undefined && connectionRate === undefined && groups.length === 0;
}

type Rates = Pick<DomainTerms, "rate" | "connectionRate" | "groups">;

/** Of one address of a next host, reached from one of our addresses. */
export function hostClaims(
  s: SchedulerState,
  host: NextHost,
  source: Source | undefined,
  address = addressText(host),
  route = routeKey(source?.address, host),
  plan?: RelayPlan,
): Claims {
  const terms = termsOfHost(s, host, plan);
  const of = hostText(host);
  return claimsOf("host", address, of, terms, [
    { scope: "host", of, key: marked(address, terms.host), said: terms.host },
    { scope: "route", of, key: marked(route, terms.route), said: terms.route },
  ]);
}

/** An address under two names, each with a rule of its own, has two limits: neither is the other's. */
function marked(key: string, { pattern }: { readonly pattern?: string | undefined }): string {
  return pattern === undefined ? key : `${key} ${pattern}`;
}

/**
 * The limits that `hostClaims` and `sourceClaims` name, where there is nothing else: asked for at each look for a session,
 * which needs no text for people. Undefined where something is counted in a time.
 */
export function plainPlaces(
  s: SchedulerState,
  { host, address }: Candidate,
  source: Source | undefined,
  route: string,
  plan: RelayPlan,
): readonly [Limited, Limited, Limited] | undefined {
  const terms = termsOfHost(s, host, plan);
  if (!isPlain(terms)) return undefined;
  const own = source === undefined ? undefined : sourceTerms(s.settings.route, [source], source.address);
  if (own?.rate !== undefined || own?.connectionRate !== undefined) return undefined;
  return [
    limitAmong(s.hosts, marked(address, terms.host), terms.host.value),
    limitAmong(s.shaped, marked(route, terms.route), terms.route.value),
    limitAmong(s.sources, source?.address ?? "*", own?.connections.value ?? s.settings.route.limits.source),
  ];
}

/** Of one of our addresses, whatever it is used for. */
export function sourceClaims(s: SchedulerState, source: Source | undefined): Claims {
  const terms = sourceTerms(s.settings.route, source === undefined ? [] : [source], source?.address);
  const key = source?.address ?? "*";
  return claimsOf("source", key, key === "*" ? "this machine" : key, { ...terms, groups: [] }, [
    { scope: "source", of: key, key, said: terms.connections },
  ]);
}

function claimsOf(
  scope: "domain" | "host" | "source",
  key: string,
  of: string,
  terms: Rates,
  own: readonly Claim[],
): Claims {
  const { rate, connectionRate, groups } = terms;
  if (isPlain(terms)) return { limits: own, mails: NONE.mails, opens: NONE.opens };
  const limits = [...own];
  const mails: RateClaim[] = [];
  const opens: RateClaim[] = [];
  const addRate = (
    unit: RateClaim["unit"],
    said: Said<Rate> | undefined,
    about: Pick<Claim, "scope" | "of" | "key">,
  ): void => {
    if (said === undefined) return;
    const full = `${unit} ${about.scope} ${about.key} ${said.pattern ?? ""}`;
    (unit === "mails" ? mails : opens).push({ ...about, unit, key: full, said });
  };
  addRate("mails", rate, { scope, of, key });
  addRate("connections", connectionRate, { scope, of, key });
  for (const { pattern, connections, rate: mailRate, connectionRate: openRate } of groups) {
    const about = { scope: "together", of: pattern, key: pattern } as const;
    if (connections !== undefined) limits.push({ ...about, said: connections });
    addRate("mails", mailRate, about);
    addRate("connections", openRate, about);
  }
  return { limits, mails, opens };
}

/** Of everything that goes one way, whatever sessions of it were opened under earlier settings. */
export function relayClaim(s: SchedulerState, relay: RelayQueue): Claim {
  const said = relay.plan.connections ?? general(s.settings.route, "relay");
  return { scope: "relay", of: relayText(relay), key: relay.key, said };
}

/** The limit that `relayClaim` names: asked for at each session, which needs no text for people. */
export function relayLimit(s: SchedulerState, relay: RelayQueue): Limited {
  return limitAmong(s.shaped, relay.key, relay.plan.connections?.value ?? s.settings.route.limits.relay);
}

/** Most recipients in a session's next transaction, by our settings and by what the host announced (RFC 9422). */
export function mostRecipients(s: SchedulerState, session: Session, domain: string): number {
  const said = Math.max(inSession(s, "recipientsPerMail", session, domain).value, least(session));
  return Math.max(1, Math.min(said, session.facts?.mostRecipients ?? said));
}

/** Most recipient domains in a session's next transaction. */
export function mostDomains(s: SchedulerState, session: Session, domain: string): number {
  const said = Math.max(inSession(s, "domainsPerMail", session, domain).value, least(session));
  return Math.max(1, Math.min(said, session.facts?.mostDomains ?? said));
}

/** A filter gets a mail once, with all its recipients, as far as one transaction goes: each copy would be filtered. */
function least({ relay: { plan } }: Session): number {
  return plan.isContentFilter === true ? MOST_FILTERED : 1;
}

/** As many as reception takes of one mail, unless its settings say more. */
const MOST_FILTERED = 1000;

/** Most transactions in a session. */
export function mostMails(s: SchedulerState, session: Session): number {
  const said = inSession(s, "mailsPerSession", session, session.domain).value;
  return Math.max(1, Math.min(said, session.facts?.mostTransactions ?? said));
}

/** Up to how many connections slow start lets a session's route grow. */
export function mostToRoute(s: SchedulerState, { candidate: { host }, relay }: Session): number {
  return termsOfHost(s, host, relay.plan).route.value;
}

/** A content filter is one host at one address: what its settings say holds there, unless a rule of shaping names it. */
function termsOfHost(s: SchedulerState, host: NextHost, plan: RelayPlan | undefined): HostTerms {
  const terms = hostTerms(s.settings.route, host.name, ipOf(host));
  if (plan?.isContentFilter !== true || plan.connections === undefined) return terms;
  return {
    ...terms,
    host: terms.host.pattern === undefined ? plan.connections : terms.host,
    route: terms.route.pattern === undefined ? plan.connections : terms.route,
  };
}

function inSession(
  s: SchedulerState,
  name: "mailsPerSession" | "recipientsPerMail" | "domainsPerMail",
  { candidate: { host } }: Session,
  domain: string,
): Said<number> {
  const { route } = s.settings;
  return smallest(
    route,
    name,
    domainTerms(route, domain === "" ? undefined : domain),
    hostTerms(route, host.name, ipOf(host)),
  );
}

export function connectTimeoutFor(s: SchedulerState, host: NextHost, domain: string): number | undefined {
  const { route } = s.settings;
  const own = domain === "" ? undefined : domainTerms(route, domain).connectTimeout;
  return (own ?? hostTerms(route, host.name, ipOf(host)).connectTimeout)?.value;
}

function ipOf({ address }: NextHost): string | undefined {
  return "ip" in address ? address.ip : undefined;
}

/** The limit itself, with the value that is in force now. */
export function limitFor(s: SchedulerState, { scope, key, said }: Claim): Limited {
  return limitAmong(limitsAmong(s, scope), key, said.value);
}

function limitAmong(among: Map<string, Limited>, key: string, value: number): Limited {
  let known = among.get(key);
  if (known === undefined) {
    known = limited(value);
    among.set(key, known);
  }
  known.limit = value;
  return known;
}

export function bucketFor(s: SchedulerState, { key, said }: RateClaim): Bucket {
  let known = s.buckets.get(key);
  if (known === undefined) {
    known = newBucket(said.value);
    s.buckets.set(key, known);
  }
  known.rate = said.value;
  return known;
}

/** What is known of it, without making it. */
export function knownLimit(s: SchedulerState, { scope, key }: Claim): Limited | undefined {
  return limitsAmong(s, scope).get(key);
}

function limitsAmong(s: SchedulerState, scope: Claim["scope"]): Map<string, Limited> {
  if (scope === "host") return s.hosts;
  if (scope === "source") return s.sources;
  return scope === "domain" ? s.domains : s.shaped;
}

/** The addresses that may be used for a domain's mail to a host: of its family. `undefined`: the system chooses. */
export function sourcesTo(
  s: SchedulerState,
  plan: RelayPlan,
  domain: string,
  host: NextHost,
): readonly (Source | undefined)[] {
  const choice = sourceChoiceFor(s, plan, domain, host);
  const own = choice === undefined ? [] : sourcesOf(s.settings.route, choice);
  // A pool that does not exist is not the same as none.
  return choice !== undefined && own.length === 0 ? [] : sourcesFor(host, own);
}

/** Whatever their family, for people. */
export function sourceAddresses(s: SchedulerState, plan: RelayPlan, domain: string, host: NextHost): readonly string[] {
  const choice = sourceChoiceFor(s, plan, domain, host);
  return choice === undefined ? [] : sourcesOf(s.settings.route, choice).map(({ address }) => address);
}

/** The addresses that the domain's mail must come from, where that is a matter of the domain. */
export function sourcesOfDomain(s: SchedulerState, domain: string): SourceChoice | undefined {
  return domain === "" ? undefined : domainTerms(s.settings.route, domain).sources?.value;
}

function sourceChoiceFor(s: SchedulerState, plan: RelayPlan, domain: string, host: NextHost): SourceChoice | undefined {
  const { route } = s.settings;
  return (
    plan.sources ??
    sourcesOfDomain(s, domain) ??
    hostTerms(route, host.name, ipOf(host)).sources?.value ??
    route.sources
  );
}
