import { isLoopback, parseIpAddress } from "../../protocol/address/ip-address.ts";
import { networkContains } from "../../service/table/network.ts";
import { NULL_SENDER, patternMatches } from "../../service/table/pattern.ts";
import type { Tables } from "../../service/table/tables.ts";
import type { Condition } from "./condition.ts";
import { member, type Holds } from "./local-names.ts";
import type { SessionFactsForRules } from "./policy.ts";
import type { Match } from "./settings.ts";

/** One recipient of one session, folded once for all rules. */
export interface Candidate {
  readonly facts: SessionFactsForRules;
  /** `user@domain`, folded as tables are. */
  readonly recipient: string;
  readonly domain: string;
  readonly isLocal: boolean;
  /** The sender, folded; the null sender is `<>`. */
  readonly sender: string;
  /** For mail that we make ourselves: what asks who gives us the mail is taken as answered well. */
  readonly isOurOwn: boolean;
}

/** Whether all that a rule asks for is so. Stops at the first no; a table that fails is told only when it matters. */
export async function matches(match: Match, candidate: Candidate, tables: Tables): Promise<Holds> {
  const { not, ...asked } = match;
  for (const part of partsOf(asked)) {
    const holds = await partHolds(part, candidate, tables);
    if (holds !== true) return holds;
  }
  // What our own mail cannot be asked is not held against it either.
  for (const part of partsOf(not ?? {})) {
    if (candidate.isOurOwn && WHO.has(part.name)) continue;
    const holds = await partHolds(part, candidate, tables);
    if (holds === true) return false;
    if (holds !== false) return holds;
  }
  return true;
}

type Asked = Omit<Match, "not">;
type Part = { [Name in keyof Asked]-?: { readonly name: Name; readonly value: NonNullable<Asked[Name]> } }[keyof Asked];

/** Cheap questions first: tables of recipients and senders may have to be read. */
const ORDER = [
  "tls",
  "certificateVerified",
  "listener",
  "tag",
  "auth",
  "certificateFingerprint",
  "certificateName",
  "certificateSubject",
  "from",
  "helo",
  "for",
  "rcptTo",
  "mailFrom",
] as const;
const WHO: ReadonlySet<string> = new Set(ORDER.slice(0, ORDER.indexOf("for")));

function partsOf(asked: Asked): readonly Part[] {
  // Name and value come from the same object under the same name, which the union cannot see.
  return ORDER.filter((name) => asked[name] !== undefined).map((name) => ({ name, value: asked[name] }) as Part);
}

async function partHolds(part: Part, candidate: Candidate, tables: Tables): Promise<Holds> {
  const { facts } = candidate;
  if (candidate.isOurOwn && WHO.has(part.name)) return true;
  switch (part.name) {
    case "tls":
      return facts.isEncrypted === part.value;
    case "listener":
      return listHolds(part.value, facts.listener, tables);
    case "tag":
      return listHolds(part.value, facts.tag, tables);
    case "auth":
      return listHolds(part.value, facts.account, tables);
    case "certificateVerified":
      return (facts.certificate?.isVerified === true) === part.value;
    case "certificateFingerprint":
      return listHolds(part.value, facts.certificate?.fingerprints.flatMap(spellings), tables);
    case "certificateName":
      return listHolds(part.value, facts.certificate?.names, tables);
    case "certificateSubject":
      return listHolds(part.value, facts.certificate?.subject, tables);
    case "from":
      return listHolds(part.value, facts.clientAddress ?? "", tables, (condition) => sourceHolds(condition, facts));
    case "helo":
      return listHolds(part.value, facts.helo, tables);
    case "for":
      return listHolds(
        part.value,
        candidate.domain,
        tables,
        (condition) => condition.kind === "local" && candidate.isLocal,
      );
    case "rcptTo":
      return listHolds(part.value, candidate.recipient, tables);
    case "mailFrom":
      return listHolds(part.value, candidate.sender, tables);
  }
}

/** A table may have a fingerprint plain, or with colons as openssl prints it. */
function spellings(fingerprint: string): readonly string[] {
  return [fingerprint, fingerprint.match(/../g)?.join(":") ?? fingerprint];
}

function sourceHolds(condition: Condition, facts: SessionFactsForRules): Holds {
  switch (condition.kind) {
    case "certificate":
      return facts.certificate?.mayRelay ?? false;
    case "auth":
      return facts.account !== undefined;
    case "local": {
      // No address is a unix socket: this host.
      const address = facts.clientAddress === undefined ? undefined : parseIpAddress(facts.clientAddress);
      return facts.clientAddress === undefined || (address !== undefined && isLoopback(address));
    }
    case "network":
      return facts.clientAddress !== undefined && networkContains(condition.network, facts.clientAddress);
    case "any":
    case "table":
    case "pattern":
      return false;
  }
}

/**
 * One that is not negated holds (if there is such a one), and none that is negated. Nothing holds of what is not there.
 * Of several subjects each condition holds when it holds of one of them.
 */
async function listHolds(
  conditions: readonly Condition[],
  subject: string | readonly string[] | undefined,
  tables: Tables,
  special: (condition: Condition) => Holds = () => false,
): Promise<Holds> {
  const subjects = typeof subject === "string" ? [subject] : (subject ?? []);
  if (subjects.length === 0) return false;
  let holds = conditions.every((condition) => condition.isNegated);
  for (const condition of conditions) {
    // Once one holds, only a negated one can change that.
    if (holds && !condition.isNegated) continue;
    const one = await holdsOfOne(condition, subjects, tables, special);
    if (typeof one !== "boolean") return one;
    if (one && condition.isNegated) return false;
    if (one) holds = true;
  }
  return holds;
}

async function holdsOfOne(
  condition: Condition,
  subjects: readonly string[],
  tables: Tables,
  special: (condition: Condition) => Holds,
): Promise<Holds> {
  for (const subject of subjects) {
    const holds = await conditionHolds(condition, subject, tables, special);
    if (holds !== false) return holds;
  }
  return false;
}

async function conditionHolds(
  condition: Condition,
  subject: string,
  tables: Tables,
  special: (condition: Condition) => Holds,
): Promise<Holds> {
  switch (condition.kind) {
    case "any":
      return true;
    case "table":
      return subject === "" ? false : member(tables.get(condition.name), condition.name, subject);
    case "pattern":
      return patternMatches(condition.pattern, subject === NULL_SENDER ? subject : subject.toLowerCase());
    case "local":
    case "auth":
    case "certificate":
    case "network":
      return special(condition);
  }
}
