import type { Clock } from "../../../foundation/clock.ts";
import { DeadlinePassed, withDeadline } from "../../../foundation/deadline.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { Emit } from "../../../foundation/events.ts";
import type { Random } from "../../../foundation/random.ts";
import { canonicalIpText, isLoopback, parseIpAddress } from "../../../protocol/address/ip-address.ts";
import { canonicalName } from "../../../protocol/dns/name.ts";
import type { Resolver } from "../../../protocol/dns/resolver.ts";
import type { Credentials } from "../../../protocol/sasl/client.ts";
import type { Failure } from "../../envelope/failure.ts";
import { failureText } from "../../envelope/failure-text.ts";
import type { Body } from "../../queue/store.ts";
import type { Connected, ConnectRequest, NetworkDelivery, Transacted, TransactRequest } from "../delivery.ts";
import type { NextHost, TlsMode } from "../../route/next-host.ts";
import { resolveHosts, type HostFinder } from "../resolve-hosts.ts";
import type { SmtpClientSettings } from "../settings.ts";
import { ClientSession, factsOf } from "./client-session.io.ts";
import type { Dial, Dialled } from "./dial.ts";
import * as events from "./events.ts";
import { openSession, type Opened } from "./open-session.io.ts";
import { TlsClient } from "./tls-client.io.ts";
import { TlsFailures } from "./tls-failures.ts";
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
}

/** A new connection with other encryption is made at most this often for one request. */
const MOST_CONNECTIONS = 3;
const SMTPS_PORT = 465;

/**
 * Delivery over SMTP and LMTP (RFC 5321, RFC 2033): sessions by name, as the scheduler drives them. Closing it cuts what
 * is still open, and what was running ends as temporary failures.
 */
export function createNetworkDelivery(parts: NetworkDeliveryParts): NetworkDelivery & AsyncDisposable {
  return new SmtpDelivery(parts);
}

class SmtpDelivery implements NetworkDelivery, AsyncDisposable {
  readonly #parts: NetworkDeliveryParts;
  readonly #sessions = new Map<string, ClientSession>();
  readonly #tls: TlsClient;
  readonly #tlsFailures: TlsFailures;
  readonly #finder: HostFinder;

  constructor(parts: NetworkDeliveryParts) {
    this.#parts = parts;
    this.#tls = new TlsClient(parts.settings.caFile);
    this.#tlsFailures = new TlsFailures(parts.settings.tlsFailuresKept);
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

  resolve: NetworkDelivery["resolve"] = (request) => resolveHosts(request, this.#finder);

  async connect(request: ConnectRequest): Promise<Connected> {
    const startedAt = this.#parts.clock.monotonicMs();
    const opened = await this.#open(request);
    const tookMs = this.#parts.clock.monotonicMs() - startedAt;
    if (!opened.ok) return { ok: false, failure: opened.failure, scope: opened.scope, tookMs };
    this.#sessions.set(request.session, opened.session);
    const { facts } = opened.session;
    const { extensions, host } = facts;
    this.#parts.emit(events.sessionOpened, {
      session: request.session,
      protocol: request.protocol,
      host,
      relay: request.relay,
      extensions,
      took: tookMs,
    });
    return { ok: true, session: request.session, facts, tookMs };
  }

  async transact(request: TransactRequest): Promise<Transacted> {
    const session = this.#sessions.get(request.session);
    if (session === undefined) return failedAll(request, internal(`there is no session ${request.session}`), "none");
    if (session.isBusy)
      return failedAll(request, internal(`session ${request.session} is busy`), session.facts.host, true);
    const content = this.#contentOf(request.body);
    // A host may close a kept connection whenever it likes. If it did so before it heard of this message, the message has
    // not been tried: it goes over a new connection.
    const isGone = session.hasEnded;
    const first = isGone ? undefined : await session.transact(request, content);
    if (first !== undefined && !first.wasDeaf) {
      if (!first.isUsable) this.#sessions.delete(request.session);
      return first;
    }
    this.#sessions.delete(request.session);
    const again = await this.#open(session.request);
    if (!again.ok) {
      const transacted = failedAll(request, again.failure, session.facts.host);
      return { ...transacted, ended: { failure: again.failure, scope: again.scope } };
    }
    this.#sessions.set(request.session, again.session);
    const second = await again.session.transact(request, content);
    if (!second.isUsable) this.#sessions.delete(request.session);
    return second;
  }

  async leave(name: string): Promise<void> {
    const session = this.#sessions.get(name);
    this.#sessions.delete(name);
    await session?.leave();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#sessions.keys()].map((name) => this.leave(name)));
  }

  async #open(
    request: ConnectRequest,
  ): Promise<
    | { readonly ok: true; readonly session: ClientSession }
    | { readonly ok: false; readonly failure: Failure; readonly scope: "address" | "host" | "relay" }
  > {
    const { clock, emit, settings, hostname } = this.#parts;
    const isConfidential = "path" in request.host.address;
    const credentials = request.credentials === undefined ? undefined : this.#parts.credentials(request.credentials);
    if (request.credentials !== undefined && credentials === undefined) {
      const cause = { kind: "settings", text: `there are no credentials named ${request.credentials}` } as const;
      return { ok: false, failure: { lasting: "temporary", status: "4.3.5", cause }, scope: "relay" };
    }
    let { host } = request;
    let tls = firstMode(request.tls, host);
    const problem = request.verify && tls !== "never" ? this.#tls.authoritiesProblem() : undefined;
    if (problem !== undefined) {
      const cause = { kind: "settings", text: problem } as const;
      return { ok: false, failure: { lasting: "temporary", status: "4.3.5", cause }, scope: "relay" };
    }
    let plaintextBecause: string | undefined;
    if (tls === "may" && credentials === undefined && !request.verify) {
      plaintextBecause = this.#tlsFailures.because(hostText(host), clock.now());
      if (plaintextBecause !== undefined) tls = "never";
    }
    for (let connection = 1; ; connection++) {
      const text = hostText(host);
      const dialledAt = clock.monotonicMs();
      const dialled = await this.#dial(host, request.sourceAddress);
      if (!dialled.ok) {
        const next = implicitPort(request.tls, tls, host);
        if (next !== undefined) {
          ({ host, tls } = { host: next, tls: "implicit" });
          continue;
        }
        emit(events.connectFailed, {
          session: request.session,
          protocol: request.protocol,
          host: text,
          problem: dialled.text,
          took: Math.round(clock.monotonicMs() - dialledAt),
        });
        const cause = { kind: "connect", reason: dialled.reason, text: dialled.text } as const;
        return { ok: false, failure: { lasting: "temporary", status: "4.4.1", cause, host: text }, scope: "address" };
      }
      const opened: Opened = await openSession(
        dialled.stream,
        {
          session: request.session,
          hostName: request.host.name,
          credentials,
          plan: {
            protocol: request.protocol,
            helo: request.helo === "" ? hostname : request.helo,
            tls,
            mustVerify: request.verify,
            hasCredentials: credentials !== undefined,
            isConfidential,
            host: text,
          },
        },
        { clock, emit, settings, tls: this.#tls },
      );
      if (opened.is === "ready") {
        if (opened.tls !== undefined) this.#tlsFailures.forget(text);
        if (plaintextBecause !== undefined)
          emit(events.sentInPlaintext, {
            session: request.session,
            protocol: request.protocol,
            host: text,
            because: plaintextBecause,
          });
        const facts = factsOf(text, opened.extensions, opened.tls, plaintextBecause);
        return { ok: true, session: new ClientSession(request, opened.wire, opened.extensions, facts, this.#parts) };
      }
      if (opened.is === "another" && connection < MOST_CONNECTIONS) {
        if (opened.tls === "never") {
          this.#tlsFailures.note(text, opened.because, clock.now());
          plaintextBecause = opened.because;
          tls = "never";
          continue;
        }
        host = implicitPort(request.tls, tls, host) ?? host;
        tls = "implicit";
        continue;
      }
      const failed =
        opened.is === "failed" ? opened : { failure: tlsFailure(opened.because, text), scope: "host" as const };
      emit(events.sessionFailed, {
        session: request.session,
        protocol: request.protocol,
        host: text,
        problem: failureText(failed.failure),
      });
      return { ok: false, failure: failed.failure, scope: failed.scope };
    }
  }

  async #dial(host: NextHost, sourceAddress: string | undefined): Promise<Dialled> {
    const { clock, settings, dial } = this.#parts;
    const { address } = host;
    const to = "path" in address ? address : { ...address, sourceAddress };
    try {
      return await withDeadline(clock, settings.connectTimeout, "connect", (signal) => dial(to, signal));
    } catch (thrown) {
      if (thrown instanceof DeadlinePassed) return { ok: false, reason: "timeout", text: "Connection timed out" };
      return { ok: false, reason: "other", text: messageOf(thrown) };
    }
  }

  #contentOf(body: Body): Content {
    return body.kind === "inline" ? body.bytes : () => this.#parts.openBody(body);
  }
}

/** A port that speaks TLS from the first byte would never greet us in the clear. */
function firstMode(mode: TlsMode, host: NextHost): TlsMode {
  const isUnix = "path" in host.address;
  if (mode === "starttls-or-implicit" && !isUnix && "port" in host.address && host.address.port === SMTPS_PORT)
    return "implicit";
  // On a unix socket nobody listens in; encryption would only cost.
  return mode === "may" && isUnix ? "never" : mode;
}

/** The second place of `ssl://`: 465 after 25, and a port that a person gave for both ways. */
function implicitPort(asked: TlsMode, tried: TlsMode, host: NextHost): NextHost | undefined {
  if (asked !== "starttls-or-implicit" || tried !== "starttls-or-implicit" || "path" in host.address) return undefined;
  const { ip, port } = host.address;
  return { ...host, address: { ip, port: port === 25 ? SMTPS_PORT : port } };
}

/** Loopback, and the unspecified address, which a connection takes for it. */
function isThisMachine(address: string): boolean {
  const parsed = parseIpAddress(address);
  return parsed !== undefined && (isLoopback(parsed) || parsed.bytes.every((byte) => byte === 0));
}

function hostText(host: NextHost): string {
  if ("path" in host.address)
    return host.name.includes("/") ? `localhost[${host.address.path}]` : `${host.name}[${host.address.path}]`;
  return `${host.name}[${host.address.ip}]:${host.address.port}`;
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

function tlsFailure(text: string, host: string): Failure {
  return { lasting: "temporary", status: "4.7.5", cause: { kind: "tls", reason: "handshake", text }, host };
}
