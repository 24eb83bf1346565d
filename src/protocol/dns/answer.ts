import { QUESTION_TYPES, type DnsData, type DnsMessage, type QuestionType } from "./message.ts";
import { canonicalName } from "./name.ts";

/** What one response says about one question. */
export type Reading =
  | {
      readonly kind: "found";
      readonly data: readonly DnsData[];
      readonly ttlSeconds: number;
      readonly isAuthenticated: boolean;
    }
  | {
      readonly kind: "none";
      readonly because: "no-such-name" | "no-such-record";
      /** Undefined without an SOA: such an answer is not to be kept (RFC 2308 section 5). */
      readonly ttlSeconds: number | undefined;
      readonly isAuthenticated: boolean;
    }
  /** The response ends at an alias whose target it does not tell about: ask for that. */
  | {
      readonly kind: "alias";
      readonly to: string;
      readonly links: number;
      readonly ttlSeconds: number;
      readonly isAuthenticated: boolean;
    }
  | { readonly kind: "loop" }
  | { readonly kind: "failed"; readonly rcode: number };

/** The longest chain of aliases anybody follows. */
export const MOST_ALIASES = 12;
const NO_ERROR = 0;
const NAME_ERROR = 3;

/** Follows the aliases inside one response (RFC 1034 section 3.6.2) to the records asked for, or to their absence. */
export function readAnswer(message: DnsMessage, name: string, type: QuestionType): Reading {
  if (message.rcode !== NO_ERROR && message.rcode !== NAME_ERROR) return { kind: "failed", rcode: message.rcode };
  const isAuthenticated = message.isAuthenticated;
  let owner = canonicalName(name);
  let ttlSeconds = Number.MAX_SAFE_INTEGER;
  const seen = new Set([owner]);
  for (;;) {
    const mine = message.answers.filter((record) => record.name === owner);
    const wanted = mine.filter((record) => record.data.type === type);
    if (wanted.length > 0) {
      for (const record of wanted) ttlSeconds = Math.min(ttlSeconds, record.ttlSeconds);
      return { kind: "found", data: wanted.map((record) => record.data), ttlSeconds, isAuthenticated };
    }
    const alias = mine.find((record) => record.data.type === "CNAME");
    if (alias?.data.type !== "CNAME") break;
    owner = alias.data.name;
    ttlSeconds = Math.min(ttlSeconds, alias.ttlSeconds);
    if (seen.has(owner) || seen.size > MOST_ALIASES) return { kind: "loop" };
    seen.add(owner);
  }
  const soa = message.authorities.find((record) => record.data.type === "SOA");
  // RFC 2308 section 5: the lesser of the SOA's own TTL and its last field.
  if (soa?.data.type === "SOA") ttlSeconds = Math.min(ttlSeconds, soa.ttlSeconds, soa.data.minimumSeconds);
  else if (message.rcode === NO_ERROR && seen.size > 1)
    return { kind: "alias", to: owner, links: seen.size - 1, ttlSeconds, isAuthenticated };
  // RFC 6604: the code speaks of the last name of the chain.
  return {
    kind: "none",
    because: message.rcode === NAME_ERROR ? "no-such-name" : "no-such-record",
    ttlSeconds: soa === undefined ? undefined : ttlSeconds,
    isAuthenticated,
  };
}

/**
 * Does it only name other servers, or nothing at all because this one asks nobody? RFC 1034 section 4.3.1, and RFC 2308
 * section 2.2: only with an SOA, or from a server of the zone or one that recurses, does an empty answer say that there is none.
 */
export function isReferral(message: DnsMessage): boolean {
  const { rcode, answers, authorities, isAuthoritative, isRecursive } = message;
  if (rcode !== NO_ERROR || answers.length > 0 || isAuthoritative) return false;
  const hasAuthority = (type: "SOA" | "NS"): boolean => authorities.some((record) => record.data.type === type);
  return !hasAuthority("SOA") && (!isRecursive || hasAuthority("NS"));
}

/** Is this the answer to that question, and not somebody else's? The name's letter case counts when `exactCase`. */
export function answersQuestion(
  message: DnsMessage,
  id: number,
  name: string,
  type: QuestionType,
  exactCase: boolean,
): boolean {
  if (message.id !== id || !message.isResponse || message.opcode !== 0) return false;
  const [question] = message.questions;
  // Some servers leave the question out when they refuse; only the id and the socket vouch for those, so only errors may.
  if (question === undefined) return message.rcode !== NO_ERROR && message.rcode !== NAME_ERROR;
  if (question.type !== QUESTION_TYPES[type]) return false;
  return exactCase ? question.name === name : question.name.toLowerCase() === name.toLowerCase();
}
