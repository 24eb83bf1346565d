import { literalOf } from "../address/domain.ts";
import { formatDateTime } from "./date-time.ts";
import { sanitiseWord } from "./field.ts";

/** What a Received field says (RFC 5321 section 4.4). All text may come from a peer; it is made harmless here. */
export interface ReceivedFacts {
  /** The argument of EHLO, HELO or LHLO; absent when there was no greeting (a local submission). */
  readonly helo?: string | undefined;
  /** The client's address without brackets; absent for a unix socket. */
  readonly clientAddress?: string | undefined;
  /** The client's verified name. */
  readonly clientName?: string | undefined;
  /** A user of this host who handed it in, as the system knows him. */
  readonly localUser?: string | undefined;
  /** Our own name. */
  readonly by: string;
  /** The `with` word; see `withProtocol`. */
  readonly protocol: string;
  readonly id: string;
  /** Absent in plaintext. */
  readonly tls?: ReceivedTls | undefined;
  /** The for-clause: only when the message has this one recipient, or it would betray the others (RFC 5321 section 7.6). */
  readonly onlyRecipient?: string | undefined;
  /** RFC 6710, where the message has one. */
  readonly priority?: number | undefined;
  readonly at: number;
  /** Of our zone, minutes ahead of UTC. */
  readonly offsetMinutes: number;
}

export interface ReceivedTls {
  readonly version: string;
  readonly cipher: string;
  /** The strength of the cipher, when known. */
  readonly bits?: number | undefined;
  /** The group of the key exchange, when known. */
  readonly group?: string | undefined;
  /** How the client's certificate fared: `NONE` when there was none. */
  readonly verify: "OK" | "FAIL" | "NONE" | "DANE";
}

/** The whole field with its CRLF, a clause or two a line; no line passes 998 octets (RFC 5322 section 2.1.1). */
export function formatReceived(facts: ReceivedFacts): string {
  const from = fromClause(facts);
  const by = `by ${nameIn(facts.by)} (Posthorn) with ${sanitiseWord(facts.protocol, 32)} id ${sanitiseWord(facts.id, 64)}`;
  const lines = [from === undefined ? `Received: ${by}` : `Received: ${from}\r\n\t${by}`];
  if (facts.tls !== undefined) lines.push(tlsComment(facts.tls));
  const recipient = forClause(facts);
  if (recipient !== undefined) lines.push(recipient);
  // RFC 6710 section 4.4.
  if (facts.priority !== undefined) lines.push(`PRIORITY ${facts.priority}`);
  return `${lines.join("\r\n\t")};\r\n\t${formatDateTime(facts.at, facts.offsetMinutes)}\r\n`;
}

/** RFC 5321 section 4.4: the greeting's word, and behind it what the connection itself says of the client. */
function fromClause(facts: ReceivedFacts): string | undefined {
  if (facts.helo === undefined && facts.clientAddress === undefined) return undefined;
  const helo = facts.helo === undefined || facts.helo === "" ? "unknown" : nameIn(facts.helo);
  if (facts.clientAddress === undefined)
    return facts.localUser === undefined ? `from ${helo}` : `from ${helo} (local user ${nameIn(facts.localUser)})`;
  const name = facts.clientName === undefined ? "unknown" : nameIn(facts.clientName);
  return `from ${helo} (${name} ${literalOf(sanitiseWord(facts.clientAddress, 64))})`;
}

function tlsComment(tls: ReceivedTls): string {
  const bits = tls.bits === undefined ? "" : ` bits=${tls.bits}`;
  const group = tls.group === undefined ? "" : ` group=${nameIn(tls.group, 32)}`;
  const negotiated = `version=${nameIn(tls.version, 32)} cipher=${nameIn(tls.cipher, 64)}${bits}${group}`;
  return `(${negotiated} verify=${tls.verify})`;
}

/** A peer's word that cannot be read as one of our `name=value` pairs. */
function nameIn(text: string, maxLength?: number): string {
  return sanitiseWord(text, maxLength).replaceAll("=", "?");
}

function forClause(facts: ReceivedFacts): string | undefined {
  const recipient = facts.onlyRecipient;
  if (recipient === undefined || recipient.length > 320) return undefined;
  // What looks like a comment might be read as ours.
  if (/[()]/.test(recipient)) return undefined;
  // RFC 6531 section 3.7.3: an internationalised address only in a message that is one. Better no clause than a false one.
  const unfit = facts.protocol.startsWith("UTF8") ? /[\x00-\x1f\x7f-\x9f<>\u2028\u2029]/ : /[^\x20-\x7e]|[<>]/;
  return unfit.test(recipient) ? undefined : `for <${recipient}>`;
}

/** What decides the `with` word: RFC 3848, and RFC 6531 section 4.3 for internationalised messages. */
export function withProtocol(session: {
  readonly greeting: "HELO" | "EHLO" | "LHLO";
  readonly isInternational: boolean;
  readonly isEncrypted: boolean;
  readonly isAuthenticated: boolean;
}): string {
  if (session.greeting === "HELO") return "SMTP";
  const base = session.greeting === "LHLO" ? "LMTP" : session.isInternational ? "SMTP" : "ESMTP";
  const name = `${base}${session.isEncrypted ? "S" : ""}${session.isAuthenticated ? "A" : ""}`;
  return session.isInternational ? `UTF8${name}` : name;
}
