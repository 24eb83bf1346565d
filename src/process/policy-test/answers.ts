import type { DnsAnswer, DnsFinding, Resolver } from "../../protocol/dns/resolver.ts";
import type { Trial } from "./case.ts";

/**
 * What the world around says in the present trial, and what it was asked that the trial does not know. Whatever would need the
 * network asks here; nothing of it can reach the network.
 */
export interface Answers {
  trial: Pick<Trial, "dns" | "tables" | "filters" | "policy" | "greylisted" | "callout">;
  /** What would have been asked of the network, in words. */
  readonly unexpected: string[];
  /** Nothing is unexpected: what is not known says nothing (`check --compare`). */
  readonly isLenient: boolean;
}

export function noAnswers(isLenient: boolean): Answers {
  const trial = { dns: {}, tables: {}, filters: {}, policy: undefined, greylisted: false, callout: undefined };
  return { trial, unexpected: [], isLenient };
}

export function tellUnexpected({ unexpected }: Answers, what: string): void {
  if (!unexpected.includes(what)) unexpected.push(what);
}

/** Names that a trial says nothing about cannot be looked up. */
export const NOT_LOOKED_UP = "the trial does not say what the DNS answers";

export function madeUpResolver(answers: Answers): Resolver {
  const ask = async <Value>(
    name: string,
    type: string,
    read: (text: string) => Value,
  ): Promise<DnsAnswer<readonly Value[]>> => {
    const common = { ttlMs: 60_000, secure: false } as const;
    const found = zoneEntry(answers.trial.dns, name.toLowerCase());
    if (found === "none") return { kind: "none", because: "no-such-name", ...common };
    if (found === "fail") return { kind: "failed", finding: failed(name, type, "the trial says that it fails") };
    if (found === undefined) {
      tellUnexpected(answers, `DNS: ${type} of ${name}`);
      return { kind: "failed", finding: failed(name, type, NOT_LOOKED_UP) };
    }
    const records = Object.entries(found).find(([written]) => written.toUpperCase() === type)?.[1];
    if (records === undefined) return { kind: "none", because: "no-such-record", ...common };
    return { kind: "found", records: [records].flat().map(read), ...common };
  };
  const same = (text: string): string => text;
  return {
    mx: (domain) =>
      ask(domain, "MX", (text) => {
        const [, preference = "10", exchange = text] = /^(\d+)\s+(\S+)$/.exec(text) ?? [];
        return { preference: Number(preference), exchange: exchange.toLowerCase().replace(/\.$/, "") };
      }),
    ipv4: (host) => ask(host, "A", same),
    ipv6: (host) => ask(host, "AAAA", same),
    ptr: (address) => ask(address, "PTR", same),
    txt: (name) => ask(name, "TXT", same),
  };
}

type Zone = Trial["dns"];

/** The name's own entry; else what is said of all names below one of its parents, or of all others. */
function zoneEntry(zone: Zone, name: string): Zone[string] | undefined {
  const entries = new Map(
    Object.entries(zone).map(([written, entry]) => [written.toLowerCase().replace(/\.$/, ""), entry]),
  );
  const own = entries.get(name.replace(/\.$/, ""));
  if (own !== undefined) return own;
  const labels = name.replace(/\.$/, "").split(".");
  for (let at = 1; at < labels.length; at++) {
    const above = entries.get(labels.slice(at).join("."));
    if (typeof above === "string") return above;
  }
  return entries.get("*");
}

function failed(name: string, type: string, text: string): DnsFinding {
  return { reason: "unreachable", name, type, server: "", text };
}
