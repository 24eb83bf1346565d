import { domainToASCII } from "node:url";
import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import { lastAt } from "../../protocol/address/mailbox.ts";

/**
 * What a key of a list can say about domains and addresses, folded as lookups are: lower case, domains as A-labels.
 *
 * | written | matches |
 * |---|---|
 * | `example.org` | the domain, and every address in it |
 * | `*.example.org`, `.example.org` | every domain below it, not the domain itself, and the addresses there |
 * | `@example.org` | every address in the domain |
 * | `user@example.org` | that address |
 * | `user@` | that local part in every domain |
 * | `<>` | the null sender |
 * | `*` | everything |
 */
export type Pattern =
  | { readonly kind: "exact"; readonly key: string }
  | { readonly kind: "below"; readonly domain: string }
  | { readonly kind: "all" };

export function parsePattern(text: string): Result<Pattern, Problem> {
  const trimmed = text.trim();
  if (trimmed === "*") return ok({ kind: "all" });
  if (trimmed === "<>") return ok({ kind: "exact", key: NULL_SENDER });
  const below = /^(?:\*\.|\.|@\*\.|@\.)(?=[^.])/.exec(trimmed);
  const rest = below === null ? trimmed : trimmed.slice(below[0].length);
  if (rest === "" || /[\s*]/.test(rest.replace(/^".*"@/s, "@")))
    return refused({ at: 0, expected: "a domain, *.domain, @domain or user@domain" });
  if (below !== null && rest.includes("@")) return refused({ at: 0, expected: "a domain behind *." });
  return ok(below === null ? { kind: "exact", key: foldKey(rest) } : { kind: "below", domain: foldDomain(rest) });
}

/** The null sender is written `<>` in lists; its key cannot be empty. */
export const NULL_SENDER = "<>";

/**
 * The name of a person, or the local part of an address, as tables know it: lower case, in one Unicode form (NFC, as RFC 5198
 * section 3 and RFC 6532 section 3.1 want it), however a keyboard or a system writes its accents.
 */
export function foldName(name: string): string {
  return /^[\x00-\x7f]*$/.test(name) ? name.toLowerCase() : name.normalize("NFC").toLowerCase().normalize("NFC");
}

/** A key as tables know it: the local part as names are, the domain part as A-labels without a final dot. */
export function foldKey(key: string): string {
  const at = atOf(key);
  if (at < 0) return foldDomain(key);
  return `${foldName(key.slice(0, at))}@${foldDomain(key.slice(at + 1))}`;
}

/** An address as somebody writes it who means one of the queue: without the angle brackets of a log line, its domain as there. */
export function foldWritten(address: string): string {
  const bare = /^<(.+)>$/s.exec(address)?.[1] ?? address;
  const at = atOf(bare);
  return at < 0 ? bare : `${bare.slice(0, at)}@${foldDomain(bare.slice(at + 1))}`;
}

/** Lower case and A-labels (RFC 5890), so that `Bücher.example` and `xn--bcher-kva.example` are one. */
export function foldDomain(domain: string): string {
  const plain = domain.endsWith(".") ? domain.slice(0, -1).toLowerCase() : domain.toLowerCase();
  // Only names beyond ASCII need the mapping; it also refuses, with "", what is no name: that is looked up as written.
  if (/^[\x00-\x7f]*$/.test(plain)) return plain;
  return domainToASCII(plain) || plain;
}

/** Where the domain of an address begins: its last `@`, an address literal's own content aside; -1 without a domain. */
export function atOf(address: string): number {
  return address.endsWith("]") ? address.lastIndexOf("@[") : lastAt(address);
}

/** The keys under which a domain or address can stand, the most exact first; `below` ones are marked. */
export function candidates(folded: string): readonly { readonly below: boolean; readonly key: string }[] {
  const at = atOf(folded);
  const domain = folded.slice(at + 1);
  const keys = [{ below: false, key: folded }];
  if (at >= 0) {
    const user = folded.slice(0, at);
    if (user !== "" && domain !== "") {
      keys.push({ below: false, key: `${user}@` }, { below: false, key: `@${domain}` }, { below: false, key: domain });
    }
  }
  for (let dot = domain.indexOf("."); dot >= 0; dot = domain.indexOf(".", dot + 1)) {
    keys.push({ below: true, key: domain.slice(dot + 1) });
  }
  return keys;
}

/** `folded` is a key that went through `foldKey`. */
export function patternMatches(pattern: Pattern, folded: string): boolean {
  if (pattern.kind === "all") return true;
  return candidates(folded).some((candidate) =>
    pattern.kind === "below"
      ? candidate.below && candidate.key === pattern.domain
      : !candidate.below && candidate.key === pattern.key,
  );
}
