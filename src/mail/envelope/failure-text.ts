import { unreachable } from "../../foundation/assert.ts";
import { formatDuration } from "../../foundation/units.ts";
import { dnsFindingText } from "../../protocol/dns/resolver.ts";
import { replyText } from "../../protocol/smtp/reply.ts";
import type { Failure } from "./failure.ts";

/**
 * A failure in one line for people: the log's `status=deferred (…)`, the attempts of `queue show`, the text of a bounce.
 * Worded near to what people know from Postfix. May contain a peer's text: sinks escape it. `reader`: a sender, who reads a
 * bounce, is not told of our own servers.
 */
export function failureText(failure: Failure, reader: "operator" | "sender" = "operator"): string {
  return reader === "sender" ? (withoutOurs(failure) ?? textOf(failure, reader)) : textOf(failure, reader);
}

/** For a sender, where the whole text may name our files, tables, users and settings; undefined: it does not. */
function withoutOurs({ cause, reply }: Failure): string | undefined {
  switch (cause.kind) {
    case "mailbox":
      return `mailbox: ${MAILBOX_REASONS[cause.reason]}`;
    case "command":
      return `command: ${cause.told ?? "it failed"}`;
    case "alias":
      return `alias: ${cause.told ?? ALIAS_REASONS[cause.reason]}`;
    case "settings":
      return "settings: they keep this server from delivering it";
    case "internal":
      return "internal: this server failed to do its part";
    case "connect":
      return cause.reason === "source"
        ? "connect: this server may not use the address it was to connect from"
        : undefined;
    case "auth":
      return reply === undefined ? `authentication with the next host: ${AUTH_REASONS[cause.reason]}` : undefined;
    case "reply":
    case "dns":
    case "no-such-domain":
    case "null-mx":
    case "mx-loop":
    case "no-address":
    case "lost":
    case "protocol":
    case "tls":
    case "unsupported":
    case "not-tried":
    case "hops":
    case "expired":
    case "deliver-by":
    case "operator":
      return undefined;
    default:
      return unreachable(cause);
  }
}

function textOf(failure: Failure, reader: "operator" | "sender"): string {
  const { cause } = failure;
  const host = failure.host ?? "the next host";
  const said = failure.reply === undefined ? undefined : replyText(failure.reply);
  switch (cause.kind) {
    case "reply":
      return `host ${host} said: ${said ?? failure.status} (in reply to ${cause.during})`;
    case "dns":
      return `name service error for name=${cause.finding.name} type=${cause.finding.type}: ${cause.finding.reason}: ${
        // Which name servers we ask is nobody else's matter.
        reader === "operator" ? dnsFindingText(cause.finding) : cause.finding.text
      }`;
    case "no-such-domain":
      return `host or domain name not found: ${cause.domain}`;
    case "null-mx":
      return `domain ${cause.domain} does not accept mail (null MX)`;
    case "mx-loop":
      return `mail for ${cause.domain} loops back to myself`;
    case "no-address":
      return cause.isDomain === true
        ? `domain ${cause.host} has neither a mail server (MX) nor an address`
        : `no address found for host ${cause.host}`;
    case "connect":
      return `connect to ${host}: ${cause.text === "" ? cause.reason : cause.text}`;
    case "lost":
      return cause.reason === "timeout"
        ? `conversation with ${host} timed out during ${cause.during}${withReply(said)}`
        : `lost connection with ${host} during ${cause.during}${withReply(said)}`;
    case "protocol":
      return `host ${host} broke the protocol during ${cause.during}: ${cause.text}`;
    case "tls":
      return `TLS with ${host}: ${TLS_REASONS[cause.reason]}${withText(cause.text)}`;
    case "auth":
      return `authentication with ${host}: ${AUTH_REASONS[cause.reason]}${withText(said ?? cause.text)}`;
    case "unsupported":
      return cause.isWithheld === true
        ? `this message needs ${cause.extension}, which this server does not use with host ${host}`
        : `host ${host} does not offer ${cause.extension}, which this message needs`;
    case "mailbox":
      return `mailbox: ${MAILBOX_REASONS[cause.reason]}${withText(cause.text)}`;
    case "command":
      return `command: ${cause.text}`;
    case "alias":
      return `alias: ${cause.text}`;
    case "not-tried":
      return "not tried: the next host rests, as it did not take other mail";
    case "hops":
      return `too many hops: ${cause.count}`;
    case "expired":
      return `delivery time expired after ${formatDuration(wholeMinutes(cause.afterMs))}`;
    case "deliver-by":
      return "could not be delivered by the time the sender asked for";
    case "settings":
      return `settings: ${cause.text}`;
    case "operator":
      return `by the operator: ${cause.text}`;
    case "internal":
      return `internal: ${cause.text}`;
    default:
      return unreachable(cause);
  }
}

const TLS_REASONS = {
  "not-offered": "encryption is required, but was not offered",
  refused: "encryption was refused",
  handshake: "the handshake failed",
  unverified: "the certificate could not be verified",
  policy: "the policy could not be found out",
} as const;

const AUTH_REASONS = {
  "not-offered": "not offered",
  "no-mechanism": "no mechanism in common",
  refused: "refused",
  "not-encrypted": "credentials are not sent in plaintext",
} as const;

const ALIAS_REASONS = {
  loop: "it leads back to itself",
  "too-many": "it stands for too many addresses",
  unknown: "it leads to an address that does not exist",
  refused: "it leads to where nothing is delivered",
  nobody: "nobody is behind it",
  "not-now": "where it leads to could not be found out",
} as const;

const MAILBOX_REASONS = {
  "no-such-user": "no such user",
  locked: "locked by somebody else",
  full: "full",
  permission: "permission denied",
  io: "input/output error",
  forward: "the .forward cannot be used",
} as const;

function wholeMinutes(durationMs: number): number {
  return Math.max(1, Math.round(durationMs / 60_000)) * 60_000;
}

function withText(text: string): string {
  return text === "" ? "" : `: ${text}`;
}

function withReply(said: string | undefined): string {
  return said === undefined ? "" : `; it had said: ${said}`;
}
