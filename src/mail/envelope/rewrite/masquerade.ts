import { parseMailbox } from "../../../protocol/address/mailbox.ts";
import { changeDomains } from "../../../protocol/message/address-domains.ts";
import { parseHeaderSection, valuesOf } from "../../../protocol/message/header-fields.ts";
import type { MasqueradeSettings } from "./settings.ts";

/**
 * Hides the names of single hosts behind their domain, in mail that our own users submit: bob@pc.example.org becomes
 * bob@example.org. It never touches mail that passes through, nor mail that somebody has signed (RFC 6376): a signature
 * covers those fields.
 */
const SENDER_FIELDS: readonly string[] = ["from", "sender", "reply-to", "errors-to", "return-receipt-to"].concat(
  "disposition-notification-to",
);
const RECIPIENT_FIELDS: readonly string[] = ["to", "cc", "bcc"];

/** The domain instead of `domain` (A-labels, lower case); undefined: it stays. The first entry that it is below decides. */
export function masqueradeDomain(
  settings: Pick<MasqueradeSettings, "domains" | "exceptions">,
  local: string,
  domain: string,
): string | undefined {
  if (settings.exceptions.some((name) => name.toLowerCase() === local.toLowerCase())) return undefined;
  for (const entry of settings.domains) {
    const name = entry.replace(/^!/, "");
    if (domain !== name && !domain.endsWith(`.${name}`)) continue;
    return entry.startsWith("!") || domain === name ? undefined : name;
  }
  return undefined;
}

/** The reverse path of submitted mail; the null sender has no domain to hide. */
export function masqueradeSender(settings: MasqueradeSettings, sender: string): string {
  if (!settings.classes.includes("envelope-sender")) return sender;
  const mailbox = parseMailbox(sender, { isInternational: true });
  if (!mailbox.ok || mailbox.value.domain.kind !== "name") return sender;
  const domain = masqueradeDomain(settings, mailbox.value.local, mailbox.value.domain.ascii);
  return domain === undefined ? sender : `${sender.slice(0, sender.lastIndexOf("@"))}@${domain}`;
}

/** The message, or the whole header section of it and more, with the addresses of its header changed. */
export function masqueradeHeader(settings: MasqueradeSettings, message: Buffer): Buffer {
  const { classes, domains } = settings;
  if (domains.length === 0) return message;
  const fields = [
    ...(classes.includes("header-sender") ? SENDER_FIELDS : []),
    ...(classes.includes("header-recipient") ? RECIPIENT_FIELDS : []),
  ];
  if (fields.length === 0) return message;
  if (valuesOf(parseHeaderSection(message), "DKIM-Signature").length > 0) return message;
  const names = new Set(fields.flatMap((name) => [name, `resent-${name}`]));
  return changeDomains(message, names, ({ local, domain }) => masqueradeDomain(settings, local, domain));
}
