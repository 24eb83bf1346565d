import { createHash } from "node:crypto";
import { formatDmarcReport } from "../../../protocol/authentication/dmarc-report.ts";
import { formatDateTime } from "../../../protocol/message/date-time.ts";
import { formatField } from "../../../protocol/message/field.ts";
import { DAY_MS, type DmarcReportData } from "./dmarc-collector.ts";

/** The report of a day as a document and as the mail that carries it (RFC 7489 section 7.2.1.1). */
export interface ReportSender {
  /** Mail comes from here, and bounces go there. */
  readonly from: string;
  readonly organization: string;
  readonly contact: string;
  /** Our name. */
  readonly hostname: string;
}

export interface ReportDocument {
  readonly xml: string;
  readonly id: string;
  /** `receiver!domain!begin!end.xml.gz` */
  readonly fileName: string;
}

export function reportDocument(data: DmarcReportData, sender: ReportSender, nowAt: number): ReportDocument {
  const begin = (data.day * DAY_MS) / 1000;
  const end = Math.min(((data.day + 1) * DAY_MS) / 1000 - 1, Math.floor(nowAt / 1000));
  const id = createHash("sha256")
    .update(`${sender.hostname} ${data.domain} ${begin} ${nowAt}`)
    .digest("hex")
    .slice(0, 24);
  const { rows, domain, policy } = data;
  const xml = formatDmarcReport({
    organization: sender.organization,
    contact: sender.contact,
    id,
    begin,
    end,
    domain,
    policy,
    rows,
  });
  return { xml, id, fileName: `${sender.hostname}!${domain}!${begin}!${end}.xml.gz` };
}

export function reportMail(
  document: ReportDocument,
  gzipped: Buffer,
  data: DmarcReportData,
  to: readonly string[],
  sender: ReportSender,
  nowAt: number,
): Buffer {
  const boundary = `posthorn-${document.id}`;
  const lines = [
    formatField("From", `${JSON.stringify(sender.organization.replace(/[^\x20-\x7e]/g, "?"))} <${sender.from}>`),
    formatField("To", to.map((address) => `<${address}>`).join(", ")),
    formatField("Subject", `Report Domain: ${data.domain} Submitter: ${sender.hostname} Report-ID: <${document.id}>`),
    formatField("Date", formatDateTime(nowAt, 0)),
    formatField("Message-ID", `<${document.id}@${sender.hostname}>`),
    // RFC 3834: nobody is to answer it.
    formatField("Auto-Submitted", "auto-generated"),
    formatField("MIME-Version", "1.0"),
    `Content-Type: multipart/mixed;\r\n boundary="${boundary}"\r\n`,
    "\r\n",
    `--${boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n`,
    `This is an aggregate report on mail from ${data.domain} that ${sender.hostname} received.\r\nYour DMARC record asks for it (rua).\r\n\r\n`,
    `--${boundary}\r\nContent-Type: application/gzip;\r\n name="${document.fileName}"\r\n`,
    `Content-Disposition: attachment;\r\n filename="${document.fileName}"\r\nContent-Transfer-Encoding: base64\r\n\r\n`,
    `${(gzipped.toString("base64").match(/.{1,76}/g) ?? []).join("\r\n")}\r\n`,
    `--${boundary}--\r\n`,
  ];
  return Buffer.from(lines.join(""), "latin1");
}
