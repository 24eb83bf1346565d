import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";

/** An enhanced status code (RFC 3463 section 2) in its parts. */
export interface EnhancedStatus {
  readonly class: 2 | 4 | 5;
  readonly subject: number;
  readonly detail: number;
}

/** Subject and detail → what they mean, in our words: RFC 3463 and what later RFCs registered (RFC 5248). */
const MEANINGS: ReadonlyMap<string, string> = new Map([
  ["0.0", "other or undefined status"],
  ["1.0", "other address status"],
  ["1.1", "no such mailbox"],
  ["1.2", "no such system"],
  ["1.3", "the recipient's address is malformed"],
  ["1.4", "the address fits several recipients"],
  ["1.5", "the address is valid"],
  ["1.6", "the mailbox has moved, without a forwarding address"],
  ["1.7", "the sender's address is malformed"],
  ["1.8", "the sender's system does not exist"],
  ["1.9", "relayed to a mailer that does not speak this protocol"],
  ["1.10", "the domain takes no mail (null MX)"],
  ["2.0", "other mailbox status"],
  ["2.1", "the mailbox is disabled"],
  ["2.2", "the mailbox is full"],
  ["2.3", "the message is longer than the mailbox allows"],
  ["2.4", "the mailing list could not be expanded"],
  ["3.0", "other status of the mail system"],
  ["3.1", "the mail system is full"],
  ["3.2", "the system accepts no messages at present"],
  ["3.3", "the system cannot do what was asked"],
  ["3.4", "the message is too big for the system"],
  ["3.5", "the system is misconfigured"],
  ["3.6", "the requested priority was changed"],
  ["4.0", "other network or routing status"],
  ["4.1", "no answer from the host"],
  ["4.2", "the connection is bad"],
  ["4.3", "the directory server failed"],
  ["4.4", "no route could be found"],
  ["4.5", "the mail system is congested"],
  ["4.6", "a routing loop was found"],
  ["4.7", "the time for delivery ran out"],
  ["5.0", "other protocol status"],
  ["5.1", "the command is not valid here"],
  ["5.2", "syntax error"],
  ["5.3", "too many recipients"],
  ["5.4", "the command's arguments are not valid"],
  ["5.5", "wrong protocol version"],
  ["5.6", "the authentication exchange line is too long"],
  ["6.0", "other content status"],
  ["6.1", "the content's kind is not supported"],
  ["6.2", "the content needs a conversion that is prohibited"],
  ["6.3", "the content needs a conversion that is not supported"],
  ["6.4", "the content was converted with a loss"],
  ["6.5", "the conversion failed"],
  ["6.6", "the content is not available"],
  ["6.7", "addresses beyond ASCII are not allowed here"],
  ["6.8", "a UTF-8 reply is needed but not allowed"],
  ["6.9", "a UTF-8 header cannot be passed on to a recipient"],
  ["6.10", "the content needs UTF-8 support that is missing"],
  ["7.0", "other security or policy status"],
  ["7.1", "delivery is not authorised; the message is refused"],
  ["7.2", "the mailing list may not be expanded"],
  ["7.3", "a needed security conversion is not possible"],
  ["7.4", "the security features are not supported"],
  ["7.5", "a cryptographic failure"],
  ["7.6", "the cryptographic algorithm is not supported"],
  ["7.7", "the message's integrity is lost"],
  ["7.8", "the credentials are not valid"],
  ["7.9", "the authentication mechanism is too weak"],
  ["7.10", "encryption is needed"],
  ["7.11", "encryption is needed for this authentication mechanism"],
  ["7.12", "a password transition is needed"],
  ["7.13", "the user account is disabled"],
  ["7.14", "a trust relationship is needed"],
  ["7.15", "the priority level is too low"],
  ["7.16", "the message is too big for its priority"],
  ["7.17", "the mailbox's owner has changed"],
  ["7.18", "the domain's owner has changed"],
  ["7.19", "the RRVS test cannot be completed"],
  ["7.20", "no passing DKIM signature was found"],
  ["7.21", "no acceptable DKIM signature was found"],
  ["7.22", "no valid DKIM signature of the author's domain was found"],
  ["7.23", "SPF validation failed"],
  ["7.24", "SPF validation ended in an error"],
  ["7.25", "the client's address has no valid reverse name"],
  ["7.26", "several authentication checks failed"],
  ["7.27", "the sender's domain takes no mail (null MX)"],
  ["7.28", "the mail flood limit is exceeded"],
  ["7.29", "ARC validation failed"],
  ["7.30", "REQUIRETLS support is needed"],
]);

/** RFC 3463 section 2: no leading zeros, at most three digits each. */
export function parseStatus(text: string): Result<EnhancedStatus, Problem> {
  const match = /^([245])\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/.exec(text);
  if (match === null) return refused({ at: 0, expected: "a status such as 5.1.1" });
  // The expression lets only these three classes through.
  return ok({ class: Number(match[1]) as 2 | 4 | 5, subject: Number(match[2]), detail: Number(match[3]) });
}

export function formatStatus(status: EnhancedStatus): string {
  return `${status.class}.${status.subject}.${status.detail}`;
}

/** What a status says, for people; codes that nobody registered are told by their subject. */
export function statusMeaning(text: string): string {
  const status = parseStatus(text);
  if (!status.ok) return "unknown status";
  const { subject, detail } = status.value;
  return MEANINGS.get(`${subject}.${detail}`) ?? MEANINGS.get(`${subject}.0`) ?? "unknown status";
}
