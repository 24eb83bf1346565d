import { isLoopback, parseIpAddress } from "../../protocol/address/ip-address.ts";
import { networkContains } from "../../service/table/network.ts";
import { NULL_SENDER, patternMatches } from "../../service/table/pattern.ts";
import type { Tables } from "../../service/table/tables.ts";
import type { Condition } from "./condition.ts";
import { member, memberItself, type Holds } from "./local-names.ts";
import type { SessionFactsForRules } from "./policy.ts";
import type { Match } from "./rule-settings.ts";

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
  /** Of mail of our own: which tags it has, and which a client could have had from its listener. Absent: any. */
  readonly ownTags?: { readonly given: readonly string[]; readonly ofListeners: ReadonlySet<string> } | undefined;
  /** Is told why a rule does not match, for whoever wants it explained. */
  readonly onMiss?: ((miss: Miss) => void) | undefined;
}

/** The first condition that does not hold. */
export interface Miss {
  /** As the settings name it, `mailFrom`; `not` in front where it should not hold and does. */
  readonly condition: string;
  /** What it was asked of: `example.net`, `192.0.2.1`; empty: there is nothing of the kind. */
  readonly subject: string;
}

/** Whether all that a rule asks for is so. Stops at the first no; a table that fails is told only when it matters. */
export async function matches(match: Match, candidate: Candidate, tables: Tables): Promise<Holds> {
  const { not, ...asked } = match;
  for (const part of partsOf(asked)) {
    const answer = partHolds(part, candidate, tables);
    // Without a table it is known at once.
    const holds = answer instanceof Promise ? await answer : answer;
    if (holds === true) continue;
    candidate.onMiss?.({ condition: part.name, subject: subjectOf(part.name, candidate) });
    return holds;
  }
  // What our own mail cannot be asked is not held against it either.
  for (const part of not === undefined ? [] : partsOf(not)) {
    if (candidate.isOurOwn && WHO.has(part.name)) continue;
    const holds = await partHolds(part, candidate, tables);
    if (holds === false) continue;
    candidate.onMiss?.({ condition: `not ${part.name}`, subject: subjectOf(part.name, candidate) });
    return holds === true ? false : holds;
  }
  return true;
}

/** What a condition looks at, in the words of the log. */
function subjectOf(name: Part["name"], { facts, recipient, domain, sender }: Candidate): string {
  const { certificate } = facts;
  switch (name) {
    case "tls":
      return facts.isEncrypted ? "encrypted" : "not encrypted";
    case "listener":
      return facts.listener;
    case "tag":
      return tagsOf(facts).join(" ");
    case "auth":
      return facts.account ?? "";
    case "certificateVerified":
      return certificate === undefined ? "" : certificate.isVerified ? "verified" : "not verified";
    case "certificateFingerprint":
      return certificate?.fingerprints.join(" ") ?? "";
    case "certificateName":
      return certificate?.names.join(" ") ?? "";
    case "certificateSubject":
      return certificate?.subject ?? "";
    case "from":
      return facts.clientAddress ?? "this host";
    case "helo":
      return facts.helo ?? "";
    case "for":
      return domain;
    case "rcptTo":
      return recipient;
    case "mailFrom":
      return sender;
  }
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
/** Conditions about who gives the mail; not about where it goes, nor whose it is. */
export const WHO: ReadonlySet<string> = new Set(ORDER.slice(0, ORDER.indexOf("for")));

function partsOf(asked: Asked): readonly Part[] {
  // Name and value come from the same object under the same name, which the union cannot see.
  return ORDER.filter((name) => asked[name] !== undefined).map((name) => ({ name, value: asked[name] }) as Part);
}

function partHolds(part: Part, candidate: Candidate, tables: Tables): Holds | Promise<Holds> {
  const { facts } = candidate;
  if (candidate.isOurOwn && WHO.has(part.name))
    return part.name !== "tag" || ownTagHolds(part.value, candidate.ownTags, tables);
  switch (part.name) {
    case "tls":
      return facts.isEncrypted === part.value;
    case "listener":
      return listHolds(part.value, facts.listener, tables);
    case "tag":
      return listHolds(part.value, tagsOf(facts), tables);
    case "auth":
      return listHolds(part.value, facts.account, tables);
    case "certificateVerified":
      return (facts.certificate?.isVerified === true) === part.value;
    case "certificateFingerprint":
      return listHolds(part.value, facts.certificate?.fingerprints.flatMap(spellings), tables);
    case "certificateName":
      return listHolds(part.value, facts.certificate?.names, tables);
    case "certificateSubject":
      return listHolds(part.value, facts.certificate?.subject, tables, NOTHING_SPECIAL, true);
    case "from":
      return listHolds(part.value, facts.clientAddress ?? "", tables, (condition) => sourceHolds(condition, facts));
    case "helo":
      return listHolds(part.value, heloSpellings(facts.helo), tables);
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

/**
 * A tag of a listener says who gives the mail, and is answered well like all that asks so. One that only filters give says what
 * was found in a mail, and nobody found that in ours: else all notices would go where rules send spam.
 */
function ownTagHolds(
  wanted: readonly Condition[],
  known: Candidate["ownTags"],
  tables: Tables,
): Holds | Promise<Holds> {
  if (known === undefined) return true;
  const isOfFilters = (condition: Condition): boolean =>
    condition.kind === "pattern" && condition.pattern.kind === "exact" && !known.ofListeners.has(condition.pattern.key);
  const positive = wanted.filter(({ isNegated }) => !isNegated);
  if (positive.length === 0 || !positive.every(isOfFilters)) return true;
  return listHolds(wanted, known.given, tables);
}

/** The listener's, and those of filters. */
function tagsOf({ tag, tags = [] }: SessionFactsForRules): readonly string[] {
  return tag === undefined ? tags : [tag, ...tags];
}

/** A table may have a fingerprint plain, or with colons as openssl prints it. */
function spellings(fingerprint: string): readonly string[] {
  return [fingerprint, fingerprint.match(/../g)?.join(":") ?? fingerprint];
}

/** A name that ends with the root's dot is the same without it. */
function heloSpellings(helo: string | undefined): string | readonly string[] | undefined {
  return helo?.endsWith(".") === true ? [helo, helo.slice(0, -1)] : helo;
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
 * Of several subjects each condition holds when it holds of one of them. `isWhole`: what stands behind an `@` in it is no domain.
 */
function listHolds(
  conditions: readonly Condition[],
  subject: string | readonly string[] | undefined,
  tables: Tables,
  special: (condition: Condition) => Holds = NOTHING_SPECIAL,
  isWhole = false,
): Holds | Promise<Holds> {
  const [only] = conditions;
  if (conditions.length === 1 && only?.isNegated === false && typeof subject === "string")
    return conditionHolds(only, subject, tables, special, isWhole);
  const subjects = typeof subject === "string" ? [subject] : (subject ?? []);
  return subjects.length > 0 && listHoldsOf(conditions, subjects, tables, special, isWhole);
}

const NOTHING_SPECIAL = (): Holds => false;

async function listHoldsOf(
  conditions: readonly Condition[],
  subjects: readonly string[],
  tables: Tables,
  special: (condition: Condition) => Holds,
  isWhole: boolean,
): Promise<Holds> {
  let holds = conditions.every((condition) => condition.isNegated);
  for (const condition of conditions) {
    // Once one holds, only a negated one can change that.
    if (holds && !condition.isNegated) continue;
    const one = await holdsOfOne(condition, subjects, tables, special, isWhole);
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
  isWhole: boolean,
): Promise<Holds> {
  for (const subject of subjects) {
    const holds = await conditionHolds(condition, subject, tables, special, isWhole);
    if (holds !== false) return holds;
  }
  return false;
}

function conditionHolds(
  condition: Condition,
  subject: string,
  tables: Tables,
  special: (condition: Condition) => Holds,
  isWhole: boolean,
): Holds | Promise<Holds> {
  switch (condition.kind) {
    case "any":
      return true;
    case "table":
      if (subject === "") return false;
      return isWhole
        ? memberItself(tables.get(condition.name), condition.name, subject)
        : member(tables.get(condition.name), condition.name, subject);
    case "pattern":
      if (isWhole && condition.pattern.kind === "exact") return condition.pattern.key === subject.toLowerCase();
      return patternMatches(condition.pattern, subject === NULL_SENDER ? subject : subject.toLowerCase());
    case "local":
    case "auth":
    case "certificate":
    case "network":
      return special(condition);
  }
}
