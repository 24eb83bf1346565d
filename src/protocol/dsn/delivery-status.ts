import { formatDateTime } from "../message/date-time.ts";
import { formatField } from "../message/field.ts";

/** The machine's part of a delivery status notification (RFC 3464 section 2), with the address types of RFC 6533. */
export interface DeliveryReport {
  /** The name of the host that reports. */
  readonly reportingMta: string;
  /** Our id of the message. */
  readonly queueId?: string | undefined;
  readonly arrivalAt?: number | undefined;
  /** ENVID, decoded. */
  readonly originalEnvelopeId?: string | undefined;
  readonly recipients: readonly RecipientReport[];
}

export interface RecipientReport {
  /** The address delivery was tried to. */
  readonly finalRecipient: string;
  /** ORCPT, `type;address`, decoded. */
  readonly originalRecipient?: string | undefined;
  readonly action: "failed" | "delayed" | "delivered" | "relayed" | "expanded";
  /** RFC 3463. */
  readonly status: string;
  /** The host that spoke, by name or address literal. */
  readonly remoteMta?: string | undefined;
  /** `smtp`: that host's reply. `x-posthorn`: our own words. */
  readonly diagnostic?: { readonly type: "smtp" | "x-posthorn"; readonly text: string } | undefined;
  readonly lastAttemptAt?: number | undefined;
  readonly willRetryUntilAt?: number | undefined;
}

/** Groups of fields with an empty line between them; ASCII unless an address is beyond it. */
export function formatDeliveryStatus(report: DeliveryReport): string {
  const isInternational = report.recipients.some(
    (one) => isBeyondAscii(one.finalRecipient) || isBeyondAscii(one.originalRecipient ?? ""),
  );
  const field = (name: string, value: string | undefined): string =>
    value === undefined ? "" : formatField(name, isInternational ? value : asciiOnly(value));
  const groups = [
    field("Reporting-MTA", `dns; ${report.reportingMta}`) +
      field("Original-Envelope-Id", report.originalEnvelopeId) +
      field("X-Posthorn-Queue-ID", report.queueId) +
      field("Arrival-Date", dateOf(report.arrivalAt)),
    ...report.recipients.map(
      (one) =>
        field("Original-Recipient", one.originalRecipient && typedAddress(one.originalRecipient)) +
        field("Final-Recipient", `${typeFor(one.finalRecipient)}; ${one.finalRecipient}`) +
        field("Action", one.action) +
        field("Status", one.status) +
        field("Remote-MTA", one.remoteMta && `dns; ${one.remoteMta}`) +
        field("Diagnostic-Code", one.diagnostic && `${one.diagnostic.type}; ${one.diagnostic.text}`) +
        field("Last-Attempt-Date", dateOf(one.lastAttemptAt)) +
        field("Will-Retry-Until", dateOf(one.willRetryUntilAt)),
    ),
  ];
  return groups.join("\r\n");
}

/** `type;address` in the form of RFC 3464, `type; address`; what we type ourselves has the type that its address needs. */
function typedAddress(original: string): string {
  const at = original.indexOf(";");
  const type = at < 0 ? "rfc822" : original.slice(0, at);
  const address = original.slice(at + 1).trim();
  return `${type.toLowerCase() === "rfc822" ? typeFor(address) : type}; ${address}`;
}

/** RFC 6533 section 3: addresses beyond ASCII have a type of their own. */
function typeFor(address: string): string {
  return isBeyondAscii(address) ? "utf-8" : "rfc822";
}

function dateOf(at: number | undefined): string | undefined {
  return at === undefined ? undefined : formatDateTime(at, 0);
}

function isBeyondAscii(text: string): boolean {
  return /[^\u0000-\u007f]/.test(text);
}

/** A remote host may have answered in UTF-8; an ASCII report shows where. */
function asciiOnly(text: string): string {
  return text.replace(/[^\u0000-\u007f]+/gu, "?");
}
