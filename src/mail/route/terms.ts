import { canonicalIpText } from "../../protocol/address/ip-address.ts";
import type { Rate } from "../../foundation/units.ts";
import type { SettingPath } from "../../service/config/config.ts";
import type { Source, SourceChoice } from "../envelope/source.ts";
import type { RetrySchedule } from "./retry-schedule.ts";
import type { RouteSettings } from "./settings.ts";
import { keysFor, parseShapingPattern, type ShapingPattern, type ShapingRule } from "./shaping.ts";

/**
 * The terms on which mail goes somewhere: for each limit the value in force and which setting says it. Pure, and the only
 * reader of `route.limits` and `route.shaping`: everything that asks how much may be done asks here.
 *
 * Of the rules that match, the one with the most exact pattern decides, value by value; where none says anything, the
 * general limit does. `together` holds for all that its pattern matches.
 */
export interface Said<Value> {
  readonly value: Value;
  /** The setting that says so. */
  readonly path: SettingPath;
  /** The rule's pattern as it was written; undefined: it is the general limit. */
  readonly pattern?: string | undefined;
}

interface CommonTerms {
  readonly mailsPerSession: Said<number> | undefined;
  readonly recipientsPerMail: Said<number> | undefined;
  readonly domainsPerMail: Said<number> | undefined;
  readonly rate: Said<Rate> | undefined;
  readonly connectionRate: Said<Rate> | undefined;
  readonly connectTimeout: Said<number> | undefined;
  readonly sources: Said<SourceChoice> | undefined;
  readonly retry: Said<RetrySchedule> | undefined;
  /** Rules that count all they match as one. */
  readonly groups: readonly GroupTerms[];
}

export interface GroupTerms {
  readonly pattern: string;
  readonly connections: Said<number> | undefined;
  readonly rate: Said<Rate> | undefined;
  readonly connectionRate: Said<Rate> | undefined;
}

/** What holds for the mail of one recipient domain. */
export interface DomainTerms extends CommonTerms {
  readonly domain: Said<number>;
}

/** What holds for one address of one next host. */
export interface HostTerms extends CommonTerms {
  readonly host: Said<number>;
  readonly route: Said<number>;
}

export interface SourceTerms {
  readonly connections: Said<number>;
  readonly rate: Said<Rate> | undefined;
  readonly connectionRate: Said<Rate> | undefined;
  readonly helo: string | undefined;
}

/** `undefined`: the relay is a smarthost, whose mail is for any domain. */
export function domainTerms(route: RouteSettings, domain: string | undefined): DomainTerms {
  const { domains, ofDomain, plain } = indexOf(route);
  if (domain === undefined || domains.size === 0) return plain.domain;
  return remembered(ofDomain, domain, () => {
    const rules = rulesFor(domains, keysFor(domain));
    if (rules.length === 0) return plain.domain;
    return { ...commonTerms(rules), domain: first(rules, "connections") ?? general(route, "domain") };
  });
}

export function hostTerms(route: RouteSettings, name: string, ip: string | undefined): HostTerms {
  const { hosts, ofHost, plain } = indexOf(route);
  if (hosts.size === 0) return plain.host;
  return remembered(ofHost, `${name} ${ip}`, () => {
    // The address is more exact than any name.
    const address = ip === undefined ? [] : [canonicalIpText(ip) ?? ip];
    const rules = rulesFor(hosts, [...address, ...keysFor(name)]);
    if (rules.length === 0) return plain.host;
    // Who allows a host twenty connections means it for a single address of ours, too, unless it is said.
    const ruled = rules.find(({ rule }) => rule.connectionsPerSource !== undefined || rule.connections !== undefined);
    const key = ruled?.rule.connectionsPerSource === undefined ? "connections" : "connectionsPerSource";
    return {
      ...commonTerms(rules),
      host: first(rules, "connections") ?? general(route, "host"),
      route: (ruled === undefined ? undefined : first([ruled], key)) ?? general(route, "route"),
    };
  });
}

/** Terms follow from settings and name alone, and are asked for at every session and mail. */
function remembered<Terms>(among: Map<string, Terms>, name: string, make: () => Terms): Terms {
  let known = among.get(name);
  if (known === undefined) {
    if (among.size >= MOST_REMEMBERED) among.clear();
    known = make();
    among.set(name, known);
  }
  return known;
}

const MOST_REMEMBERED = 20_000;

/** `undefined`: the system chooses the address. */
export function sourceTerms(route: RouteSettings, own: readonly Source[], address: string | undefined): SourceTerms {
  const declared = declaredSource(route, own, address);
  const path = declared?.path ?? [];
  const { source } = declared ?? {};
  const said = <Value>(value: Value | undefined, name: string): Said<Value> | undefined =>
    value === undefined ? undefined : { value, path: [...path, name] };
  return {
    connections: said(source?.connections, "connections") ?? general(route, "source"),
    rate: said(source?.rate, "rate"),
    connectionRate: said(source?.connectionRate, "connectionRate"),
    helo: source?.helo,
  };
}

/** The smaller of what domain and host say, or else the general limit. */
export function smallest(
  route: RouteSettings,
  name: "mailsPerSession" | "recipientsPerMail" | "domainsPerMail",
  ...terms: readonly CommonTerms[]
): Said<number> {
  let least: Said<number> | undefined;
  for (const one of terms) {
    const said = one[name];
    if (said !== undefined && (least === undefined || said.value < least.value)) least = said;
  }
  return least ?? general(route, name);
}

/** A choice as addresses. A pool that does not exist has none: the check refuses it, a table read later may name it. */
export function sourcesOf(route: RouteSettings, choice: SourceChoice): readonly Source[] {
  return "pool" in choice
    ? ((Object.hasOwn(route.pools, choice.pool) ? route.pools[choice.pool] : undefined) ?? [])
    : choice;
}

/** What holds where no rule says anything. */
export function general(route: RouteSettings, name: LimitName): Said<number> {
  return indexOf(route).general[name];
}

type LimitName = keyof RouteSettings["limits"];

function generalOf(limits: RouteSettings["limits"]): Readonly<Record<LimitName, Said<number>>> {
  const said = (name: LimitName): Said<number> => ({ value: limits[name], path: ["route", "limits", name] });
  return {
    total: said("total"),
    relay: said("relay"),
    domain: said("domain"),
    host: said("host"),
    route: said("route"),
    source: said("source"),
    hanging: said("hanging"),
    mailsPerSession: said("mailsPerSession"),
    recipientsPerMail: said("recipientsPerMail"),
    domainsPerMail: said("domainsPerMail"),
  };
}

interface Ruled {
  readonly written: string;
  readonly rule: ShapingRule;
}

interface Index {
  readonly domains: ReadonlyMap<string, Ruled>;
  readonly hosts: ReadonlyMap<string, Ruled>;
  readonly ofDomain: Map<string, DomainTerms>;
  readonly ofHost: Map<string, HostTerms>;
  /** What holds for those about whom no rule says anything: nearly all, and for each mail it is asked for. */
  readonly plain: { readonly domain: DomainTerms; readonly host: HostTerms };
  readonly general: Readonly<Record<LimitName, Said<number>>>;
}

/** Settings never change once they are in force: their index is made once. */
const indexes = new WeakMap<RouteSettings, Index>();
/** Those asked about last: nearly always they are asked about again. */
let last: { readonly route: RouteSettings; readonly index: Index } | undefined;

function indexOf(route: RouteSettings): Index {
  if (last?.route === route) return last.index;
  const index = madeIndex(route);
  last = { route, index };
  return index;
}

function madeIndex(route: RouteSettings): Index {
  let index = indexes.get(route);
  if (index === undefined) {
    const domains = new Map<string, Ruled>();
    const hosts = new Map<string, Ruled>();
    for (const [written, rule] of Object.entries(route.shaping)) {
      const pattern = parseShapingPattern(written);
      if (!pattern.ok) continue;
      const { of, key }: ShapingPattern = pattern.value;
      (of === "domain" ? domains : hosts).set(key, { written, rule });
    }
    const none = commonTerms([]);
    const said = generalOf(route.limits);
    const plain = {
      domain: { ...none, domain: said.domain },
      host: { ...none, host: said.host, route: said.route },
    };
    index = { domains, hosts, ofDomain: new Map(), ofHost: new Map(), plain, general: said };
    indexes.set(route, index);
  }
  return index;
}

function rulesFor(among: ReadonlyMap<string, Ruled>, keys: readonly string[]): readonly Ruled[] {
  return keys.flatMap((key) => among.get(key) ?? []);
}

function first<Name extends Exclude<keyof ShapingRule, "together">>(
  rules: readonly Ruled[],
  name: Name,
): Said<NonNullable<ShapingRule[Name]>> | undefined {
  for (const { written, rule } of rules) {
    const value = rule[name];
    if (value !== undefined) return { value, path: ["route", "shaping", written, name], pattern: written };
  }
  return undefined;
}

function commonTerms(rules: readonly Ruled[]): CommonTerms {
  return {
    mailsPerSession: first(rules, "mailsPerConnection"),
    recipientsPerMail: first(rules, "recipientsPerMail"),
    domainsPerMail: first(rules, "domainsPerMail"),
    rate: first(rules, "rate"),
    connectionRate: first(rules, "connectionRate"),
    connectTimeout: first(rules, "connectTimeout"),
    sources: first(rules, "sources"),
    retry: first(rules, "retry"),
    groups: rules.flatMap(({ written, rule: { together } }) => {
      if (together === undefined) return [];
      const said = <Value>(value: Value | undefined, name: string): Said<Value> | undefined =>
        value === undefined
          ? undefined
          : { value, path: ["route", "shaping", written, "together", name], pattern: written };
      return {
        pattern: written,
        connections: said(together.connections, "connections"),
        rate: said(together.rate, "rate"),
        connectionRate: said(together.connectionRate, "connectionRate"),
      };
    }),
  };
}

/** Where the address is said to be ours with limits of its own; the check sees to it that all places agree. */
function declaredSource(
  route: RouteSettings,
  own: readonly Source[],
  address: string | undefined,
): { readonly source: Source; readonly path: SettingPath } | undefined {
  if (address === undefined) return undefined;
  const lists: readonly (readonly [SettingPath, readonly Source[]])[] = [
    [["route", "sources"], route.sources ?? []],
    ...Object.entries(route.pools).map(([name, list]) => [["route", "pools", name], list] as const),
  ];
  for (const [path, list] of lists) {
    const at = list.findIndex((one) => one.address === address && hasTerms(one));
    const source = list[at];
    if (source !== undefined) return { source, path: [...path, at] };
  }
  const source = own.find((one) => one.address === address);
  return source === undefined ? undefined : { source, path: ["actions"] };
}

function hasTerms({ connections, rate, connectionRate, helo }: Source): boolean {
  return [connections, rate, connectionRate, helo].some((one) => one !== undefined);
}
