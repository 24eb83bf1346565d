import { isIP } from "node:net";
import { ok, refused, type Result } from "../../foundation/result.ts";
import type { Rate } from "../../foundation/units.ts";
import { canonicalIpText } from "../../protocol/address/ip-address.ts";
import { foldDomain } from "../../service/table/pattern.ts";
import type { SourceChoice } from "../envelope/source.ts";
import type { RetrySchedule } from "./retry-schedule.ts";

/**
 * Shaping: what may be done towards some destinations, other than `route.limits` say. A table by pattern rather than an
 * ordered list: two rules for one destination are merged value by value, the more exact pattern first, and moving a line
 * changes nothing.
 *
 *     example.com, *.example.com, *            the recipients' domain
 *     mx:mx1.example.net, mx:*.google.com, mx:192.0.2.1, mx:*     the next host's name, or its address
 *
 * A wildcard stands for whole labels, one or more. A domain's rule counts what carries mail for that domain; a host's rule
 * what goes to one address of that host, whichever of thousands of domains it is for.
 */
export interface ShapingRule {
  /** For each domain that matches, or each address of a host. */
  readonly connections?: number | undefined;
  readonly connectionsPerSource?: number | undefined;
  readonly mailsPerConnection?: number | undefined;
  readonly recipientsPerMail?: number | undefined;
  readonly domainsPerMail?: number | undefined;
  readonly rate?: Rate | undefined;
  readonly connectionRate?: Rate | undefined;
  readonly connectTimeout?: number | undefined;
  readonly sources?: SourceChoice | undefined;
  /** Of a domain's envelopes. */
  readonly retry?: RetrySchedule | undefined;
  /** For all that the pattern matches, counted as one. */
  readonly together?: Together | undefined;
}

export interface Together {
  readonly connections?: number | undefined;
  readonly rate?: Rate | undefined;
  readonly connectionRate?: Rate | undefined;
}

export interface ShapingPattern {
  readonly of: "domain" | "host";
  /** `example.com`, `*.example.com`, `*`, `2001:db8::1`. */
  readonly key: string;
}

const HOST = "mx:";

export function parseShapingPattern(written: string): Result<ShapingPattern, string> {
  const isHost = written.toLowerCase().startsWith(HOST);
  const text = (isHost ? written.slice(HOST.length) : written).trim();
  const of = isHost ? "host" : "domain";
  if (text === "*") return ok({ of, key: "*" });
  const bare = canonicalIpText(text.replace(/^\[(?:ipv6:)?(.*)\]$/i, "$1"));
  if (bare !== undefined)
    return isHost ? ok({ of, key: bare }) : refused(`an address is a host's: expected mx:${bare}, got ${quoted(text)}`);
  const below = /^\*?\.(?=[^.])/.exec(text)?.[0];
  const name = foldDomain(text.slice(below?.length ?? 0));
  if (name.includes("*")) return refused(`expected * for whole labels, in front only, got ${quoted(text)}`);
  if (name.length > 253 || !/^[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*$/.test(name))
    return refused(`expected a domain, *.domain, mx: and a host's name, mx:*.domain or *, got ${quoted(text)}`);
  return ok({ of, key: below === undefined ? name : `*.${name}` });
}

/** What does not go together with a pattern of its kind. */
export function ruleProblem(
  of: ShapingPattern["of"],
  rule: ShapingRule,
): { readonly name: keyof ShapingRule; readonly text: string } | undefined {
  if (of === "domain" && rule.connectionsPerSource !== undefined)
    return { name: "connectionsPerSource", text: "is for a host's addresses: it goes with a pattern mx:…" };
  if (of === "host" && rule.retry !== undefined)
    return { name: "retry", text: "is for the mail of a domain: it goes with a pattern without mx:" };
  return undefined;
}

/** The keys that match a name, the most exact first. */
export function keysFor(name: string): readonly string[] {
  const folded = foldDomain(name);
  const keys = [folded];
  if (isIP(folded) === 0)
    for (let dot = folded.indexOf("."); dot >= 0; dot = folded.indexOf(".", dot + 1))
      keys.push(`*.${folded.slice(dot + 1)}`);
  keys.push("*");
  return keys;
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}
