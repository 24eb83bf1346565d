import type { Clock } from "../../foundation/clock.ts";
import type { LineTrace } from "../../foundation/line-trace.ts";
import { createDnsResolver, type DnsResolver } from "./dns.ts";
import { DnsNetwork } from "./exchange.io.ts";
import { parseDnsServer, type KnownServers } from "./servers.ts";
import type { DnsSettings } from "./settings.ts";
import { systemServers } from "./system-servers.io.ts";

export interface NetworkResolver extends DnsResolver, AsyncDisposable {
  /** Another one takes its place. Whoever still has it may go on asking; it keeps no socket open for those who do not. */
  retire(): void;
}

/**
 * The resolver over the network. Without any server to ask, every lookup fails with a finding that says so, and a server that
 * only delivers locally runs all the same.
 */
export function createResolver(parts: {
  clock: Clock;
  settings: DnsSettings;
  trace?: LineTrace | undefined;
  /** Where the system names its servers. */
  resolvConf?: string;
}): NetworkResolver {
  const network = new DnsNetwork(parts.clock, parts.settings);
  const resolver = createDnsResolver({
    clock: parts.clock,
    settings: parts.settings,
    servers: serversBy(parts.clock, parts.settings, parts.resolvConf),
    exchange: network.exchange,
    trace: parts.trace,
  });
  return Object.assign(resolver, {
    retire: () => network.retire(),
    [Symbol.asyncDispose]: () => network[Symbol.asyncDispose](),
  });
}

/** Who is to be asked: those set, else whom resolv.conf(5) names at the time. */
function serversBy(clock: Clock, settings: DnsSettings, resolvConf = "/etc/resolv.conf"): () => KnownServers {
  if (settings.servers === undefined) return systemServers(clock, resolvConf);
  const known = { servers: settings.servers.flatMap((text) => parseDnsServer(text) ?? []) };
  return () => known;
}
