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
  // All at once: a few that do not answer would else take all the time that there is for the report.
  const asked = await Promise.all(
    record.reportTo.map(async (destination) => {
      const host = destination.address.slice(destination.address.lastIndexOf("@") + 1).toLowerCase();
      if (organizationOf(host) === organizationOf(domain)) return { destination, isWanted: true };
      const permission = await resolver.txt(`${domain}._report._dmarc.${host}`, signal);
      if (permission.kind === "failed") return { destination, isWanted: false, unknown: permission.finding.text };
      return { destination, isWanted: permission.kind === "found" && permission.records.some(isDmarcRecord) };
    }),
  );
  const addresses = asked.flatMap(({ destination, isWanted }) => (isWanted ? [destination] : []));
  const unknown = asked.flatMap(({ destination: { address }, unknown: text }) =>
    text === undefined ? [] : [{ address, text }],
  );
  if (addresses.length > 0) return { kind: "found", addresses, unknown };
  const [first] = unknown;
  if (first !== undefined) return { kind: "failed", text: first.text };
  return { kind: "none", because: "those whom its record names do not want reports on it" };
}
