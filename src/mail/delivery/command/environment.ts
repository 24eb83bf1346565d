import type { LocalUser } from "../../../service/account/users.ts";
import { splitAddress } from "../../../protocol/address/mailbox.ts";
import { senderOf, type Envelope, type Message } from "../../envelope/envelope.ts";
import type { MailboxNames } from "../mailbox/path-template.ts";

/**
 * What a command finds in its environment: the names that Postfix's local(8) gives, so that people's programs find what
 * they know. All of it, and nothing of ours, is there.
 *
 * Values that came from outside hold only characters that no shell gives a meaning to; others become `_`. So a script that
 * forgets its quotes is safe, too.
 */
export function commandEnvironment(parts: {
  readonly message: Message;
  readonly envelope: Envelope;
  readonly names: MailboxNames;
  readonly user: Pick<LocalUser, "name" | "home" | "shell">;
  readonly path: string;
}): Readonly<Record<string, string>> {
  const { message, envelope, names, user } = parts;
  const { origin } = message;
  const given = envelope.via?.[0] ?? envelope.givenRecipient ?? envelope.recipient;
  const { local } = splitAddress(names.recipient);
  const fromOutside: Record<string, string | undefined> = {
    SENDER: senderOf(message, envelope),
    RECIPIENT: envelope.recipient,
    ORIGINAL_RECIPIENT: given,
    LOCAL: local,
    EXTENSION: names.extension,
    DOMAIN: names.domain,
    CLIENT_ADDRESS: origin.address,
    CLIENT_HOSTNAME: origin.clientName ?? (origin.address === undefined ? undefined : "unknown"),
    CLIENT_HELO: origin.helo,
    CLIENT_PROTOCOL: origin.protocol,
    SASL_USERNAME: origin.account,
    MESSAGE_ID: message.messageIdField,
    QUEUE_ID: message.id,
    ENVELOPE_ID: envelope.id,
  };
  return {
    PATH: parts.path,
    HOME: user.home,
    SHELL: user.shell === undefined || user.shell === "" ? "/bin/sh" : user.shell,
    // A table's users are called as their addresses are, so this is from outside, too.
    USER: harmless(user.name),
    LOGNAME: harmless(user.name),
    ...Object.fromEntries(
      Object.entries(fromOutside).flatMap(([name, value]) => (value === undefined ? [] : [[name, harmless(value)]])),
    ),
  };
}

/**
 * Letters of any script, digits, and signs that shells take as they are; the rest becomes `_`, and so does a minus at the
 * beginning, which would make an option of it.
 */
export function harmless(text: string): string {
  return text.replace(/^-|[^\p{L}\p{N}\p{M}!@%\-_=+:,./]/gu, "_");
}

const NAMES: Readonly<Record<string, string>> = {
  user: "USER",
  local: "LOCAL",
  extension: "EXTENSION",
  domain: "DOMAIN",
  recipient: "RECIPIENT",
  original: "ORIGINAL_RECIPIENT",
  sender: "SENDER",
  home: "HOME",
};

/**
 * The text for the shell, from a command of the settings with `{user}`, `{extension}` and so on in it. A name becomes a
 * variable of the environment, never the value itself: whatever stands in an address, the shell reads the same text, and
 * the values hold nothing that it would divide or expand.
 */
export function commandText(template: string): string {
  return template.replace(/\{(\w+)\}/g, (written, name: string) =>
    NAMES[name] === undefined ? written : `\${${NAMES[name]}}`,
  );
}
