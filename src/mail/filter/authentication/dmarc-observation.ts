import type { FilterFacts } from "../filter.ts";
import type { FilterWorld } from "../filter-world.ts";
import type { Findings } from "./authentication-results.ts";

/**
 * One mail as DMARC's daily reports have it (RFC 7489 section 7.2): no address, no content, nothing of the recipient. Mail
 * that agrees in all of it is counted in one row.
 */
export interface DmarcObservation {
  readonly at: number;
  /** Whose record it was, and what it says. */
  readonly domain: string;
  readonly policy: {
    readonly p: string;
    readonly sp: string;
    readonly adkim: "r" | "s";
    readonly aspf: "r" | "s";
    readonly pct: number;
  };
  readonly sourceIp: string;
  readonly disposition: "none" | "quarantine" | "reject";
  readonly dkim: "pass" | "fail";
  readonly spf: "pass" | "fail";
  /** Why the disposition is not the policy's. */
  readonly override?:
    | { readonly type: "local_policy" | "sampled_out" | "trusted_forwarder"; readonly comment: string }
    | undefined;
  readonly headerFrom: string;
  readonly envelopeFrom: string;
  readonly dkimResults: readonly { readonly domain: string; readonly selector: string; readonly result: string }[];
  readonly spfResults: readonly {
    readonly domain: string;
    readonly scope: "mfrom" | "helo";
    readonly result: string;
  }[];
}

/** Remembers a mail for its domain's report, where the domain wants one. Never waited for. */
export function dmarcObserved(world: FilterWorld, facts: FilterFacts, findings: Findings): void {
  const { dmarc, disposition, vouchedBy } = findings;
  const { record, recordDomain, domain, policy } = dmarc;
  if (record === undefined || recordDomain === undefined || domain === undefined || record.reportTo.length === 0)
    return;
  if (facts.client.address === undefined || (dmarc.result !== "pass" && dmarc.result !== "fail")) return;
  const sender = facts.mail?.sender ?? "";
  world.observeDmarc?.({
    at: world.clock.now(),
    domain: recordDomain,
    policy: {
      p: record.policy,
      sp: record.subdomains,
      adkim: record.dkim === "strict" ? "s" : "r",
      aspf: record.spf === "strict" ? "s" : "r",
      pct: record.percent,
    },
    sourceIp: facts.client.address,
    disposition,
    dkim: dmarc.dkimAligned ? "pass" : "fail",
    spf: dmarc.spfAligned ? "pass" : "fail",
    override:
      dmarc.result === "pass" || policy === disposition
        ? undefined
        : vouchedBy === undefined
          ? { type: record.percent < 100 ? "sampled_out" : "local_policy", comment: "" }
          : { type: "trusted_forwarder", comment: `arc=pass as[${findings.arc.sets.length}].d=${vouchedBy}` },
    headerFrom: domain,
    envelopeFrom: sender.slice(sender.lastIndexOf("@") + 1).toLowerCase(),
    dkimResults: findings.dkim
      .slice(0, 8)
      .flatMap(({ domain: signer, selector, result }) =>
        signer === undefined ? [] : [{ domain: signer, selector: selector ?? "", result }],
      ),
    spfResults: findings.spf.map(({ domain: asked, identity, result }) => ({
      domain: asked,
      scope: identity === "helo" ? "helo" : "mfrom",
      result: result.result,
    })),
  });
}
