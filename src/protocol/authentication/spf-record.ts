import { parseIpNetwork, type IpNetwork } from "../address/ip-address.ts";

/** A record of SPF as terms (RFC 7208 sections 4.6 and 5). One wrong term makes all of it void, wherever it stands. */
export interface SpfRecord {
  readonly directives: readonly SpfDirective[];
  readonly redirect?: string | undefined;
  readonly explanation?: string | undefined;
}

export interface SpfDirective {
  readonly result: "pass" | "fail" | "softfail" | "neutral";
  readonly mechanism: SpfMechanism;
  /** As written, for people. */
  readonly text: string;
}

/** `domain` holds macros; without it the current domain is meant. Prefixes are leading bits. */
export type SpfMechanism =
  | { readonly kind: "all" }
  | { readonly kind: "include" | "exists"; readonly domain: string }
  | {
      readonly kind: "a" | "mx";
      readonly domain?: string | undefined;
      readonly prefix4: number;
      readonly prefix6: number;
    }
  | { readonly kind: "ptr"; readonly domain?: string | undefined }
  | { readonly kind: "ip"; readonly network: IpNetwork };

const VERSION = /^v=spf1(?: |$)/i;
const MODIFIER = /^([a-z][a-z0-9._-]*)=(.*)$/is;
const DIRECTIVE = /^([+?~-]?)([a-z][a-z0-9]*)([:/].*)?$/is;
const RESULTS = { "+": "pass", "-": "fail", "~": "softfail", "?": "neutral" } as const;

export function isSpfRecord(text: string): boolean {
  return VERSION.test(text);
}

/** Undefined is a permanent error. */
export function parseSpfRecord(text: string): SpfRecord | undefined {
  // RFC 7208 section 3.1: US-ASCII; and only spaces part the terms.
  if (/[^\x20-\x7e]/.test(text)) return undefined;
  const directives: SpfDirective[] = [];
  const modifiers = new Map<string, string>();
  for (const term of text.split(" ").slice(1)) {
    if (term === "") continue;
    const modifier = MODIFIER.exec(term);
    if (modifier !== null) {
      const name = (modifier[1] ?? "").toLowerCase();
      const value = modifier[2] ?? "";
      const isKnown = name === "redirect" || name === "exp";
      if (isKnown ? !isDomainSpec(value) || modifiers.has(name) : !isMacroString(value)) return undefined;
      modifiers.set(name, value);
      continue;
    }
    const directive = parseDirective(term);
    if (directive === undefined) return undefined;
    directives.push(directive);
  }
  return { directives, redirect: modifiers.get("redirect"), explanation: modifiers.get("exp") };
}

function parseDirective(term: string): SpfDirective | undefined {
  const match = DIRECTIVE.exec(term);
  if (match === null) return undefined;
  const [, sign = "", name = "", rest = ""] = match;
  const mechanism = parseMechanism(name.toLowerCase(), rest);
  // The pattern lets only these through.
  const result = RESULTS[(sign === "" ? "+" : sign) as keyof typeof RESULTS];
  return mechanism === undefined ? undefined : { result, mechanism, text: term };
}

function parseMechanism(name: string, rest: string): SpfMechanism | undefined {
  switch (name) {
    case "all":
      return rest === "" ? { kind: "all" } : undefined;
    case "include":
    case "exists":
      return rest.startsWith(":") && isDomainSpec(rest.slice(1)) ? { kind: name, domain: rest.slice(1) } : undefined;
    case "ptr":
      if (rest === "") return { kind: "ptr" };
      return rest.startsWith(":") && isDomainSpec(rest.slice(1)) ? { kind: "ptr", domain: rest.slice(1) } : undefined;
    case "a":
    case "mx":
      return withPrefixes(name, rest);
    case "ip4":
    case "ip6": {
      const network = rest.startsWith(":") ? parseIpNetwork(rest.slice(1)) : undefined;
      return network?.address.family === Number(name[2]) ? { kind: "ip", network } : undefined;
    }
    default:
      return undefined;
  }
}

/** RFC 7208 section 5.3: `a:domain/24//64`, each part of it optional. */
function withPrefixes(kind: "a" | "mx", rest: string): SpfMechanism | undefined {
  const match = /^(?::(.*?))?(?:\/([0-9]{1,2}))?(?:\/\/([0-9]{1,3}))?$/s.exec(rest);
  if (match === null) return undefined;
  const [, domain, four, six] = match;
  if (domain !== undefined && !isDomainSpec(domain)) return undefined;
  const prefix4 = prefixIn(four, 32);
  const prefix6 = prefixIn(six, 128);
  return prefix4 === undefined || prefix6 === undefined ? undefined : { kind, domain, prefix4, prefix6 };
}

function prefixIn(text: string | undefined, most: number): number | undefined {
  if (text === undefined) return most;
  return /^(?:0|[1-9][0-9]*)$/.test(text) && Number(text) <= most ? Number(text) : undefined;
}

const MACRO = "%(?:%|_|-|\\{[slodiphcrtv][0-9]*r?[.\\-+,/_=]*\\})";
const MACRO_STRING = new RegExp(`^(?:${MACRO}|[\\x21-\\x24\\x26-\\x7e])*$`, "i");
/**
 * RFC 7208 section 7.1: it ends in a macro, or in a dot and a label with a letter or a hyphen in it. No two repetitions may
 * share a character: a record may be as long as a message of the DNS, and its owner chooses it.
 */
const DOMAIN_END = new RegExp(
  `(?:%\\{[slodiphcrtv][0-9]*r?[.\\-+,/_=]*\\}|%[%_-]|\\.(?=[0-9]*[a-z-])[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\\.?)$`,
  "i",
);

export function isMacroString(text: string): boolean {
  return MACRO_STRING.test(text) && !/%\{[a-z]0+r?[^0-9a-z]*\}/i.test(text);
}

/** In a domain the letters c, r and t are unknown: they are for explanations. */
function isDomainSpec(text: string): boolean {
  return isMacroString(text) && !/%\{[crt]/i.test(text) && DOMAIN_END.test(text);
}
