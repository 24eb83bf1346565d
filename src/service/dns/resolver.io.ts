import { readFileSync } from "node:fs";
import type { Clock } from "../../foundation/clock.ts";
import { PosthornError } from "../../foundation/error.ts";
import type { LineTrace } from "../../foundation/line-trace.ts";
import { createDnsResolver, type DnsResolver } from "./dns.ts";
import { DnsNetwork } from "./exchange.io.ts";
import { parseDnsServer, serversOfResolvConf, type DnsServer } from "./servers.ts";
import type { DnsSettings } from "./settings.ts";

/**
 * The resolver over the network. Throws `SETTINGS_INVALID` for a server that is no address; without any server, set or
 * found, every lookup fails with a finding that says so, and a server that only delivers locally runs all the same.
 */
export function createResolver(parts: {
  clock: Clock;
  settings: DnsSettings;
  trace?: LineTrace | undefined;
  /** Where the system names its servers. */
  resolvConf?: string;
}): DnsResolver & AsyncDisposable {
  const servers = configuredServers(parts.settings, parts.resolvConf);
  const network = new DnsNetwork(parts.clock, parts.settings);
  const resolver = createDnsResolver({
    clock: parts.clock,
    settings: parts.settings,
    servers,
    exchange: network.exchange,
    trace: parts.trace,
  });
  return Object.assign(resolver, { [Symbol.asyncDispose]: () => network[Symbol.asyncDispose]() });
}

/** The servers that would be asked: those set, else those of resolv.conf(5). */
function configuredServers(settings: DnsSettings, resolvConf = "/etc/resolv.conf"): readonly DnsServer[] {
  if (settings.servers === undefined) return serversOfResolvConf(readOrEmpty(resolvConf));
  return settings.servers.map((text) => {
    const server = parseDnsServer(text);
    if (server !== undefined) return server;
    throw new PosthornError("SETTINGS_INVALID", {
      message: `dns.servers: ${JSON.stringify(text)} is no address of a DNS server`,
      advice: "write an address such as 127.0.0.1, 192.0.2.53:5353 or [2001:db8::53]:5353",
    });
  });
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
