import type { Resolver } from "../dns/resolver.ts";
import type { ArcResult } from "./arc.ts";
import type { DkimResult } from "./dkim-verify.ts";
import { isDmarcRecord, parseDmarcRecord, type Alignment, type DmarcPolicy, type DmarcRecord } from "./dmarc-record.ts";
import { rawValue } from "./raw-fields.ts";
import { withoutComments } from "./results-field.ts";
import type { SpfResultKind } from "./spf.ts";

/**
 * Whether the domain that people see in From stands behind a message: one of SPF and DKIM passed for it, or for one of the
 * same organisation (RFC 7489).
 */
export interface DmarcResult {
  readonly result: "none" | "pass" | "fail" | "temperror" | "permerror";
  readonly because?: string | undefined;
  /** In From. */
  readonly domain?: string | undefined;
  /** Whose record it is: that domain, or its organisation's. */
  readonly recordDomain?: string | undefined;
  readonly record?: DmarcRecord | undefined;
  /** Of the record, what it wants for this domain. */
  readonly policy?: DmarcPolicy | undefined;
  readonly dkimAligned: boolean;
  readonly spfAligned: boolean;
}

export interface DmarcQuestion {
  /** All domains in From fields, in lower case. */
  readonly fromDomains: readonly string[];
  readonly dkim: readonly DkimResult[];
  /** For the domain that SPF was asked for. */
  readonly spf: { readonly result: SpfResultKind; readonly domain: string };
}

export type OrganizationalDomain = (domain: string) => string;

/** Authors of more organisations than that are nobody. */
const MOST_DOMAINS = 10;

/**
 * Of mail whose From names several domains, each is judged, and the strictest policy among those that fail is applied (RFC 7489
 * section 6.6.1): or a second author were all it takes to write in anybody's name. Rejects with the signal's reason only.
 */
export async function checkDmarc(
  question: DmarcQuestion,
  resolver: Pick<Resolver, "txt" | "ipv4">,
  organizationOf: OrganizationalDomain,
  signal?: AbortSignal,
): Promise<DmarcResult> {
  const [domain, ...others] = new Set(question.fromDomains);
  const unaligned = { domain, dkimAligned: false, spfAligned: false };
  if (domain === undefined) return { result: "permerror", because: "From names no domain", ...unaligned };
  if (others.length === 0) return checkDomain(domain, question, resolver, organizationOf, signal);
  if (others.length >= MOST_DOMAINS)
    return { result: "fail", because: `From names more than ${MOST_DOMAINS} domains`, policy: "reject", ...unaligned };
  const each = await Promise.all(
    [domain, ...others].map((one) => checkDomain(one, question, resolver, organizationOf, signal)),
  );
  const failing = each
    .filter(({ result }) => result === "fail")
    .toSorted((a, b) => strictness(b.policy) - strictness(a.policy));
  return (
    failing[0] ??
    each.find(({ result }) => result === "temperror") ?? {
      result: "permerror",
      because: "From names more than one domain",
      ...unaligned,
    }
  );
}

function strictness(policy: DmarcPolicy | undefined): number {
  return ["none", "quarantine", "reject"].indexOf(policy ?? "none");
}

async function checkDomain(
  domain: string,
  { dkim, spf }: DmarcQuestion,
  resolver: Pick<Resolver, "txt" | "ipv4">,
  organizationOf: OrganizationalDomain,
  signal: AbortSignal | undefined,
): Promise<DmarcResult> {
  const unaligned = { domain, dkimAligned: false, spfAligned: false };
  const found = await findRecord(domain, resolver, organizationOf, signal);
  if (found.kind === "failed") return { result: "temperror", because: found.text, ...unaligned };
  if (found.kind === "none") return { result: "none", because: found.text, ...unaligned };
  const { record, recordDomain, policy } = found;
  const aligns = (one: string | undefined, how: Alignment): boolean =>
    one !== undefined && (one === domain || (how === "relaxed" && organizationOf(one) === organizationOf(domain)));
  const dkimAligned = dkim.some((each) => each.result === "pass" && aligns(each.domain, record.dkim));
  const spfAligned = spf.result === "pass" && aligns(spf.domain.toLowerCase(), record.spf);
  const about = { domain, recordDomain, record, policy, dkimAligned, spfAligned };
  if (dkimAligned || spfAligned) return { result: "pass", ...about };
  // What could not be found out might have been the pass.
  const mayStillPass =
    dkim.some((each) => each.result === "temperror" && aligns(each.domain, record.dkim)) ||
    (spf.result === "temperror" && aligns(spf.domain.toLowerCase(), record.spf));
  if (mayStillPass) return { result: "temperror", because: "what would align could not be looked up", ...about };
  return { result: "fail", because: "neither SPF nor DKIM passed for this domain", ...about };
}

type Found =
  | {
      readonly kind: "found";
      readonly record: DmarcRecord;
      readonly recordDomain: string;
      readonly policy: DmarcPolicy;
    }
  | { readonly kind: "none"; readonly text: string }
  | { readonly kind: "failed"; readonly text: string };

async function findRecord(
  domain: string,
  resolver: Pick<Resolver, "txt" | "ipv4">,
  organizationOf: OrganizationalDomain,
  signal: AbortSignal | undefined,
): Promise<Found> {
  const own = await recordAt(domain, resolver, signal);
  if (own.kind === "failed") return own;
  if (own.kind === "found") return { ...own, recordDomain: domain, policy: own.record.policy };
  const organization = organizationOf(domain);
  const none = { kind: "none", text: `${domain} has no policy` } as const;
  if (organization === domain) return none;
  const above = await recordAt(organization, resolver, signal);
  if (above.kind !== "found") return above.kind === "failed" ? above : none;
  const { record } = above;
  const policy =
    record.missing === record.subdomains || (await exists(domain, resolver, signal))
      ? record.subdomains
      : record.missing;
  return { kind: "found", record, recordDomain: organization, policy };
}

async function recordAt(
  domain: string,
  resolver: Pick<Resolver, "txt">,
  signal: AbortSignal | undefined,
): Promise<
  | { readonly kind: "found"; readonly record: DmarcRecord }
  | { readonly kind: "none" }
  | { readonly kind: "failed"; readonly text: string }
> {
  const answer = await resolver.txt(`_dmarc.${domain}`, signal);
  if (answer.kind === "failed") return { kind: "failed", text: answer.finding.text };
  const records = answer.kind === "found" ? answer.records.filter(isDmarcRecord) : [];
  // RFC 7489 section 6.6.3: more than one is none.
  const record = records.length === 1 ? parseDmarcRecord(records[0] ?? "") : undefined;
  return record === undefined ? { kind: "none" } : { kind: "found", record };
}

async function exists(
  domain: string,
  resolver: Pick<Resolver, "ipv4">,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const answer = await resolver.ipv4(domain, signal);
  return answer.kind !== "none" || answer.because !== "no-such-name";
}

/** What is to be done: the policy, weakened for those that `pct` spares (section 6.6.4). `random` in [0, 1). */
export function dispositionOf(result: DmarcResult, random: number): DmarcPolicy {
  if (result.result !== "fail" || result.policy === undefined) return "none";
  if (random * 100 < (result.record?.percent ?? 100)) return result.policy;
  return result.policy === "reject" ? "quarantine" : "none";
}

/**
 * Whether somebody whom we trust sealed that it had passed for this domain before it was forwarded: of a chain that passes, the
 * newest sets as long as their sealers are trusted.
 */
export function isVouchedFor(arc: ArcResult, trusted: ReadonlySet<string>, domain: string): string | undefined {
  if (arc.result !== "pass") return undefined;
  for (const { sealer, results } of arc.sets.toReversed()) {
    if (!trusted.has(sealer)) return undefined;
    if (passedFor(rawValue(results), domain)) return sealer;
  }
  return undefined;
}

/** Only a result counts: words that strangers chose stand in the comments and quoted values of the trusted, too. */
function passedFor(value: string, domain: string): boolean {
  return (withoutComments(value) ?? "")
    .replace(QUOTED, '""')
    .split(";")
    .some((part) => {
      if (!/^\s*dmarc\s*=\s*pass(?=\s|$)/i.test(part)) return false;
      const from = /\sheader\.from\s*=\s*(\S+)/i.exec(part)?.[1];
      return from === undefined || from.toLowerCase() === domain;
    });
}

const QUOTED = /"(?:[^"\\]|\\[^])*"/g;
