import { z } from "zod";
import { parseNetwork, type Network } from "../../service/table/network.ts";
import { parseFingerprint } from "../../service/tls/fingerprint.ts";
import { parsePattern, type Pattern } from "../../service/table/pattern.ts";

/**
 * One thing a rule can ask of a session or an envelope. `!` in front turns it round. Several in one list: one that is
 * not negated must hold (if there is such a one), and none that is negated may.
 */
export type Condition = { readonly isNegated: boolean } & (
  | { readonly kind: "any" | "local" | "auth" | "certificate" }
  | { readonly kind: "network"; readonly network: Network }
  | { readonly kind: "table"; readonly name: string }
  | { readonly kind: "pattern"; readonly pattern: Pattern }
);

/** any, local, auth, certificate, an address, a network, table:name */
export function sourceCondition(): z.ZodType<Condition, string> {
  return condition(
    "any, local, auth, certificate, an address, a network such as 192.0.2.0/24, or table:name",
    (text) => {
      if (text === "any" || text === "local" || text === "auth" || text === "certificate") return { kind: text };
      const network = parseNetwork(text);
      return network.ok ? { kind: "network", network: network.value } : `expected ${network.problem.expected}`;
    },
  );
}

/** any, local, a domain, *.domain, table:name */
export function domainCondition(): z.ZodType<Condition, string> {
  return condition("any, local, a domain, *.domain, or table:name", (text) => {
    if (text === "any" || text === "local") return { kind: text };
    if (text.includes("@")) return "expected a domain, not an address; rcpt-to and mail-from take addresses";
    return pattern(text);
  });
}

/** user@domain, @domain, a domain, *.domain, <>, table:name */
export function mailboxCondition(): z.ZodType<Condition, string> {
  return condition("an address, @domain, *.domain, <> or table:name", (text) =>
    text === "any" ? { kind: "any" } : pattern(text),
  );
}

/** any, a name, table:name */
export function nameCondition(): z.ZodType<Condition, string> {
  return condition("any, a name, or table:name", (text) =>
    text === "any" ? { kind: "any" } : { kind: "pattern", pattern: { kind: "exact", key: text.toLowerCase() } },
  );
}

/** A SHA-256 fingerprint as people write it, table:name */
export function fingerprintCondition(): z.ZodType<Condition, string> {
  return condition("a SHA-256 fingerprint (64 hexadecimal digits, with colons or without), or table:name", (text) => {
    const fingerprint = parseFingerprint(text);
    return fingerprint.ok
      ? { kind: "pattern", pattern: { kind: "exact", key: fingerprint.value } }
      : `expected ${fingerprint.problem.expected}`;
  });
}

/** A name or address in a certificate: a host, *.domain, user@domain, @domain, table:name */
export function certificateNameCondition(): z.ZodType<Condition, string> {
  return condition("any, a host name, *.domain, an e-mail address, @domain, or table:name", (text) =>
    text === "any" ? { kind: "any" } : pattern(text),
  );
}

type Bare = Condition extends infer Each ? (Each extends Condition ? Omit<Each, "isNegated"> : never) : never;

function pattern(text: string): Bare | string {
  const parsed = parsePattern(text);
  return parsed.ok ? { kind: "pattern", pattern: parsed.value } : `expected ${parsed.problem.expected}`;
}

function condition(allowed: string, parse: (text: string) => Bare | string): z.ZodType<Condition, string> {
  return z
    .string()
    .transform((written, context): Condition => {
      const isNegated = written.startsWith("!");
      const text = written.slice(isNegated ? 1 : 0).trim();
      const parsed =
        text === "" || text === "table:"
          ? `expected ${allowed}`
          : text.startsWith("table:")
            ? { kind: "table" as const, name: text.slice("table:".length) }
            : parse(text);
      if (typeof parsed !== "string") return { isNegated, ...parsed };
      context.addIssue({ code: "custom", message: parsed });
      return z.NEVER;
    })
    .meta({ kind: allowed });
}
