import { isLoopback, parseIpAddress } from "../../protocol/address/ip-address.ts";
import { formatIpAddress } from "../../protocol/address/ip-address.ts";

/** A recursive resolver. */
export interface DnsServer {
  readonly address: string;
  readonly port: number;
  readonly isLoopback: boolean;
}

/** `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53`, `[2001:db8::53]:5353`; undefined for other text. */
export function parseDnsServer(text: string): DnsServer | undefined {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text);
  const dotted = /^([\d.]+):(\d{1,5})$/.exec(text);
  const address = parseIpAddress(bracketed?.[1] ?? dotted?.[1] ?? text);
  const port = Number(bracketed?.[2] ?? dotted?.[2] ?? 53);
  if (address === undefined || port < 1 || port > 65_535) return undefined;
  return { address: formatIpAddress(address), port, isLoopback: isLoopback(address) };
}

/** The servers of a resolv.conf(5), at most three as everywhere. Lines that say something else are passed over. */
export function serversOfResolvConf(text: string): readonly DnsServer[] {
  const servers: DnsServer[] = [];
  for (const line of text.split("\n")) {
    const address = /^\s*nameserver\s+([^\s#;]+)/.exec(line)?.[1];
    // A zone id names an interface; the address alone is what can be asked without it.
    const server = address === undefined ? undefined : parseDnsServer(address.replace(/%.*$/, ""));
    if (server !== undefined && servers.length < 3) servers.push(server);
  }
  return servers;
}

export function serverText(server: DnsServer): string {
  return server.address.includes(":") ? `[${server.address}]:${server.port}` : `${server.address}:${server.port}`;
}
