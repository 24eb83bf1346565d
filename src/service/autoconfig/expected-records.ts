import { createHash } from "node:crypto";
import type { MailServices, Service } from "./services.ts";
import type { DomainRecordsSettings } from "./records-settings.ts";

/**
 * The DNS records that a domain with its mail here should have, as lines of a zone, with what each is for. `compare-records.ts`
 * says what of them is published.
 *
 * RFC 5321 (MX), 7208 (SPF), 6376 (DKIM), 7489 (DMARC), 8461 (MTA-STS), 8460 (TLSRPT), 7672 (TLSA), 6186 and 8314 (SRV).
 */
export interface ExpectedRecord {
  readonly name: string;
  readonly type: "MX" | "TXT" | "SRV" | "CNAME" | "TLSA";
  /** As it stands in a zone file, TXT without quotes. */
  readonly value: string;
  readonly purpose: Purpose;
  /** Mail does not arrive, or is refused, without; or it is a good thing to have. */
  readonly need: "needed" | "advised" | "optional";
}

export type Purpose =
  | "mx"
  | "spf"
  | "dkim"
  | "dmarc"
  | "mta-sts"
  | "mta-sts-host"
  | "tls-reports"
  | "dane"
  | "submission"
  | "imap"
  | "pop3"
  | "autoconfig"
  | "autodiscover";

export interface RecordFacts {
  readonly domain: string;
  readonly hostname: string;
  readonly settings: DomainRecordsSettings;
  readonly services: MailServices;
  /** By selector: the public key, DER, base64 of SubjectPublicKeyInfo, or of the raw 32 bytes for Ed25519. */
  readonly dkimKeys: readonly { readonly selector: string; readonly kind: "rsa" | "ed25519"; readonly key: string }[];
  /** SHA-256 of the public keys that the server shows as its host name, hex. */
  readonly keyHashes: readonly string[];
  /** Where the documents of autoconfiguration are served. */
  readonly webHost?: string | undefined;
}

export function expectedRecords(facts: RecordFacts): readonly ExpectedRecord[] {
  const { domain, hostname, settings, services, keyHashes, webHost } = facts;
  const exchangers = exchangersOf(settings, hostname);
  const reports = settings.dmarc.reports ?? [`postmaster@${domain}`];
  const policy = policyText(settings, hostname);
  const records: ExpectedRecord[] = [
    ...exchangers.map(({ host, preference }) => record(domain, "MX", `${preference} ${host}.`, "mx", "needed")),
    record(domain, "TXT", settings.spf, "spf", "needed"),
    ...facts.dkimKeys.map(({ selector, kind, key }) =>
      record(`${selector}._domainkey.${domain}`, "TXT", `v=DKIM1; k=${kind}; p=${key}`, "dkim", "needed"),
    ),
    record(
      `_dmarc.${domain}`,
      "TXT",
      `v=DMARC1; p=${settings.dmarc.policy}; rua=${reports.map((address) => `mailto:${address}`).join(",")}`,
      "dmarc",
      "advised",
    ),
    ...(policy === undefined
      ? []
      : [
          record(`_mta-sts.${domain}`, "TXT", `v=STSv1; id=${policyId(policy)}`, "mta-sts", "advised"),
          ...(webHost === undefined
            ? []
            : [record(`mta-sts.${domain}`, "CNAME", `${webHost}.`, "mta-sts-host", "needed")]),
        ]),
    record(
      `_smtp._tls.${domain}`,
      "TXT",
      `v=TLSRPTv1; rua=mailto:${settings.tlsReports ?? `postmaster@${domain}`}`,
      "tls-reports",
      "advised",
    ),
    // Only for this host: what others of the exchangers show is theirs to say. 3 1 1: the key itself (RFC 7672 section 3.1).
    ...(exchangers.some(({ host }) => host === hostname)
      ? keyHashes.map((hash) => record(`_25._tcp.${hostname}`, "TLSA", `3 1 1 ${hash}`, "dane", "optional"))
      : []),
    ...serviceRecords(domain, services),
    ...(webHost === undefined
      ? []
      : [
          record(`autoconfig.${domain}`, "CNAME", `${webHost}.`, "autoconfig", "optional"),
          record(`_autodiscover._tcp.${domain}`, "SRV", `0 1 443 ${webHost}.`, "autodiscover", "optional"),
        ]),
  ];
  return records;
}

function exchangersOf(settings: DomainRecordsSettings, hostname: string) {
  return settings.mx ?? [{ host: hostname, preference: 10 }];
}

/** RFC 6186 section 3, RFC 8314 section 5.1: the first of each kind has the best priority. */
function serviceRecords(domain: string, services: MailServices): readonly ExpectedRecord[] {
  const kinds = [
    ["submission", services.submission, "_submissions", "_submission"],
    ["imap", services.imap, "_imaps", "_imap"],
    ["pop3", services.pop3, "_pop3s", "_pop3"],
  ] as const;
  return kinds.flatMap(([purpose, servers, implicit, starttls]) => {
    const srv = (service: string, { host, port }: Service, priority: number): ExpectedRecord =>
      record(`${service}._tcp.${domain}`, "SRV", `${priority} 1 ${port} ${host}.`, purpose, "optional");
    return servers.map((server, at) => srv(server.tls === "implicit" ? implicit : starttls, server, at));
  });
}

/** The text of the domains' MTA-STS policy (RFC 8461 section 3.2); undefined where none is wanted. */
export function policyText(settings: DomainRecordsSettings, hostname: string): string | undefined {
  const { mtaSts } = settings;
  if (mtaSts === undefined) return undefined;
  const lines = [
    "version: STSv1",
    `mode: ${mtaSts.mode}`,
    ...exchangersOf(settings, hostname).map(({ host }) => `mx: ${host}`),
    `max_age: ${Math.round(mtaSts.maxAge / 1000)}`,
  ];
  return `${lines.join("\r\n")}\r\n`;
}

/** RFC 8461 section 3.1: another one for each version of the policy; up to 32 letters and digits. */
function policyId(policy: string): string {
  return createHash("sha256").update(policy).digest("hex").slice(0, 20);
}

function record(
  name: string,
  type: ExpectedRecord["type"],
  value: string,
  purpose: Purpose,
  need: ExpectedRecord["need"],
): ExpectedRecord {
  return { name, type, value, purpose, need };
}

/** A line of a zone file. Texts longer than 255 octets are several strings (RFC 7208 section 3.3). */
export function zoneLine({ name, type, value }: ExpectedRecord): string {
  if (type !== "TXT") return `${name}. IN ${type} ${value}`;
  const parts = value.match(/.{1,255}/gs) ?? [""];
  return `${name}. IN TXT ${parts.map((part) => `"${part.replaceAll(/["\\]/g, String.raw`\$&`)}"`).join(" ")}`;
}
