import { formatLocal, parseMailbox, splitAddress, unquote } from "../../../protocol/address/mailbox.ts";

/**
 * Variable envelope return paths: the recipient is written into the sender, so that a bounce says by its address whom it is
 * about: `bounces@list.example` to `user@example.org` becomes `bounces+user=example.org@list.example`.
 */
export interface VerpDelimiters {
  /** Between the sender's local part and the recipient's. */
  readonly before: string;
  /** Instead of the recipient's @. */
  readonly at: string;
}

export const usualVerp: VerpDelimiters = { before: "+", at: "=" };

/** What Postfix takes (`verp_delimiter_filter`): nothing that a local part would have to be quoted for. */
const DELIMITERS = /^([-=+])([-=+])$/;
/** RFC 5321 section 4.5.3.1.3: 256 octets with the angle brackets. */
const LONGEST = 254;

/** Two characters of `-=+`, as XVERP and the settings give them. */
export function parseVerpDelimiters(text: string): VerpDelimiters | undefined {
  const [, before, at] = DELIMITERS.exec(text) ?? [];
  return before === undefined || at === undefined ? undefined : { before, at };
}

/**
 * Undefined where there is no such address: the null sender stays null, and what would be too long stays as it is. A sender that
 * has the recipient in it already, as a mail has that a `.forward` sends on, has it once.
 */
export function verpSender(sender: string, recipient: string, { before, at }: VerpDelimiters): string | undefined {
  const from = parseMailbox(sender, { isInternational: true });
  const to = splitAddress(recipient);
  if (sender === "" || !from.ok || to.domain === "" || to.local === "") return undefined;
  const written = `${before}${unquote(to.local)}${at}${to.domain}`;
  if (from.value.local.toLowerCase().endsWith(written.toLowerCase())) return sender;
  const address = `${formatLocal(`${from.value.local}${written}`)}@${splitAddress(sender).domain}`;
  return Buffer.byteLength(address) > LONGEST ? undefined : address;
}
