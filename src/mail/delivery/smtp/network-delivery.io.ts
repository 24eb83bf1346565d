import type { Clock } from "../../../foundation/clock.ts";
import type { Emit } from "../../../foundation/events.ts";
import type { LineTrace } from "../../../foundation/line-trace.ts";
import type { Random } from "../../../foundation/random.ts";
import { canonicalIpText, isLoopback, parseIpAddress } from "../../../protocol/address/ip-address.ts";
import { canonicalName } from "../../../protocol/dns/name.ts";
import type { Resolver } from "../../../protocol/dns/resolver.ts";
import type { Credentials } from "../../../protocol/sasl/client.ts";
import type { ClientKeeper } from "../../../service/tls/client-contexts.io.ts";
import { tlsClientEngine, type ClientEngine } from "../../../service/tls/client.io.ts";
import { FlightSampler } from "../../../service/tls/flight/flight-sampler.ts";
import type { Tracer } from "../../../service/tls/tracer/tracer.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { Body } from "../../queue/store.ts";
import { relayByMx } from "../../route/relay.ts";
import type {
  Connected,
  ConnectRequest,
  NetworkDelivery,
  RecipientTrial,
  RecipientTried,
  Resolved,
  ResolveRequest,
  SessionFacts,
  TlsTried,
  Transacted,
  TransactRequest,
} from "../delivery.ts";
import { resolveHosts, type HostFinder } from "../resolve-hosts.ts";
import type { SmtpClientSettings } from "../settings.ts";
import { handshakeTerms, type TlsVariant } from "../tls-policy/demand.ts";
import { askPolicy, type PolicyFinder } from "../tls-policy/find-policy.ts";
import { policyKeys } from "../tls-policy/policy-key.ts";
import type { HandshakeTerms, PolicyQuestion, PolicyReport } from "../tls-policy/policy-report.ts";
import type { TlsPolicy } from "../tls-policy/policy.ts";
import { maySharePolicy } from "../tls-policy/sharing.ts";
import type { ClientSession } from "./client-session.io.ts";
import { Connector } from "./connector.io.ts";
import type { Dial } from "./dial.ts";
import * as events from "./events.ts";
import { stopping } from "./places.ts";
import { unencryptedFields } from "./tls-lines.ts";
import type { Content } from "./run-transaction.io.ts";

export interface NetworkDeliveryParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly emit: Emit;
  readonly settings: SmtpClientSettings;
  readonly resolver: Resolver;
  readonly dial: Dial;
  /** The content of a body in a file; its iterator is closed when reading stops early. */
  readonly openBody: (body: Body) => AsyncIterable<Uint8Array>;
  readonly credentials: (label: string) => Credentials | undefined;
  /** Our own name: for loops, and for EHLO where the request has none. */
  readonly hostname: string;
  /** Addresses at which mail for our own MX name arrives: where the MX list is cut. */
  readonly localAddresses: readonly string[];
  readonly policies: PolicyFinder;
  /** Who reads authorities and the certificates that we show. */
  readonly keeper: ClientKeeper;
  /** What of TLS connections the log shows besides; absent: nothing. */
  readonly tracer?: Tracer | undefined;
  /** Shows dialogues while somebody wants to see them. */
  readonly trace?: LineTrace | undefined;
}

/**
 * Delivery over SMTP and LMTP (RFC 5321, RFC 2033): sessions by name, as the scheduler drives them. Closing it cuts what
 * is still open, and what was running ends as temporary failures.
 */
export function createNetworkDelivery(parts: NetworkDeliveryParts): OwnedDelivery {
  return new SmtpDelivery(parts);
}

/** Sessions that belong to whoever drives them. */
export interface OwnedDelivery extends NetworkDelivery, AsyncDisposable {
  /**
   * Whoever drove the sessions is gone, and nobody hears what becomes of them: what is in the middle of a mail is cut, so
   * that it is not sent for nothing and then once more, and the others are left.
   */
  forsake(): void;
}

class SmtpDelivery implements OwnedDelivery {
  readonly #parts: NetworkDeliveryParts;
  readonly #sessions = new Map<string, ClientSession>();
  readonly #connector: Connector;
  readonly #tls: ClientEngine;
  /** Sessions that say QUIT and wait for its answer: how their connections end is still to be told. */
  readonly #leaving = new Set<Promise<void>>();
  /** How often all were forsaken: a session that began to be opened before is nobody's. */
  #forsaken = 0;
  readonly #finder: HostFinder;
  /** What was told last of each session: it carries one mail after the other, and of each the same is to be said. */
  readonly #unencrypted = new WeakMap<
    SessionFacts,
    { readonly mails: number; readonly fields: ReturnType<typeof unencryptedFields> }
  >();

  constructor(parts: NetworkDeliveryParts) {
    this.#parts = parts;
    this.#tls = tlsClientEngine({ clock: parts.clock, sessionLifetimeMs: parts.settings.tls.sessionLifetime });
    this.#connector = new Connector({ ...parts, tls: this.#tls, flights: new FlightSampler() });
    const own = new Set(parts.localAddresses.flatMap((address) => canonicalIpText(address) ?? []));
    this.#finder = {
      resolver: parts.resolver,
      random: parts.random,
      now: () => parts.clock.now(),
      ownNames: new Set([canonicalName(parts.hostname)]),
      // Mail by MX goes to port 25, so that is where we would meet ourselves.
      isOwn: (address, port) => port === 25 && (own.has(address) || isThisMachine(address)),
      families: parts.settings.addressFamilies,
    };
  }

  async resolve(request: ResolveRequest): Promise<Resolved> {
    const resolved = await resolveHosts(request, this.#finder);
    if (!resolved.ok || request.target.kind !== "domain") return resolved;
    const { domain } = request.target;
    const isShareable = await maySharePolicy(this.#parts.policies, domain, request.defaultPort, resolved.hosts);
    return { ...resolved, isShareable };
  }

  async connect(request: ConnectRequest): Promise<Connected> {
    const startedAt = this.#parts.clock.monotonicMs();
    const forsakenBefore = this.#forsaken;
    const opened = await this.#connector.open(request);
    const tookMs = this.#parts.clock.monotonicMs() - startedAt;
    const { learnt } = opened;
    if (!opened.ok) return { ok: false, failure: opened.failure, scope: opened.scope, tookMs, learnt };
    const { facts } = opened.session;
    const { extensions, host } = facts;
    if (this.#connector.isClosed || this.#forsaken > forsakenBefore) {
      // It was ready the moment that all ended, or has nobody left to use it: its name may be another one's by now.
      void this.#leave(opened.session);
      return { ...stopping(host), tookMs };
    }
    this.#sessions.set(request.session, opened.session);
    this.#parts.emit(events.sessionOpened, {
      session: request.session,
      protocol: request.protocol,
      host,
      relay: request.relay,
      extensions,
      took: tookMs,
    });
    return { ok: true, session: request.session, facts, tookMs, learnt };
  }

  async transact(request: TransactRequest): Promise<Transacted> {
    const session = this.#sessions.get(request.session);
    if (session === undefined) return failedAll(request, internal(`there is no session ${request.session}`), "none");
    if (session.isBusy)
      return failedAll(request, internal(`session ${request.session} is busy`), session.facts.host, true);
    const content = this.#contentOf(request.body);
    // A host may close a kept connection whenever it likes. Mail that it had not heard of then was not tried, and whoever
    // drives the sessions opens the next one: it has to know what that one is and has learnt.
    const transacted = session.hasEnded
      ? failedAll(request, session.lost, session.facts.host)
      : await session.transact(request, content);
    this.#tellUnencrypted(session, transacted);
    // Who came back with the same names may have another one of this name.
    if (!transacted.isUsable && this.#sessions.get(request.session) === session) this.#sessions.delete(request.session);
    return transacted;
  }

  async leave(name: string): Promise<void> {
    const session = this.#sessions.get(name);
    if (session === undefined) return;
    this.#sessions.delete(name);
    await this.#leave(session);
  }

  async #leave(session: ClientSession): Promise<void> {
    const left = session.leave().finally(() => this.#leaving.delete(left));
    this.#leaving.add(left);
    await left;
  }

  forsake(): void {
    this.#forsaken++;
    for (const name of this.#sessions.keys()) void this.leave(name);
  }

  tryTls(request: ConnectRequest, variant: TlsVariant | undefined): Promise<TlsTried> {
    return this.#connector.tryTls(request, variant);
  }

  async tryRecipient(name: string, ask: RecipientTrial): Promise<RecipientTried> {
    const session = this.#sessions.get(name);
    if (session === undefined || session.isBusy) return { kind: "failed", text: `session ${name} is not to be had` };
    return session.tryRecipient(ask);
  }

  async tlsPolicy(question: PolicyQuestion): Promise<PolicyReport> {
    const answer = await askPolicy(this.#parts.policies, question);
    const keysTried = policyKeys(question);
    const terms = (policy?: TlsPolicy): HandshakeTerms => handshakeTerms(policy, this.#parts.settings.tls);
    if (answer.kind === "found") {
      const { found } = answer;
      return { kind: "found", ...found, keysTried, terms: terms(found.policy) };
    }
    if (answer.kind === "failed") return { ...answer, keysTried };
    return { kind: "none", byMx: relayByMx.tls, keysTried, terms: terms() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connector.close();
    this.forsake();
    await Promise.all(this.#leaving);
    await this.#tls.settled();
  }

  #tellUnencrypted({ request, facts }: ClientSession, { outcomes }: Transacted): void {
    const mails = outcomes.filter(({ kind }) => kind === "delivered").length;
    if (mails === 0) return;
    const known = this.#unencrypted.get(facts);
    const fields = known?.mails === mails ? known.fields : unencryptedFields(request, facts, mails);
    if (known?.mails !== mails) this.#unencrypted.set(facts, { mails, fields });
    if (fields !== undefined) this.#parts.emit(events.unencrypted, fields);
  }

  #contentOf(body: Body): Content {
    return body.kind === "inline" ? body.bytes : () => this.#parts.openBody(body);
  }
}

/** Loopback, and the unspecified address, which a connection takes for it. */
function isThisMachine(address: string): boolean {
  const parsed = parseIpAddress(address);
  return parsed !== undefined && (isLoopback(parsed) || parsed.bytes.every((byte) => byte === 0));
}

function failedAll(request: TransactRequest, failure: Failure, relay: string, isUsable = false): Transacted {
  const outcomes = request.envelopes.map(
    (one) => ({ kind: "failed", envelope: one.id, relay, failure, tookMs: 0 }) as const,
  );
  return isUsable ? { outcomes, isUsable } : { outcomes, isUsable, ended: { failure, scope: "address" } };
}

function internal(text: string): Failure {
  return { lasting: "temporary", status: "4.3.0", cause: { kind: "internal", text } };
}
