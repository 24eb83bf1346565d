import type { ArcResult } from "../../../protocol/authentication/arc.ts";
import type { DkimResult } from "../../../protocol/authentication/dkim-verify.ts";
import type { DmarcResult } from "../../../protocol/authentication/dmarc.ts";
import type { DmarcPolicy } from "../../../protocol/authentication/dmarc-record.ts";
import { claimsToBeOf, formatResults, type MethodResult } from "../../../protocol/authentication/results-field.ts";
import type { RawField } from "../../../protocol/authentication/raw-fields.ts";
import type { SpfResult } from "../../../protocol/authentication/spf.ts";
import { formatField } from "../../../protocol/message/field.ts";
import type { MailEdit } from "../filter.ts";

/** SPF as asked: for whom, and what came back. */
export interface SpfFinding {
  readonly result: SpfResult;
  readonly identity: "mailfrom" | "helo";
  /** The address, or the name in HELO. */
  readonly subject: string;
  readonly domain: string;
}

export interface Findings {
  readonly spf: readonly SpfFinding[];
  readonly dkim: readonly DkimResult[];
  readonly arc: ArcResult;
  readonly dmarc: DmarcResult;
  /** What DMARC's policy comes to here. */
  readonly disposition: DmarcPolicy;
  readonly vouchedBy?: string | undefined;
}

/** The value of the field (RFC 8601). */
export function resultsValue(authority: string, findings: Findings, clientAddress: string | undefined): string {
  return formatResults(authority, [
    ...findings.dkim.map(dkimMethod),
    ...findings.spf.map(spfMethod),
    ...arcMethods(findings.arc, clientAddress),
    ...dmarcMethods(findings),
  ]);
}

function spfMethod({ result, identity, subject }: SpfFinding): MethodResult {
  return {
    method: "spf",
    result: result.result,
    comment: result.because,
    properties: [[identity === "helo" ? "smtp.helo" : "smtp.mailfrom", subject]],
  };
}

function dkimMethod(result: DkimResult): MethodResult {
  const properties = [
    ["header.d", result.domain],
    ["header.i", result.identity],
    ["header.s", result.selector],
    ["header.a", result.algorithm],
    ["header.b", result.signature],
  ] as const;
  return {
    method: "dkim",
    result: result.result,
    comment:
      [
        ...(result.bits === undefined ? [] : [`${result.bits}-bit key`]),
        ...(result.isTesting === true ? ["the domain is testing"] : []),
      ].join(", ") || undefined,
    reason: result.because,
    properties: properties.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const])),
  };
}

function arcMethods({ result, because, sets }: ArcResult, clientAddress: string | undefined): readonly MethodResult[] {
  if (result === "none") return [];
  const oldest = sets.at(-1);
  return [
    {
      method: "arc",
      result,
      comment: because ?? (oldest === undefined ? undefined : `i=${oldest.instance}, sealed by ${oldest.sealer}`),
      properties: clientAddress === undefined ? [] : [["smtp.remote-ip", clientAddress]],
    },
  ];
}

function dmarcMethods({ dmarc, disposition, vouchedBy }: Findings): readonly MethodResult[] {
  if (dmarc.domain === undefined) return [];
  const policy = dmarc.record === undefined ? dmarc.because : `p=${dmarc.policy} dis=${disposition}`;
  return [
    {
      method: "dmarc",
      result: dmarc.result,
      comment: vouchedBy === undefined ? policy : `${policy ?? ""} arc=${vouchedBy}`,
      properties: [["header.from", dmarc.domain]],
    },
  ];
}

/** RFC 7208 section 9.1, without the field's name and final CRLF. */
export function receivedSpfValue(
  finding: SpfFinding,
  facts: { readonly receiver: string; readonly helo: string; readonly address: string },
): string {
  const { result, identity, subject } = finding;
  const word = (text: string): string =>
    /^[A-Za-z0-9.@_+=:-]+$/.test(text) ? text : `"${text.replace(/[^\x20-\x7e]/g, "?").replace(/["\\]/g, "\\$&")}"`;
  const comment = (result.because ?? "")
    .replace(/[^\x20-\x7e]/g, "?")
    .replace(/[()\\]/g, " ")
    .slice(0, 200);
  const pairs = [
    `client-ip=${word(facts.address)}`,
    `${identity === "helo" ? "helo" : "envelope-from"}=${word(subject)}`,
    ...(identity === "helo" ? [] : [`helo=${word(facts.helo)}`]),
    `receiver=${word(facts.receiver)}`,
    `identity=${identity}`,
  ];
  return formatField("Received-SPF", `${result.result} (${comment}) ${pairs.join("; ")}`).slice(
    "Received-SPF: ".length,
    -2,
  );
}

/** More than any mail has by accident; and one filter may make so many changes only. */
const MOST_CLAIMS = 100;

/**
 * Takes out whatever claims to be ours. The last ones first, so that the numbers of the others stay. Where there are too many of
 * them nobody's stay: nothing in such a mail is worth reading.
 */
export function removeClaims(fields: readonly RawField[], authority: string): readonly MailEdit[] {
  const name = "Authentication-Results";
  const named = fields.filter((field) => field.name === "authentication-results");
  const claims = named.flatMap((field, at) => (claimsToBeOf(field, authority) ? [at + 1] : []));
  if (claims.length > MOST_CLAIMS) return [{ edit: "remove-field", name }];
  return claims.toReversed().map((nth) => ({ edit: "remove-field", name, nth }));
}
