import { reverseName } from "../protocol/dns/name.ts";
import type { DnsAnswer, Resolver } from "../protocol/dns/resolver.ts";

/**
 * The zones of the SPF test suite (its "Schema" page): by name a list of `{ TYPE: data }`, or `TIMEOUT` for whatever is not
 * listed before it. A record of type SPF stands for TXT too, unless the name has a TXT of its own; `TXT: NONE` means none.
 */
export type SuiteZone = Readonly<Record<string, readonly (string | Readonly<Record<string, unknown>>)[]>>;

export function suiteResolver(zone: SuiteZone): Resolver {
  const names = new Map(Object.entries(zone).map(([name, entries]) => [name.toLowerCase(), entries]));
  const look = (name: string, type: string, links = 0): DnsAnswer<readonly unknown[]> => {
    const entries = names.get(name.toLowerCase().replace(/\.$/, ""));
    const common = { ttlMs: 1000, secure: false } as const;
    if (entries === undefined) return { kind: "none", because: "no-such-name", ...common };
    const records: unknown[] = [];
    const hasText = entries.some((entry) => typeof entry === "object" && "TXT" in entry);
    for (const entry of entries) {
      if (entry === "TIMEOUT") {
        if (records.length > 0) break;
        return {
          kind: "failed",
          finding: { reason: "timeout", name, type, server: "192.0.2.53:53", text: `${type} ${name}: no answer` },
        };
      }
      if (typeof entry !== "object") continue;
      for (const [kind, data] of Object.entries(entry)) {
        if (kind === "CNAME" && links < 8) return look(String(data), type, links + 1);
        const isWanted = kind === type || (kind === "SPF" && type === "TXT" && !hasText);
        if (isWanted && data !== "NONE") records.push(data);
      }
    }
    return records.length === 0
      ? { kind: "none", because: "no-such-record", ...common }
      : { kind: "found", records, ...common };
  };
  const ask = async <Value>(
    name: string,
    type: string,
    read: (data: unknown) => Value,
  ): Promise<DnsAnswer<readonly Value[]>> => {
    const answer = look(name, type);
    return answer.kind === "found" ? { ...answer, records: answer.records.map(read) } : answer;
  };
  return {
    mx: (domain) =>
      ask(domain, "MX", (data) => {
        const [preference, exchange] = data as [number, string];
        return { preference, exchange: exchange.toLowerCase().replace(/\.$/, "") };
      }),
    ipv4: (host) => ask(host, "A", String),
    ipv6: (host) => ask(host, "AAAA", String),
    ptr: (address) => ask(reverseOf(address), "PTR", String),
    txt: (name) => ask(name, "TXT", (data) => [data].flat().join("")),
  };
}

function reverseOf(address: string): string {
  const name = reverseName(address);
  if (name === undefined) throw new Error(`${address} is no address`);
  return name;
}
