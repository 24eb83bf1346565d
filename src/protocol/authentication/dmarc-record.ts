import { parseMailbox } from "../address/mailbox.ts";
import { parseTagList } from "./tag-list.ts";

export type DmarcPolicy = "none" | "quarantine" | "reject";
export type Alignment = "relaxed" | "strict";

/** What a domain wants done with mail that is not its own (RFC 7489 section 6.3; `np` of RFC 9091). */
export interface DmarcRecord {
  readonly policy: DmarcPolicy;
  /** For names below the domain that have no record. */
  readonly subdomains: DmarcPolicy;
  /** For those of them that don't exist. */
  readonly missing: DmarcPolicy;
  readonly dkim: Alignment;
  readonly spf: Alignment;
  /** To so many of a hundred messages the policy applies; to the others the next weaker. */
  readonly percent: number;
  /** Addresses for daily reports, as URIs without their size limit. */
  readonly reportTo: readonly ReportAddress[];
}

export interface ReportAddress {
  readonly address: string;
  /** The largest report that is welcome there, in octets. */
  readonly mostBytes?: number | undefined;
}

/** So many addresses of a record get reports. */
const MOST_ADDRESSES = 5;

export function isDmarcRecord(text: string): boolean {
  return /^v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|$)/.test(text);
}

/** Undefined for a record that says nothing usable, which is as good as none. */
export function parseDmarcRecord(text: string): DmarcRecord | undefined {
  const tags = parseTagList(text);
  if (tags === undefined || !isDmarcRecord(text)) return undefined;
  const reportTo = parseReportAddresses(tags.get("rua") ?? "");
  // RFC 7489 section 6.6.3: a record whose policy can't be read counts as `none` when it names an address for reports.
  const policy = policyOf(tags.get("p")) ?? (reportTo.length > 0 ? "none" : undefined);
  if (policy === undefined) return undefined;
  const subdomains = policyOf(tags.get("sp")) ?? policy;
  const percent = tags.get("pct");
  return {
    policy,
    subdomains,
    missing: policyOf(tags.get("np")) ?? subdomains,
    dkim: tags.get("adkim")?.toLowerCase() === "s" ? "strict" : "relaxed",
    spf: tags.get("aspf")?.toLowerCase() === "s" ? "strict" : "relaxed",
    percent: percent !== undefined && /^[0-9]{1,3}$/.test(percent) ? Math.min(100, Number(percent)) : 100,
    reportTo,
  };
}

/** `mailto:address!10m` and others by commas (RFC 7489 section 6.2). */
function parseReportAddresses(text: string): readonly ReportAddress[] {
  const found: ReportAddress[] = [];
  for (const uri of text.split(",", MOST_ADDRESSES)) {
    const match = /^\s*mailto:([^!?\s]{3,254})(?:\?[^!\s]*)?(?:!([0-9]{1,12})([kmgt]?))?\s*$/i.exec(uri);
    if (match === null) continue;
    const address = unescaped(match[1] ?? "");
    if (address === undefined || !/^[\x21-\x7e]+@[A-Za-z0-9.-]+$/.test(address) || /[<>,;"\\]/.test(address)) continue;
    if (!parseMailbox(address).ok) continue;
    const factor = 1024 ** ["", "k", "m", "g", "t"].indexOf((match[3] ?? "").toLowerCase());
    found.push({ address, mostBytes: match[2] === undefined ? undefined : Number(match[2]) * factor });
  }
  return found;
}

function unescaped(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function policyOf(written: string | undefined): DmarcPolicy | undefined {
  const policy = written?.toLowerCase();
  return policy === "none" || policy === "quarantine" || policy === "reject" ? policy : undefined;
}
