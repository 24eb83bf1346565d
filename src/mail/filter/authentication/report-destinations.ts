import { isDmarcRecord, parseDmarcRecord, type ReportAddress } from "../../../protocol/authentication/dmarc-record.ts";
import type { OrganizationalDomain } from "../../../protocol/authentication/dmarc.ts";
import type { Resolver } from "../../../protocol/dns/resolver.ts";

export type Destinations =
  | {
      readonly kind: "found";
      readonly addresses: readonly ReportAddress[];
      /** Of whom it could not be found out whether they want it, and why. */
      readonly unknown: readonly { readonly address: string; readonly text: string }[];
    }
  | { readonly kind: "none"; readonly because: string }
  | { readonly kind: "failed"; readonly text: string };

/**
 * Where a domain's report goes, by its record of now. An address elsewhere counts only when its domain says in the DNS that it
 * wants such reports: or anybody could have them sent to anybody (RFC 7489 section 7.1).
 */
export async function reportDestinations(
  domain: string,
  resolver: Pick<Resolver, "txt">,
  organizationOf: OrganizationalDomain,
  signal?: AbortSignal,
): Promise<Destinations> {
  const answer = await resolver.txt(`_dmarc.${domain}`, signal);
  if (answer.kind === "failed") return { kind: "failed", text: answer.finding.text };
  const records = answer.kind === "found" ? answer.records.filter(isDmarcRecord) : [];
  const record = records.length === 1 ? parseDmarcRecord(records[0] ?? "") : undefined;
  if (record === undefined || record.reportTo.length === 0)
    return { kind: "none", because: "its record wants no reports any more" };
  const addresses: ReportAddress[] = [];
  const unknown: { readonly address: string; readonly text: string }[] = [];
  for (const destination of record.reportTo) {
    const host = destination.address.slice(destination.address.lastIndexOf("@") + 1).toLowerCase();
    if (organizationOf(host) === organizationOf(domain)) {
      addresses.push(destination);
      continue;
    }
    // oxlint-disable-next-line no-await-in-loop -- five at most
    const permission = await resolver.txt(`${domain}._report._dmarc.${host}`, signal);
    if (permission.kind === "failed") unknown.push({ address: destination.address, text: permission.finding.text });
    if (permission.kind === "found" && permission.records.some(isDmarcRecord)) addresses.push(destination);
  }
  if (addresses.length > 0) return { kind: "found", addresses, unknown };
  const [first] = unknown;
  if (first !== undefined) return { kind: "failed", text: first.text };
  return { kind: "none", because: "those whom its record names do not want reports on it" };
}
