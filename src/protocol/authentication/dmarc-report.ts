/** An aggregate report on the mail of a domain (RFC 7489 section 7.2 and appendix C), as XML. */
export interface DmarcReport {
  readonly organization: string;
  readonly contact: string;
  readonly id: string;
  /** Seconds since the epoch. */
  readonly begin: number;
  readonly end: number;
  readonly domain: string;
  readonly policy: DmarcReportPolicy;
  readonly rows: readonly DmarcReportRow[];
}

export interface DmarcReportPolicy {
  readonly p: string;
  readonly sp: string;
  readonly adkim: "r" | "s";
  readonly aspf: "r" | "s";
  readonly pct: number;
}

export interface DmarcReportRow {
  readonly count: number;
  readonly sourceIp: string;
  readonly disposition: string;
  readonly dkim: "pass" | "fail";
  readonly spf: "pass" | "fail";
  readonly override?: { readonly type: string; readonly comment: string } | undefined;
  readonly headerFrom: string;
  readonly envelopeFrom: string;
  readonly dkimResults: readonly { readonly domain: string; readonly selector: string; readonly result: string }[];
  readonly spfResults: readonly {
    readonly domain: string;
    readonly scope: "mfrom" | "helo";
    readonly result: string;
  }[];
}

export function formatDmarcReport(report: DmarcReport): string {
  const { policy } = report;
  const lines = [
    '<?xml version="1.0" encoding="UTF-8" ?>',
    "<feedback>",
    "  <version>1.0</version>",
    "  <report_metadata>",
    `    ${element("org_name", report.organization)}`,
    `    ${element("email", report.contact)}`,
    `    ${element("report_id", report.id)}`,
    `    <date_range>${element("begin", String(report.begin))}${element("end", String(report.end))}</date_range>`,
    "  </report_metadata>",
    "  <policy_published>",
    `    ${element("domain", report.domain)}`,
    `    ${element("adkim", policy.adkim)}${element("aspf", policy.aspf)}${element("p", policy.p)}${element("sp", policy.sp)}${element("pct", String(policy.pct))}`,
    "  </policy_published>",
    ...report.rows.flatMap(rowLines),
    "</feedback>",
  ];
  return `${lines.join("\n")}\n`;
}

function rowLines(row: DmarcReportRow): readonly string[] {
  const { override } = row;
  return [
    "  <record>",
    "    <row>",
    `      ${element("source_ip", row.sourceIp)}${element("count", String(row.count))}`,
    `      <policy_evaluated>${element("disposition", row.disposition)}${element("dkim", row.dkim)}${element("spf", row.spf)}${
      override === undefined
        ? ""
        : `<reason>${element("type", override.type)}${element("comment", override.comment)}</reason>`
    }</policy_evaluated>`,
    "    </row>",
    `    <identifiers>${row.envelopeFrom === "" ? "" : element("envelope_from", row.envelopeFrom)}${element("header_from", row.headerFrom)}</identifiers>`,
    "    <auth_results>",
    ...row.dkimResults.map(
      ({ domain, selector, result }) =>
        `      <dkim>${element("domain", domain)}${selector === "" ? "" : element("selector", selector)}${element("result", result)}</dkim>`,
    ),
    ...row.spfResults.map(
      ({ domain, scope, result }) =>
        `      <spf>${element("domain", domain)}${element("scope", scope)}${element("result", result)}</spf>`,
    ),
    "    </auth_results>",
    "  </record>",
  ];
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
};

/** What XML can't hold becomes a question mark; peers wrote much of this. */
function element(name: string, text: string): string {
  const value = text
    .toWellFormed()
    .replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "?")
    .replace(/[&<>"']/g, (character) => ENTITIES[character] ?? "");
  return `<${name}>${value}</${name}>`;
}
