import { unreachable } from "../../../foundation/assert.ts";
import { formatDuration } from "../../../foundation/units.ts";
import { formatDateTime } from "../../../protocol/message/date-time.ts";
import type { Failure } from "../../envelope/failure.ts";

/**
 * Why mail could not go, in one or two sentences for the person who sent it: what happened, whose side it is on, and
 * what helps where anything does. The next host's own words are shown beside it, not in it.
 */
export function sentenceFor(failure: Failure): string {
  const { cause, lasting } = failure;
  const host = failure.host === undefined ? "the recipient's mail server" : `the mail server ${failure.host}`;
  const Host = `${host.charAt(0).toUpperCase()}${host.slice(1)}`;
  switch (cause.kind) {
    case "reply":
      return lasting === "permanent"
        ? `${Host} refused it${stage(cause.during)}. Its words below are the reason.`
        : `${Host} did not take it${stage(cause.during)}, and asked for another try. Its words below are the reason.`;
    case "dns":
      return `The address of the recipient's mail server could not be looked up: the name service gave no usable answer for ${cause.finding.name} (${cause.finding.reason}).`;
    case "no-such-domain":
      return `There is no domain ${cause.domain}. Please look for a spelling mistake in the address.`;
    case "null-mx":
      return `The domain ${cause.domain} says that it receives no mail at all.`;
    case "mx-loop":
      return `The domain ${cause.domain} names this server as its mail server, but this server is not set up to receive mail for it. The domain's administrator can mend that.`;
    case "no-address":
      return cause.isDomain === true
        ? `The domain ${cause.host} names no mail server and has no address, so it receives no mail. Please look for a spelling mistake in the address.`
        : `The mail server ${cause.host} has no address, so it cannot be reached. The domain's administrator can mend that.`;
    case "connect":
      return `No connection to ${host} could be made: ${CONNECT_REASONS[cause.reason]}.`;
    case "lost":
      return `The connection to ${host} ${LOST_REASONS[cause.reason]}${stage(cause.during)}.`;
    case "protocol":
      return `${Host} did not keep to the rules of mail transfer${stage(cause.during)}, so the message could not be handed over.`;
    case "tls":
      return `The message may only travel encrypted, and ${host} ${TLS_REASONS[cause.reason]}.`;
    case "auth":
      return `This server could not log in to ${host}, ${AUTH_REASONS[cause.reason]}. The administrator of this server can mend that.`;
    case "unsupported":
      return cause.isWithheld === true
        ? `The message needs ${cause.extension}, which this server does not use with ${host}.`
        : `${Host} ${UNSUPPORTED[cause.extension]}.`;
    case "mailbox":
      return MAILBOX_REASONS[cause.reason];
    case "command":
      return "The program that delivers mail for this recipient failed.";
    case "alias":
      return `${ALIAS_REASONS[cause.reason]}.`;
    case "not-tried":
      return "The recipient's mail server did not take other mail from this server, so this message was not offered to it.";
    case "hops":
      return `The message has passed ${cause.count} mail servers already, which means that it goes round in a circle between servers that forward it to one another.`;
    case "expired":
      return `This server has tried for ${formatDuration(wholeMinutes(cause.afterMs))} and has given up.`;
    case "deliver-by":
      return `It could not be delivered by ${formatDateTime(cause.at, 0)}, the time that was asked for.`;
    case "settings":
      return "This server's settings keep it from delivering to this recipient. The administrator of this server can mend that.";
    case "operator":
      return `The administrator of this server returned it${cause.text === "" ? "" : `, saying: ${cause.text}`}.`;
    case "internal":
      return "This server failed to do its part. That is no fault of yours or of the recipient.";
    default:
      return unreachable(cause);
  }
}

const ALIAS_REASONS = {
  loop: "The recipient's mail is forwarded in a circle",
  "too-many": "The recipient stands for more addresses than this server sends one message to",
  unknown: "The recipient's mail is forwarded to an address that does not exist",
  nobody: "The recipient's mail is forwarded to a list with nobody in it",
  refused: "The recipient's mail is forwarded to where this server does not deliver",
  "not-now": "Where the recipient's mail is forwarded to could not be found out",
} as const;

const CONNECT_REASONS = {
  refused: "it refuses connections",
  timeout: "it does not answer",
  unreachable: "there is no way to it through the network",
  reset: "it broke the connection at once",
  source: "this server may not use the address it was to connect from, which its administrator can mend",
  other: "the network reported an error",
} as const;

const LOST_REASONS = {
  closed: "was closed from there",
  reset: "was broken from there",
  timeout: "went silent",
  other: "failed",
} as const;

const TLS_REASONS = {
  "not-offered": "does not offer encryption",
  refused: "refused to begin encryption",
  handshake: "failed to agree on encryption",
  unverified: "could not prove that it is the right one: its certificate could not be verified",
  policy: "was not asked, because this server could not find out which encryption it needs",
} as const;

const AUTH_REASONS = {
  "not-offered": "which does not offer it",
  "no-mechanism": "which offers no way of it that this server knows",
  refused: "which refused the credentials",
  "not-encrypted": "for the connection is not encrypted and credentials are never sent in the clear",
} as const;

const UNSUPPORTED = {
  SMTPUTF8: "does not accept internationalised addresses or headers, which this message has",
  "8BITMIME": "does not accept 8-bit content, which this message has",
  BINARYMIME: "does not accept binary content, which this message has",
  DELIVERBY: "does not take on the time limit that this message carries",
  SIZE: "does not accept messages of this size",
  REQUIRETLS: "does not promise to pass the message on encrypted, which this message asks for",
} as const;

const MAILBOX_REASONS = {
  "no-such-user": "There is no such mailbox here. Please look for a spelling mistake in the address.",
  locked: "The mailbox is in use by another program.",
  full: "The mailbox, or the disk it lies on, is full.",
  permission: "The mailbox may not be written to. The administrator of this server can mend that.",
  io: "The disk of the mailbox reported an error.",
  forward: "The recipient has instructions to forward mail that cannot be used.",
} as const;

function stage(during: string): string {
  return during === "" ? "" : ` (in answer to ${during})`;
}

function wholeMinutes(durationMs: number): number {
  return Math.max(1, Math.round(durationMs / 60_000)) * 60_000;
}
