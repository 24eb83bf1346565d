import { assert } from "../../foundation/assert.ts";
import { SASL_MECHANISMS, type SaslMechanism } from "../../protocol/sasl/question.ts";
import type { SessionSettings } from "../session/settings.ts";
import { overridden } from "../session/overridden.ts";
import type { Peer, Rewriting, Terms } from "../session/state.ts";
import type { MasqueradeSettings, VerpSettings } from "../envelope/rewrite/settings.ts";
import { isLoopback, networksOf, type Networks } from "../../service/table/networks.ts";
import type { ListenerSettings } from "./settings.ts";
import { addsMissingFields } from "./listener-choices.ts";
import { identifyByOf } from "./listener-choices.ts";
import { clientCertificateOf } from "./listener-choices.ts";
import { authOf } from "./listener-choices.ts";

/**
 * The connection stage: listeners, and what happens to a connection before anybody speaks. After it: session.
 *
 * `createListener` (`listener.io.ts`) makes one listener of its settings; `listen()` binds it, or takes over a server,
 * descriptor or handle that somebody else bound; `reconfigure()` gives new settings to connections that come, running
 * sessions keep theirs; `close(deadlineMs)` lets transactions end and nothing new begin.
 *
 * A connection's way: admitted or refused by the limits (`limits.ts`) → PROXY header, where the listener expects one
 * (`proxy-header.ts`) → implicit TLS → the client's name (`client-name.ts`) → session. The limits count the client that
 * a PROXY header names, not the proxy.
 *
 * Invariants: a connection beyond a limit costs one reply at most and is never queued; the work before the session has
 * deadlines for each part; nothing a client does before its session can make a listener stop.
 *
 * RFC 5321 section 3.1; the PROXY protocol, versions 1 and 2; RFC 8314 (implicit TLS).
 */
export interface ListenerRules {
  readonly settings: ListenerSettings;
  readonly session: SessionSettings;
  readonly hostname: string;
  readonly mechanisms: readonly SaslMechanism[];
  readonly rewriting: Rewriting | undefined;
  readonly proxies: Networks;
  readonly etrn: Networks;
  readonly xclient: Networks;
  readonly xforward: Networks;
  readonly ownNames: readonly string[];
}

/** Settings made ready for connections: networks parsed, the common session settings overridden. */
export function rulesOf(given: {
  readonly settings: ListenerSettings;
  readonly session: SessionSettings;
  readonly hostname: string;
  readonly mechanisms?: readonly SaslMechanism[] | undefined;
  readonly rewriting?: CommonRewriting | undefined;
  /** Of all listeners. */
  readonly ownNames?: readonly string[] | undefined;
}): ListenerRules {
  const { settings } = given;
  const mechanisms = settings.authMechanisms ?? given.mechanisms ?? ["PLAIN", "LOGIN", "EXTERNAL"];
  return {
    settings,
    session: overridden(given.session, settings.session),
    hostname: settings.hostname ?? given.hostname,
    mechanisms: SASL_MECHANISMS.filter((mechanism) => mechanisms.includes(mechanism)),
    rewriting: given.rewriting && rewritingOf(settings, given.rewriting),
    proxies: networksOf(settings.proxyFrom),
    etrn: networksOf(settings.etrn.allow),
    xclient: networksOf(settings.xclientFrom),
    xforward: networksOf(settings.xforwardFrom),
    ownNames: [given.hostname, ...(given.ownNames ?? [])],
  };
}

/** What the server's settings say of rewriting, for all listeners. */
export interface CommonRewriting {
  readonly masquerade: MasqueradeSettings;
  readonly verp: VerpSettings;
}

export function rewritingOf(settings: ListenerSettings, { masquerade, verp }: CommonRewriting): Rewriting | undefined {
  const isMasked = masquerade.listeners?.includes(settings.name) ?? settings.protocol === "submission";
  const hidesHosts = isMasked && masquerade.domains.length > 0;
  if (!hidesHosts && verp.clients === "none") return undefined;
  return { ...(hidesHosts ? { masquerade } : {}), ...(verp.clients === "none" ? {} : { verp }) };
}

/** What holds for one session, for as long as it lasts. */
export function termsOf(
  rules: ListenerRules,
  session: string,
  peer: Peer,
  hasCertificate: boolean,
  isTlsQuiet?: true,
): Terms {
  const { settings } = rules;
  const { protocol } = settings;
  assert(protocol !== "http", "a listener for HTTP has no mail sessions");
  const isLocal = peer.address === undefined || isLoopback(peer.address);
  return {
    session,
    listener: settings.name,
    tag: settings.tag,
    protocol,
    hostname: rules.hostname,
    settings: rules.session,
    // An offer that cannot be kept is not made; a demand stays, and refuses mail until there is a certificate.
    tls: settings.tls === "offer" && !hasCertificate ? "off" : settings.tls,
    auth: authOf(settings),
    mechanisms: rules.mechanisms,
    clientCertificate: clientCertificateOf(settings),
    identifyBy: identifyByOf(settings),
    mayAuthenticateInPlain: settings.authWithoutTls === "loopback" && isLocal,
    bareLineEnds: settings.bareLineEnds,
    addsMissingFields: addsMissingFields(settings),
    rewriting: rules.rewriting,
    vrfy: settings.vrfy,
    expn: settings.expn,
    mayEtrn: ({ address }) => address !== undefined && rules.etrn.has(address),
    mayXclient: ({ address }) => address !== undefined && rules.xclient.has(address),
    highestPriority: settings.highestPriority,
    tenant: settings.tenant,
    judgesForwarded: settings.judgeForwarded ? true : undefined,
    ownNames: rules.ownNames,
    isTlsQuiet,
    mayXforward: ({ address }) => address !== undefined && rules.xforward.has(address),
  };
}
