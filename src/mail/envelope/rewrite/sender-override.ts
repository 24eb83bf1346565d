import { ok, refused, type Problem, type Result } from "../../../foundation/result.ts";
import { formatDomain, parseDomain } from "../../../protocol/address/domain.ts";
import { formatLocal, formatMailbox, parseMailbox } from "../../../protocol/address/mailbox.ts";

/**
 * Another sender instead of the message's (`as` of an action): a whole address, or only its domain or its local part. It is
 * the reverse path alone that changes; no header field does. The null sender stays the null sender.
 */
export type SenderOverride =
  | { readonly kind: "address"; readonly address: string }
  | { readonly kind: "domain"; readonly domain: string }
  | { readonly kind: "user"; readonly user: string };

/** RFC 5321 section 4.5.3.1.3: 256 octets with the angle brackets. */
const LONGEST = 254;

/** `user@domain`, `@domain` or `user`; what comes out is in wire form. */
export function parseSenderOverride(text: string): Result<SenderOverride, Problem> {
  if (text.startsWith("@")) {
    const domain = parseDomain(text.slice(1), { isInternational: true });
    if (!domain.ok) return refused({ at: 1 + domain.problem.at, expected: domain.problem.expected });
    return ok({ kind: "domain", domain: formatDomain(domain.value) });
  }
  // `"a@b"` is a user whose name holds an @; `a@b` is an address.
  const isWhole = !isUser(text);
  const mailbox = parseMailbox(isWhole ? text : `${text}@localhost`, { isInternational: true });
  if (!mailbox.ok)
    return refused({ at: mailbox.problem.at, expected: "an address, @ and a domain, or the part in front of @" });
  if (Buffer.byteLength(text) > LONGEST) return refused({ at: LONGEST, expected: `at most ${LONGEST} octets` });
  const { local } = mailbox.value;
  // Only the domain may be international: it has a form in ASCII, so mail that any host takes stays such mail.
  if (local === "" || /[^\x20-\x7e]/.test(local)) return refused({ at: 0, expected: "a local part in ASCII" });
  return ok(
    isWhole ? { kind: "address", address: formatMailbox(mailbox.value) } : { kind: "user", user: formatLocal(local) },
  );
}

function isUser(text: string): boolean {
  return parseMailbox(`${text}@localhost`, { isInternational: true }).ok;
}

/**
 * The sender of mail from `sender` (in wire form, `""` the null sender); undefined where it stays as it is: for the null
 * sender, and where no address would come of it that a command can carry. A sender without a domain is of `hostname`.
 */
export function overrideSender(sender: string, override: SenderOverride, hostname: string): string | undefined {
  if (sender === "") return undefined;
  const whole = isUser(sender) ? `${sender}@${hostname}` : sender;
  const mailbox = parseMailbox(whole, { isInternational: true });
  // Nothing of it can be kept; an override that keeps nothing does not mind.
  if (!mailbox.ok) return override.kind === "address" ? override.address : undefined;
  const { local, domain } = mailbox.value;
  if (local === "" && override.kind === "domain") return undefined;
  const address =
    override.kind === "address"
      ? override.address
      : override.kind === "domain"
        ? `${formatLocal(local)}@${override.domain}`
        : `${override.user}@${formatDomain(domain)}`;
  return Buffer.byteLength(address) > LONGEST || address === sender ? undefined : address;
}
