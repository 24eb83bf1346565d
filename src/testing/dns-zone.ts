import type { DnsAnswer, Resolver } from "../protocol/dns/resolver.ts";

/** A zone in memory: `{ "example.org MX": ["10 mail.example.org"], "x A": "fail" }`. Names that are nowhere do not exist. */
export function zoneResolver(zone: Readonly<Record<string, readonly string[] | "fail" | "hang">>): Resolver & {
  /** What was asked, in order. */
  readonly asked: readonly string[];
} {
  const asked: string[] = [];
  const names = new Set(Object.keys(zone).map((key) => key.split(" ")[0]));
  const answer = async <Value>(
    name: string,
    type: string,
    read: (text: string) => Value,
  ): Promise<DnsAnswer<readonly Value[]>> => {
    asked.push(`${name} ${type}`);
    const found = zone[`${name} ${type}`];
    const common = { ttlMs: 1000, secure: false } as const;
    if (found === "hang") return new Promise<never>(() => {});
    if (found === "fail")
      return { kind: "failed", finding: { reason: "timeout", name, type, server: "127.0.0.1:53", text: "no answer" } };
    if (found !== undefined) return { kind: "found", records: found.map(read), ...common };
    return { kind: "none", because: names.has(name) ? "no-such-record" : "no-such-name", ...common };
  };
  const text = (same: string): string => same;
  return {
    asked,
    mx: (domain) =>
      answer(domain, "MX", (record) => {
        const [preference = "0", exchange = ""] = record.split(" ");
        return { preference: Number(preference), exchange };
      }),
    ipv4: (host) => answer(host, "A", text),
    ipv6: (host) => answer(host, "AAAA", text),
    ptr: (address) => answer(address, "PTR", text),
    txt: (name) => answer(name, "TXT", text),
  };
}
