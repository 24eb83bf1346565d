import { splitAddress, unquote } from "../../../protocol/address/mailbox.ts";
import type { Envelope } from "../../envelope/envelope.ts";
import { splitExtension } from "../../envelope/extension.ts";

/**
 * Where a recipient's mailbox is. Each name in braces becomes one path component's worth of text that can neither leave
 * its directory nor be empty: `/`, NUL, controls, `%` and a leading dot are written as `%XX`. So whatever a client put
 * between the quotes of a local part, only the template decides about directories.
 *
 * Local parts are folded to lower case and to one Unicode form, as tables fold them: `Alice` and `alice` are one mailbox.
 */
export interface MailboxNames {
  /** The local part without its extension. */
  readonly user: string;
  /** What follows the delimiter, or `""`. */
  readonly extension: string;
  readonly domain: string;
  /** The address as a whole. */
  readonly recipient: string;
}

/**
 * `known`: the user's name, where it was found out. Without it each character of `extensionDelimiters` is a delimiter, and the
 * first one of the address counts.
 */
export function mailboxNames(recipient: string, extensionDelimiters: string, known?: string): MailboxNames {
  const { local: written, domain } = splitAddress(recipient);
  const local = fold(unquote(written));
  const { user, extension } = splitAt(local, extensionDelimiters, known && fold(known));
  return {
    user,
    extension,
    domain: fold(domain),
    recipient: domain === "" ? local : `${local}@${fold(domain)}`,
  };
}

/** The names of an envelope's mailbox. */
export function namesOfEnvelope(
  { recipient, target }: Pick<Envelope, "recipient" | "target">,
  delimiters: string,
): MailboxNames {
  if (target?.kind === "user") return mailboxNames(recipient, delimiters, target.user);
  const whole = mailboxNames(recipient, "");
  // A command of a `.forward` is its user's, whose own name may hold a delimiter; one of an alias is nobody's.
  const isWholeName = target?.kind === "command" && mailboxNames(target.user, "").user === whole.user;
  return isWholeName ? whole : mailboxNames(recipient, delimiters);
}

function splitAt(
  local: string,
  delimiters: string,
  known: string | undefined,
): Pick<MailboxNames, "user" | "extension"> {
  if (known === undefined) return splitExtension(local, delimiters);
  if (!local.startsWith(known)) return { user: known, extension: splitExtension(local, delimiters).extension };
  return { user: known, extension: local.slice(known.length + 1) };
}

/** The names a template may hold; another name in braces is left as it is. */
const NAME = /\{(user|extension|domain|recipient)\}/g;

/** Whether each recipient has a mailbox of their own by it; else it is one for many, and nobody's own. */
export function namesRecipient(template: string): boolean {
  return /\{(?:user|recipient)\}/.test(template);
}

/** `home`: what `{home}` at the template's beginning stands for, an absolute path. */
export function mailboxPath(template: string, names: MailboxNames, home?: string): string {
  const isAtHome = home !== undefined && template.startsWith(HOME);
  const path = (isAtHome ? template.slice(HOME.length) : template).replace(NAME, (_, name: keyof MailboxNames) =>
    safeComponent(names[name]),
  );
  return isAtHome ? `${home === "/" ? "" : home}${path}` : path;
}

/** With this a template begins in the user's home, instead of being relative to the settings file. */
export const HOME = "{home}";

/** One text, one component: different texts (after folding) give different components. */
export function safeComponent(text: string): string {
  if (text === "") return "%";
  return text.replace(/^\.|[\u0000-\u001f\u007f-\u009f/%]/g, (character) =>
    [...Buffer.from(character, "utf8")].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}

function fold(text: string): string {
  return text.normalize("NFC").toLowerCase().normalize("NFC").toWellFormed();
}
