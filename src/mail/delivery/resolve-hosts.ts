import type { Random } from "../../foundation/random.ts";
import { parseDomain } from "../../protocol/address/domain.ts";
import { canonicalIpText } from "../../protocol/address/ip-address.ts";
import { canonicalName } from "../../protocol/dns/name.ts";
import type { DnsAnswer, DnsFinding, MxRecord, Resolver } from "../../protocol/dns/resolver.ts";
import type { Cause, Failure } from "../envelope/failure.ts";
import { orderHosts, shuffled } from "../route/order.ts";
import type { Resolved, ResolveRequest } from "./delivery.ts";
import type { NextHost } from "../route/next-host.ts";

/**
 * Where a relay's mail goes now (RFC 5321 section 5.1): mail exchangers in order of preference, those of equal
 * preference shuffled, every one with all its addresses; the domain itself where there are none; nowhere when it says so
 * (RFC 7505). The list is cut at ourselves, so that mail never travels in a circle. A lookup that fails hides only the
 * host it was about; it decides only when nothing else is left.
 */
export interface HostFinder {
  readonly resolver: Resolver;
  readonly random: Random;
  readonly now: () => number;
  /** Names under which we are a mail exchanger, canonical. */
  readonly ownNames: ReadonlySet<string>;
  /** Do we take mail ourselves at this address, in its canonical text, and port? */
  readonly isOwn: (address: string, port: number) => boolean;
  readonly families: "any" | "ipv4" | "ipv6";
}

/** More exchangers than this nobody has for honest reasons; the best ones are looked at. */
const MOST_EXCHANGERS = 50;
const SHORTEST_FRESHNESS_MS = 30_000;
const LONGEST_FRESHNESS_MS = 3_600_000;
/** Hosts among which some could not be looked up: mail that fails at the others must not wait for as long as their records hold. */
const PARTIAL_FRESHNESS_MS = 120_000;

export async function resolveHosts(
  request: ResolveRequest,
  finder: HostFinder,
  signal?: AbortSignal,
): Promise<Resolved> {
  const { target } = request;
  if (target.kind === "host") return host(target.host, target.port ?? request.defaultPort, finder, signal);
  if (target.kind === "domain") return domain(target.domain, request, finder, signal);
  return found([{ name: target.path, address: { path: target.path }, preference: 0 }], LONGEST_FRESHNESS_MS, finder);
}

async function host(name: string, port: number, finder: HostFinder, signal?: AbortSignal): Promise<Resolved> {
  const literal = canonicalIpText(name);
  if (literal !== undefined)
    return found([{ name, address: { ip: literal, port }, preference: 0 }], LONGEST_FRESHNESS_MS, finder);
  const looked = await addressesOf(canonicalName(name), finder, signal);
  if (looked.addresses.length > 0) return found(hostsOf(name, looked.addresses, port, 0), looked.ttlMs, finder);
  if (looked.finding !== undefined) return dnsFailure(looked.finding);
  const hidden = await hiddenBySettings([name], finder, signal);
  if (hidden !== undefined) return hidden;
  // A person wrote this name; a slip of the pen must not return everybody's mail.
  return failure("temporary", "4.4.4", { kind: "no-address", host: name });
}

async function domain(
  written: string,
  request: ResolveRequest,
  finder: HostFinder,
  signal?: AbortSignal,
): Promise<Resolved> {
  const port = request.defaultPort;
  const parsed = parseDomain(written, { isInternational: true });
  if (!parsed.ok) return failure("permanent", "5.1.2", { kind: "no-such-domain", domain: written });
  if (parsed.value.kind !== "name") {
    // RFC 5321 section 4.1.3: a literal is the host itself, without a question to the DNS.
    const ip = canonicalIp(parsed.value.address);
    if (finder.isOwn(ip, port)) return failure("permanent", "5.4.6", { kind: "mx-loop", domain: written });
    return found([{ name: ip, address: { ip, port }, preference: 0 }], LONGEST_FRESHNESS_MS, finder);
  }
  const name = parsed.value.ascii;
  const answer = await finder.resolver.mx(name, signal);
  if (answer.kind === "failed") return dnsFailure(answer.finding);
  if (answer.kind === "none" && answer.because === "no-such-name")
    return failure("permanent", "5.1.2", { kind: "no-such-domain", domain: name });
  const isImplicit = answer.kind === "none";
  const records: readonly MxRecord[] = isImplicit ? [{ preference: 0, exchange: name }] : answer.records;
  const exchangers = records.filter((record) => record.exchange !== "");
  // RFC 7505 section 3 wants a null MX to stand alone; beside others it means nothing.
  if (exchangers.length === 0) return failure("permanent", "5.1.10", { kind: "null-mx", domain: name });
  return tryExchangers(name, exchangers, answer.ttlMs, isImplicit, request, finder, signal);
}

async function tryExchangers(
  name: string,
  exchangers: readonly MxRecord[],
  ttlMs: number,
  isImplicit: boolean,
  request: ResolveRequest,
  finder: HostFinder,
  signal?: AbortSignal,
): Promise<Resolved> {
  const port = request.defaultPort;
  const best = exchangers.toSorted((a, b) => a.preference - b.preference).slice(0, MOST_EXCHANGERS);
  const looked = await Promise.all(
    best.map(async (record) => ({ ...record, ...(await addressesOf(record.exchange, finder, signal)) })),
  );
  const ourNames =
    request.backupAs === undefined || request.backupAs === ""
      ? finder.ownNames
      : new Set([canonicalName(request.backupAs)]);
  const ours = looked.filter(
    (mx) => ourNames.has(canonicalName(mx.exchange)) || mx.addresses.some((address) => finder.isOwn(address, port)),
  );
  const ourPreference = Math.min(...ours.map((mx) => mx.preference));
  if (request.backupAs !== undefined && ours.length === 0)
    return failure("temporary", "4.3.5", { kind: "settings", text: `this host is no mail exchanger of ${name}` });
  // RFC 5321 section 5.1: ourselves, and whatever is no better, would only send the mail back.
  const usable = looked.filter((mx) => mx.preference < ourPreference);
  if (usable.length === 0) return failure("permanent", "5.4.6", { kind: "mx-loop", domain: name });
  const hosts = usable.flatMap((mx) => hostsOf(mx.exchange, mx.addresses, port, mx.preference));
  if (hosts.length > 0) return found(hosts, Math.min(ttlMs, ...usable.map((mx) => mx.ttlMs)), finder);
  const finding = usable.find((mx) => mx.finding !== undefined)?.finding;
  if (finding !== undefined) return dnsFailure(finding);
  const names = usable.map((mx) => mx.exchange);
  const hidden = await hiddenBySettings(names, finder, signal);
  if (hidden !== undefined) return hidden;
  if (isImplicit) return failure("permanent", "5.1.2", { kind: "no-address", host: name, isDomain: true });
  return failure("permanent", "5.4.4", { kind: "no-address", host: names.join(", ") });
}

interface Looked {
  readonly addresses: readonly string[];
  readonly ttlMs: number;
  readonly finding: DnsFinding | undefined;
}

/** All addresses of a host, the families taking turns: a broken one costs every second attempt at most. */
async function addressesOf(name: string, finder: HostFinder, signal?: AbortSignal): Promise<Looked> {
  const { resolver, families, random } = finder;
  const nothing: DnsAnswer<readonly string[]> = {
    kind: "none",
    because: "no-such-record",
    ttlMs: Infinity,
    secure: false,
  };
  const [six, four] = await Promise.all([
    families === "ipv4" ? nothing : resolver.ipv6(name, signal),
    families === "ipv6" ? nothing : resolver.ipv4(name, signal),
  ]);
  const sixes = six.kind === "found" ? shuffled(six.records, random) : [];
  const fours = four.kind === "found" ? shuffled(four.records, random) : [];
  const addresses = new Set<string>();
  for (let at = 0; at < Math.max(sixes.length, fours.length); at++)
    for (const address of [...sixes.slice(at, at + 1), ...fours.slice(at, at + 1)]) addresses.add(canonicalIp(address));
  const finding = four.kind === "failed" ? four.finding : six.kind === "failed" ? six.finding : undefined;
  const isMissing = addresses.size === 0;
  const ttls = [six, four].flatMap((answer) => {
    if (answer.kind === "failed") return [PARTIAL_FRESHNESS_MS];
    // That a host has no address of one family says nothing of the other one's.
    return answer.kind === "found" || isMissing ? [answer.ttlMs] : [];
  });
  return { addresses: [...addresses], ttlMs: Math.min(...ttls), finding };
}

/** Of hosts without an address that we use: the settings leave out those that there are. That says nothing against the domain. */
async function hiddenBySettings(
  names: readonly string[],
  { resolver, families }: HostFinder,
  signal?: AbortSignal,
): Promise<Resolved | undefined> {
  if (families === "any") return undefined;
  const ask = (name: string) => (families === "ipv4" ? resolver.ipv6(name, signal) : resolver.ipv4(name, signal));
  const answers = await Promise.all(names.map(ask));
  const hidden = names.find((_, at) => answers[at]?.kind === "found");
  if (hidden !== undefined) {
    const others = families === "ipv4" ? "IPv6" : "IPv4";
    const text = `${hidden} has ${others} addresses only, and \`delivery.address-families\` is ${families}`;
    return failure("temporary", "4.3.5", { kind: "settings", text });
  }
  const failed = answers.find((answer) => answer.kind === "failed");
  return failed === undefined ? undefined : dnsFailure(failed.finding);
}

/** An IPv4 address that is written as an IPv6 one (`::ffff:192.0.2.1`) is that IPv4 address: ours, limited, at rest. */
function canonicalIp(address: string): string {
  return canonicalIpText(address) ?? address;
}

function hostsOf(name: string, addresses: readonly string[], port: number, preference: number): readonly NextHost[] {
  return addresses.map((ip) => ({ name, address: { ip, port }, preference }));
}

function found(hosts: readonly NextHost[], ttlMs: number, finder: HostFinder): Resolved {
  const freshMs = Math.min(Math.max(ttlMs, SHORTEST_FRESHNESS_MS), LONGEST_FRESHNESS_MS);
  return { ok: true, hosts: orderHosts(hosts, finder.random), freshUntilAt: finder.now() + freshMs };
}

function dnsFailure(finding: DnsFinding): Resolved {
  return failure("temporary", "4.4.3", { kind: "dns", finding });
}

function failure(lasting: Failure["lasting"], status: string, cause: Cause): Resolved {
  return { ok: false, failure: { lasting, status, cause } };
}
