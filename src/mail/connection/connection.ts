import type { SessionSettings } from "../session/settings.ts";
import { overridden } from "../session/settings.ts";
import type { Peer, Terms } from "../session/state.ts";
import { isLoopback, networksOf, type Networks } from "./networks.ts";
import { addsMissingFields, authOf, clientCertificateOf, identifyByOf, type ListenerSettings } from "./settings.ts";

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
  readonly proxies: Networks;
  readonly etrn: Networks;
  readonly xclient: Networks;
  readonly xforward: Networks;
}

/** Settings made ready for connections: networks parsed, the common session settings overridden. */
export function rulesOf(settings: ListenerSettings, common: SessionSettings, hostname: string): ListenerRules {
  return {
    settings,
    session: overridden(common, settings.session),
    hostname: settings.hostname ?? hostname,
    proxies: networksOf(settings.proxyFrom),
    etrn: networksOf(settings.etrn.allow),
    xclient: networksOf(settings.xclientFrom),
    xforward: networksOf(settings.xforwardFrom),
  };
}

/** What holds for one session, for as long as it lasts. */
export function termsOf(rules: ListenerRules, session: string, peer: Peer, hasCertificate: boolean): Terms {
  const { settings } = rules;
  const isLocal = peer.address === undefined || isLoopback(peer.address);
  return {
    session,
    listener: settings.name,
    tag: settings.tag,
    protocol: settings.protocol,
    hostname: rules.hostname,
    settings: rules.session,
    // An offer that cannot be kept is not made; a demand stays, and refuses mail until there is a certificate.
    tls: settings.tls === "offer" && !hasCertificate ? "off" : settings.tls,
    auth: authOf(settings),
    clientCertificate: clientCertificateOf(settings),
    identifyBy: identifyByOf(settings),
    mayAuthenticateInPlain: settings.authWithoutTls === "loopback" && isLocal,
    bareLineEnds: settings.bareLineEnds,
    addsMissingFields: addsMissingFields(settings),
    vrfy: settings.vrfy,
    expn: settings.expn,
    mayEtrn: ({ address }) => address !== undefined && rules.etrn.has(address),
    mayXclient: peer.address !== undefined && rules.xclient.has(peer.address),
    highestPriority: settings.highestPriority,
    ...(settings.tenant === undefined ? {} : { tenant: settings.tenant }),
    mayXforward: peer.address !== undefined && rules.xforward.has(peer.address),
  };
}
