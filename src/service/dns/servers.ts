import { formatIpAddress, isLoopback, parseIpAddress } from "../../protocol/address/ip-address.ts";

/** A recursive resolver. */
export interface DnsServer {
  /** With the zone of a link-local one (RFC 4007 section 11): `fe80::1%eth0`. */
  readonly address: string;
  readonly port: number;
  readonly isLoopback: boolean;
}

/** Who is asked, in this order. */
export interface KnownServers {
  readonly servers: readonly DnsServer[];
  /** What is odd about them, for whoever gets no answer of any. */
  readonly says?: string;
}

/** `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53`, `[2001:db8::53]:5353`, `fe80::1%eth0`; undefined for other text. */
export function parseDnsServer(text: string): DnsServer | undefined {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text);
  const dotted = /^([\d.]+):(\d{1,5})$/.exec(text);
  const [, written = "", zone] = /^([^%]+)(%[\w.:@-]{1,15})?$/.exec(bracketed?.[1] ?? dotted?.[1] ?? text) ?? [];
  const address = parseIpAddress(written);
  const port = Number(bracketed?.[2] ?? dotted?.[2] ?? 53);
  if (address === undefined || port < 1 || port > 65_535 || (zone !== undefined && address.family === 4))
    return undefined;
  return { address: `${formatIpAddress(address)}${zone ?? ""}`, port, isLoopback: isLoopback(address) };
}

/** The servers of a resolv.conf(5), at most three as everywhere. Lines that say something else are passed over. */
export function serversOfResolvConf(text: string): readonly DnsServer[] {
  const servers = text.split("\n").flatMap((line) => {
    const address = /^\s*nameserver\s+([^\s#;]+)/.exec(line)?.[1];
    return address === undefined ? [] : (parseDnsServer(address) ?? []);
  });
  return servers.slice(0, 3);
}

export function serverText(server: DnsServer): string {
  return server.address.includes(":") ? `[${server.address}]:${server.port}` : `${server.address}:${server.port}`;
}
