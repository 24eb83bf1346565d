import { isIP } from "node:net";
import type { Resolved, ResolveRequest } from "../../mail/delivery/delivery.ts";
import type { Failure } from "../../mail/envelope/failure.ts";
import type { NextHost } from "../../mail/route/next-host.ts";
import { orderHosts } from "../../mail/route/order.ts";
import { Host, noCounts, type HostCounts, type WorldTime } from "./host.ts";
import { isDuring, type DomainModel, type HostModel, type WorldSettings } from "./settings.ts";

/** A domain of the world: the n-th of its kind, counted from 0. */
interface Domain {
  readonly model: DomainModel;
  readonly n: number;
}

/**
 * All hosts and domains of a scenario. Hosts come into being when somebody asks for them, so that a hundred thousand cost
 * nothing until then. The n-th host of a kind has the n-th address of its kind's block.
 */
export class SimulatedWorld {
  readonly counts = new Map<string, HostCounts>();
  readonly #settings: WorldSettings;
  readonly #time: WorldTime;
  readonly #hosts = new Map<string, Host>();
  readonly #byAddress = new Map<string, Host>();
  /** Where the addresses of a kind of hosts begin. */
  readonly #blocks = new Map<string, number>();
  readonly #domains = new Map<string, Domain>();

  constructor(settings: WorldSettings, time: WorldTime) {
    this.#settings = settings;
    this.#time = time;
    let block = 1;
    for (const [kind, model] of Object.entries(settings.hosts)) {
      this.#blocks.set(kind, block);
      block += model.count * model.addresses;
      this.counts.set(kind, noCounts());
    }
  }

  /** Undefined: nobody is there, and connections hang. */
  hostAt(ip: string): Host | undefined {
    return this.#byAddress.get(ip);
  }

  /** How long a lookup takes, and what comes of it. */
  resolve(request: ResolveRequest, now: number): { readonly takesMs: number; readonly resolved: Resolved } {
    const { target, defaultPort } = request;
    if (target.kind === "unix") {
      const host: NextHost = { name: target.path, address: { path: target.path }, preference: 0 };
      return { takesMs: 0, resolved: { ok: true, hosts: [host], freshUntilAt: now + HOUR_MS } };
    }
    if (target.kind === "host") {
      const port = target.port ?? defaultPort;
      const hosts = this.#addressesOf(target.host, undefined, 0, port);
      if (hosts.length === 0)
        return { takesMs: 20, resolved: failed("temporary", "4.4.4", { kind: "no-address", host: target.host }) };
      return { takesMs: 20, resolved: { ok: true, hosts, freshUntilAt: now + HOUR_MS } };
    }
    const domain = this.#domainOf(target.domain);
    if (domain === undefined)
      return {
        takesMs: 20,
        resolved: failed("permanent", "5.1.2", { kind: "no-such-domain", domain: target.domain }),
      };
    const { dns, mx } = domain.model;
    const takesMs = dns.takes;
    const isFailing =
      dns.fails !== undefined &&
      isDuring(dns, now - this.#time.startAt) &&
      (dns.likelihood === 1 || this.#time.random.next() < dns.likelihood);
    if (isFailing) return { takesMs, resolved: dnsFailure(target.domain, dns.fails) };
    if (mx.length === 0)
      return { takesMs, resolved: failed("permanent", "5.1.10", { kind: "null-mx", domain: target.domain }) };
    const hosts: NextHost[] = [];
    for (const { host: kind, preference, shift } of mx)
      hosts.push(...this.#addressesOf(kind, domain.n + shift, preference, defaultPort));
    if (hosts.length === 0)
      return { takesMs, resolved: failed("permanent", "5.4.4", { kind: "no-address", host: target.domain }) };
    return {
      takesMs,
      resolved: { ok: true, hosts: orderHosts(hosts, this.#time.random), freshUntilAt: now + takesMs + dns.freshFor },
    };
  }

  #domainOf(name: string): Domain | undefined {
    const known = this.#domains.get(name);
    if (known !== undefined) return known;
    const numbered = /^(.+?)(\d+)\.example$/.exec(name);
    const { domains } = this.#settings;
    const model = domains[name] ?? (numbered?.[1] === undefined ? undefined : domains[numbered[1]]);
    if (model === undefined) return undefined;
    const n = domains[name] === undefined ? Number(numbered?.[2]) - 1 : 0;
    if (n < 0 || n >= model.count) return undefined;
    const domain = { model, n };
    this.#domains.set(name, domain);
    return domain;
  }

  /** By kind and number, or (smarthosts) by name: `kind`, `kind3.example`. */
  #addressesOf(written: string, number: number | undefined, preference: number, port: number): readonly NextHost[] {
    const parts = /^(.+?)(\d+)?(?:\.example)?$/.exec(written);
    const kind = this.#settings.hosts[written] === undefined ? (parts?.[1] ?? written) : written;
    const model = this.#settings.hosts[kind];
    if (model === undefined) return [];
    const n = number === undefined ? Math.max(0, Number(parts?.[2] ?? 1) - 1) : number % model.count;
    const host = this.#host(kind, n, model);
    const first = (this.#blocks.get(kind) ?? 0) + n * model.addresses;
    const found: NextHost[] = [];
    for (let at = 0; at < model.addresses; at++) {
      for (const ip of [
        ...(model.ipv6 === "none" ? [] : [ipv6Of(first + at)]),
        ...(model.ipv4 === "none" ? [] : [ipv4Of(first + at)]),
      ]) {
        this.#byAddress.set(ip, host);
        found.push({ name: host.name, address: { ip, port }, preference });
      }
    }
    return found;
  }

  #host(kind: string, n: number, model: HostModel): Host {
    const name = model.count === 1 ? `${kind}.example` : `${kind}${n + 1}.example`;
    let host = this.#hosts.get(name);
    if (host === undefined) {
      host = new Host(name, model, this.counts.get(kind) ?? noCounts(), this.#time);
      this.#hosts.set(name, host);
    }
    return host;
  }
}

/** The n-th domain of a kind, counted from 0. */
export function domainName(kind: string, n: number): string {
  return kind.includes(".") ? kind : `${kind}${n + 1}.example`;
}

export function isIpv6(ip: string): boolean {
  return isIP(ip) === 6;
}

const HOUR_MS = 3_600_000;

function ipv4Of(n: number): string {
  return `10.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}`;
}

function ipv6Of(n: number): string {
  return `2001:db8::${((n >>> 16) & 0xffff).toString(16)}:${(n & 0xffff).toString(16)}`;
}

function dnsFailure(domain: string, how: DomainModel["dns"]["fails"]): Resolved {
  if (how === "no-such-domain") return failed("permanent", "5.1.2", { kind: "no-such-domain", domain });
  const reason = how ?? "timeout";
  const finding = { reason, name: domain, type: "MX", server: "simulated", text: reason } as const;
  return failed("temporary", "4.4.3", { kind: "dns", finding });
}

function failed(lasting: Failure["lasting"], status: string, cause: Failure["cause"]): Resolved {
  return { ok: false, failure: { lasting, status, cause } };
}
