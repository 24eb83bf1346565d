import { parseIpAddress } from "../protocol/address/ip-address.ts";
import { canonicalName, reverseName } from "../protocol/dns/name.ts";
import type { DnsAnswer, DnsFinding, MxRecord, Resolver } from "../protocol/dns/resolver.ts";

/**
 * A DNS in memory: what names have, which lookups fail, which answers are secure. Absent names do not exist; a name with
 * other records than those asked for exists without them.
 */
export interface ZoneEntry {
  /** `"10 mx.example"`; `"0 ."` is the null MX. */
  readonly mx?: readonly string[] | undefined;
  readonly a?: readonly string[] | undefined;
  readonly aaaa?: readonly string[] | undefined;
  readonly txt?: readonly string[] | undefined;
  readonly ptr?: readonly string[] | undefined;
  readonly cname?: string | undefined;
  /** Every lookup of the name fails so; or those of the named types. */
  readonly fails?: DnsFinding["reason"] | Partial<Record<ZoneType, DnsFinding["reason"]>> | undefined;
  readonly secure?: boolean | undefined;
  readonly ttlMs?: number | undefined;
}

export type ZoneType = "mx" | "a" | "aaaa" | "txt" | "ptr";

export interface Zone extends Resolver {
  /** Changes a name; `undefined` takes it away. */
  set(name: string, entry: ZoneEntry | undefined): void;
  /** Each question asked, oldest first: `mx example.org`. */
  readonly asked: readonly string[];
}

const DEFAULT_TTL_MS = 3_600_000;
const MOST_ALIASES = 8;

/** Addresses get their reverse names by themselves, unless `ptr` under the reverse name says otherwise. */
export function createZone(names: Readonly<Record<string, ZoneEntry>>): Zone {
  const entries = new Map<string, ZoneEntry>();
  const asked: string[] = [];
  const set = (name: string, entry: ZoneEntry | undefined): void => {
    if (entry === undefined) entries.delete(canonicalName(name));
    else entries.set(canonicalName(name), entry);
  };
  for (const [name, entry] of Object.entries(names)) set(name, entry);

  const look = <Value>(
    written: string,
    type: ZoneType,
    pick: (entry: ZoneEntry) => readonly Value[] | undefined,
  ): DnsAnswer<readonly Value[]> => {
    let name = canonicalName(written);
    asked.push(`${type} ${name}`);
    let isSecure = true;
    for (let links = 0; links < MOST_ALIASES; links++) {
      const entry = entries.get(name);
      if (entry === undefined) return { kind: "none", because: "no-such-name", ttlMs: DEFAULT_TTL_MS, secure: false };
      const reason = typeof entry.fails === "string" ? entry.fails : entry.fails?.[type];
      if (reason !== undefined)
        return {
          kind: "failed",
          finding: { reason, name, type: type.toUpperCase(), server: "zone", text: `the zone says ${reason}` },
        };
      isSecure &&= entry.secure === true;
      const ttlMs = entry.ttlMs ?? DEFAULT_TTL_MS;
      const records = pick(entry);
      if (records !== undefined && records.length > 0) return { kind: "found", records, ttlMs, secure: isSecure };
      if (entry.cname === undefined) return { kind: "none", because: "no-such-record", ttlMs, secure: isSecure };
      name = canonicalName(entry.cname);
    }
    return {
      kind: "failed",
      finding: { reason: "cname-loop", name, type: type.toUpperCase(), server: "zone", text: "aliases in a circle" },
    };
  };

  const reverse = (address: string): DnsAnswer<readonly string[]> => {
    const own = reverseName(address);
    if (own !== undefined && entries.has(own)) return look(own, "ptr", (entry) => entry.ptr);
    asked.push(`ptr ${address}`);
    const holders = [...entries].filter(([, entry]) => entry.a?.includes(address) || entry.aaaa?.includes(address));
    if (holders.length === 0) return { kind: "none", because: "no-such-name", ttlMs: DEFAULT_TTL_MS, secure: false };
    return { kind: "found", records: holders.map(([name]) => name), ttlMs: DEFAULT_TTL_MS, secure: false };
  };

  return {
    asked,
    set,
    mx: (domain) => Promise.resolve(look(domain, "mx", (entry) => entry.mx?.map(mxOf))),
    ipv4: (host) => Promise.resolve(look(host, "a", (entry) => entry.a)),
    ipv6: (host) => Promise.resolve(look(host, "aaaa", (entry) => entry.aaaa)),
    txt: (name) => Promise.resolve(look(name, "txt", (entry) => entry.txt)),
    ptr: (address) => Promise.resolve(reverse(address)),
  };
}

/**
 * A zone from text, one record a line: `example.org. MX 10 mx.example.org.`; types A, AAAA, MX, TXT, PTR, CNAME, and FAIL
 * with a reason. `;` begins a comment. Throws for a line that says nothing of the kind: a person wrote it.
 */
export function zoneFromText(text: string): Zone {
  const names: Record<string, ZoneEntry> = {};
  for (const [index, line] of text.split("\n").entries()) {
    const words = line.replace(/(^|\s);.*$/, "").trim();
    if (words === "") continue;
    const match = /^(\S+)\s+(?:\d+\s+)?(?:IN\s+)?([A-Z]+)\s+(.+)$/i.exec(words);
    const name = canonicalName(match?.[1] ?? "");
    const type = match?.[2]?.toLowerCase();
    const data = match?.[3] ?? "";
    const entry = names[name] ?? {};
    if (type === "mx" || type === "ptr") names[name] = { ...entry, [type]: [...(entry[type] ?? []), data] };
    else if (type === "txt") names[name] = { ...entry, txt: [...(entry.txt ?? []), data.replace(/^"(.*)"$/, "$1")] };
    else if ((type === "a" || type === "aaaa") && parseIpAddress(data) !== undefined)
      names[name] = { ...entry, [type]: [...(entry[type] ?? []), data] };
    else if (type === "cname") names[name] = { ...entry, cname: data };
    else if (type === "fail" && isReason(data)) names[name] = { ...entry, fails: data };
    else throw new TypeError(`zone line ${index + 1}: not a record: ${line}`);
  }
  return createZone(names);
}

function mxOf(text: string): MxRecord {
  const [preference = "0", exchange = ""] = text.trim().split(/\s+/);
  return { preference: Number(preference), exchange: canonicalName(exchange === "." ? "" : exchange) };
}

function isReason(text: string): text is DnsFinding["reason"] {
  return ["timeout", "servfail", "refused", "bogus", "malformed", "unreachable", "cname-loop"].includes(text);
}
