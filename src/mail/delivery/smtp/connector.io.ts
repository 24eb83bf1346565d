import type { Clock } from "../../../foundation/clock.ts";
import { DeadlinePassed, withLimit, type Cut } from "../../../foundation/deadline.ts";
import { messageOf } from "../../../foundation/error.ts";
import { emitNothing, type Emit } from "../../../foundation/events.ts";
import type { LineTrace } from "../../../foundation/line-trace.ts";
import type { Credentials } from "../../../protocol/sasl/client.ts";
import { DialogueTrace } from "../../../protocol/smtp/dialogue-trace.ts";
import { offers } from "../../../protocol/smtp/extensions.ts";
import { ClientContexts, type ClientKeeper } from "../../../service/tls/client-contexts.io.ts";
import type { ConnectionTrace, Tracer } from "../../../service/tls/tracer/tracer.ts";
import { recent } from "../../../service/tls/recent.ts";
import type { FlightSampler } from "../../../service/tls/flight/flight-sampler.ts";
import type { TlsClientEngine } from "../../../service/tls/tls.ts";
import { verify } from "../../../service/tls/verify.ts";
import type { Failure } from "../../envelope/failure.ts";
import { failureText } from "../../envelope/failure-text.ts";
import type { NextHost } from "../../route/next-host.ts";
import type { ConnectRequest, TlsTried } from "../delivery.ts";
import type { SmtpClientSettings } from "../settings.ts";
import { allowsVariant, demandOf, type TlsDemand, type TlsVariant } from "../tls-policy/demand.ts";
import * as policyEvents from "../tls-policy/events.ts";
import { askPolicy, type PolicyFinder } from "../tls-policy/find-policy.ts";
import { NOT_ALLOWED, type TlsKnown, type TlsLearnt } from "../tls-policy/tls-hosts.ts";
import { ClientSession, factsOf, sessionTls } from "./client-session.io.ts";
import type { Dial, Dialled } from "./dial.ts";
import * as events from "./events.ts";
import { openSession, type HandshakeWish, type Opened } from "./open-session.io.ts";
import { subjectOf } from "./tls-lines.ts";
import {
  connectFailure,
  firstMode,
  hostName,
  implicitPlace,
  refusal,
  stopping,
  STOPPING,
  tlsFailure,
} from "./places.ts";

export interface ConnectorParts {
  readonly clock: Clock;
  readonly emit: Emit;
  readonly settings: SmtpClientSettings;
  readonly dial: Dial;
  readonly credentials: (label: string) => Credentials | undefined;
  readonly hostname: string;
  readonly policies: PolicyFinder;
  readonly keeper: ClientKeeper;
  readonly tls: TlsClientEngine;
  readonly flights: FlightSampler;
  readonly tracer?: Tracer | undefined;
  readonly trace?: LineTrace | undefined;
}

export type Attempted =
  | { readonly ok: true; readonly session: ClientSession; readonly learnt?: TlsLearnt | undefined }
  | {
      readonly ok: false;
      readonly failure: Failure;
      readonly scope: "address" | "host" | "relay";
      readonly learnt?: TlsLearnt | undefined;
    };

/** A new connection with other encryption is made at most this often for one request. */
const MOST_CONNECTIONS = 3;
/** As long as a host whose TLS is broken is remembered. */
const SILENCE_KEPT_MS = 3_600_000;
const MOST_SILENT_KNOWN = 1000;
/** How long each step of a trial may take at most. */
const TRIAL_STEP_MS = 30_000;

interface Wanted {
  readonly request: ConnectRequest;
  readonly demand: TlsDemand;
  readonly credentials: Credentials | undefined;
  readonly handshake: HandshakeWish | undefined;
  /** What is known of the host's handshakes on the demand's terms. */
  readonly known: TlsKnown | undefined;
}

/**
 * Opens sessions as their relay and the policy for their destination want them: looks the policy up, makes the connection
 * and the handshake, and where that fails and plaintext is allowed, or another port is to be tried, makes another one.
 */
export class Connector {
  readonly #parts: ConnectorParts;
  readonly #contexts: ClientContexts;
  /** Places of `ssl` that never greeted and then spoke TLS from the first byte, and when that was. */
  readonly #silent = recent<number>(MOST_SILENT_KNOWN);
  /** What is being opened or tried, to be cut when all ends. */
  readonly #cuts = new Set<Cut>();
  #isClosed = false;

  constructor(parts: ConnectorParts) {
    this.#parts = parts;
    this.#contexts = new ClientContexts(parts.keeper, parts.clock);
  }

  /** Cuts what is being opened and tried, and opens nothing more. */
  close(): void {
    this.#isClosed = true;
    for (const cut of this.#cuts) cut(new Error(STOPPING));
    this.#contexts.close();
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  async open(request: ConnectRequest): Promise<Attempted> {
    const attempted = await this.#open(request);
    // Whatever it failed for: we have ended it, which says nothing about the host.
    return this.#isClosed && !attempted.ok ? stopping(hostName(request.host)) : attempted;
  }

  async #open(request: ConnectRequest): Promise<Attempted> {
    const credentials = request.credentials === undefined ? undefined : this.#parts.credentials(request.credentials);
    if (request.credentials !== undefined && credentials === undefined)
      return refusal({ kind: "settings", text: `there are no credentials named ${request.credentials}` }, "4.3.5");
    const knownOn = (terms: string): TlsKnown | undefined => request.known?.find((known) => known.terms === terms);
    const demanded = await this.#demand(request, (terms) => knownOn(terms)?.variant, true);
    if (!demanded.ok) return demanded;
    const { demand } = demanded;
    if (demand.mode === "never" && request.verify && credentials === undefined && !("path" in request.host.address))
      return refusal(
        { kind: "settings", text: `${request.relay} is plaintext, and a certificate must verify` },
        "4.3.5",
      );
    if (credentials?.isExternal === true && demand.context.certificate === undefined)
      return refusal(
        {
          kind: "settings",
          text: `the credentials ${request.credentials} are a certificate, and none is shown there: set \`certificate\` in its TLS policy`,
        },
        "4.3.5",
      );
    const handshake = await this.#handshakeFor(demand);
    if (!handshake.ok) return handshake;
    return this.#connect({ request, demand, credentials, handshake: handshake.wish, known: knownOn(demand.terms) });
  }

  /** What encryption the session must have; looked up anew for each. */
  async #demand(
    request: ConnectRequest,
    variantOn: (terms: string) => TlsVariant | undefined,
    isTold: boolean,
  ): Promise<{ readonly ok: true; readonly demand: TlsDemand } | Extract<Attempted, { ok: false }>> {
    const { settings, policies, emit } = this.#parts;
    const { host, session, protocol } = request;
    const isUnix = "path" in host.address;
    const address = "path" in host.address ? undefined : host.address;
    const destination = request.destination ?? (address === undefined ? host.name : `${host.name}:${address.port}`);
    const text = hostName(host);
    const subject = { destination, hostName: host.name, address: address?.ip, port: address?.port };
    const answer = isUnix ? ({ kind: "none" } as const) : await askPolicy(policies, subject);
    if (answer.kind === "failed") {
      emit(policyEvents.policyUnavailable, { session, protocol, host: text, destination, problem: answer.text });
      return refusal({ kind: "tls", reason: "policy", text: answer.text }, "4.7.5", text);
    }
    const found = answer.kind === "found" ? answer.found : undefined;
    const about = {
      mode: firstMode(request.tls, host),
      verify: request.verify,
      hasCredentials: request.credentials !== undefined,
      isUnix,
      destination,
      hostName: host.name,
      host: text,
      relay: request.relay,
    };
    const usual = demandOf(about, found, settings.tls, settings.caFile);
    const variant = variantOn(usual.terms);
    const demand =
      variant === undefined || !allowsVariant(usual.context.minVersion, variant)
        ? usual
        : demandOf({ ...about, variant }, found, settings.tls, settings.caFile);
    if (found !== undefined && isTold)
      emit(policyEvents.policyApplied, {
        session,
        protocol,
        host: text,
        destination,
        level: demand.level,
        key: found.key,
        where: found.where,
      });
    return { ok: true, demand };
  }

  /** The means for the demand's handshakes; refused when they cannot be had and encryption is a must. */
  async #handshakeFor(
    demand: TlsDemand,
  ): Promise<{ readonly ok: true; readonly wish: HandshakeWish | undefined } | Extract<Attempted, { ok: false }>> {
    if (demand.mode === "never") return { ok: true, wish: undefined };
    const { clock } = this.#parts;
    const made = await this.#contexts
      .get(demand.context)
      .catch((thrown: unknown) => ({ ok: false, problem: messageOf(thrown) }) as const);
    if (!made.ok) return refusal({ kind: "settings", text: made.problem }, "4.3.5");
    const { context, problem } = made.value;
    if (problem !== undefined && demand.mustVerify && demand.wanted.by === "authorities")
      return refusal({ kind: "settings", text: `the certificate authorities: ${problem}` }, "4.3.5");
    return {
      ok: true,
      wish: {
        context,
        serverName: demand.serverName,
        sessionKey: demand.sessionKey,
        verify: (shown) =>
          problem === undefined || demand.wanted.by !== "authorities"
            ? verify(shown, demand.wanted, clock.now())
            : { result: "FAIL", by: "authorities", problem: { kind: "no-authorities", text: problem } },
      },
    };
  }

  async #connect(wanted: Wanted): Promise<Attempted> {
    const { clock, emit, settings, hostname, tls: engine, flights } = this.#parts;
    const { request, demand, credentials, handshake, known } = wanted;
    const { session, protocol } = request;
    const { variant, terms } = demand;
    let { host } = request;
    let { mode } = demand;
    let plaintextBecause: string | undefined;
    let learnt: TlsLearnt | undefined;
    if (mode === "may" && credentials === undefined && !demand.mustVerify && known?.brokenBecause !== undefined) {
      plaintextBecause = known.brokenBecause;
      mode = "never";
    }
    const asked = hostName(host);
    // To wait for a greeting costs a deadline; who is known to send none is not waited for again.
    const silentSinceMs = this.#silent.get(asked) ?? Number.NEGATIVE_INFINITY;
    const isSilent = clock.monotonicMs() - silentSinceMs < SILENCE_KEPT_MS;
    const implicit = isSilent ? implicitPlace(demand.mode, mode, host) : undefined;
    if (implicit !== undefined) ({ host, mode } = { host: implicit, mode: "implicit" });
    this.#silent.delete(asked);
    let isSilence = isSilent;
    for (let connection = 1; ; connection++) {
      const text = hostName(host);
      const dialledAt = clock.monotonicMs();
      const dialogue = DialogueTrace.begin(this.#parts.trace, () => `${session} ${text} (${request.relay})`);
      const dialled = await this.#dial(host, request);
      if (!dialled.ok) {
        const next = implicitPlace(demand.mode, mode, host);
        if (next !== undefined) {
          ({ host, mode } = { host: next, mode: "implicit" });
          continue;
        }
        const took = Math.round(clock.monotonicMs() - dialledAt);
        emit(events.connectFailed, { session, protocol, host: text, problem: dialled.text, took });
        dialogue?.note(`no connection after ${took} ms: ${dialled.text}`);
        return { ok: false, failure: connectFailure(dialled, text), scope: "address", learnt };
      }
      dialogue?.note("connected");
      const trace = this.#trace(request, host, demand.logLevel);
      const isQuiet = trace?.level === 0 || undefined;
      const opened: Opened = await openSession(
        dialled.stream,
        {
          session,
          about: { ...subjectOf(request, text, demand.rule, demand.mustVerify), isQuiet },
          credentials,
          handshake,
          trace,
          dialogue,
          cuts: this.#cuts,
          plan: {
            protocol,
            helo: request.helo === "" ? hostname : request.helo,
            tls: mode,
            mustVerify: demand.mustVerify,
            hasCredentials: credentials !== undefined,
            isExternal: credentials?.isExternal,
            isConfidential: "path" in host.address,
            host: text,
          },
        },
        { clock, emit, settings, tls: engine, flights },
      );
      const { finding } = opened;
      if (finding !== undefined)
        learnt = { host: text, terms, handshake: "failed", variant, because: finding.sentence, reason: finding.reason };
      if (opened.is === "ready") {
        const { tls, extensions, isEhloRefused } = opened;
        if (isSilence && mode === "implicit") this.#silent.set(asked, isSilent ? silentSinceMs : clock.monotonicMs());
        // On the same connection, and so nobody was told of a handshake that failed.
        if (tls === undefined && mode === "may" && !("path" in host.address) && offers(extensions, "STARTTLS"))
          plaintextBecause ??= "STARTTLS is offered, and was refused";
        if (tls !== undefined && known !== undefined) learnt = { host: text, terms, handshake: "worked", variant };
        if (tls === undefined && plaintextBecause !== undefined)
          emit(events.sentInPlaintext, { session, protocol, host: text, because: plaintextBecause });
        const facts = factsOf(text, extensions, {
          tls: tls === undefined ? undefined : sessionTls(tls, variant),
          tlsRule: "path" in host.address ? undefined : { level: demand.level, rule: demand.rule },
          plaintextBecause,
          mayOfferMore: isEhloRefused || plaintextBecause !== undefined,
        });
        const made = new ClientSession(wanted.request, opened.wire, extensions, facts, this.#parts);
        return { ok: true, session: made, learnt };
      }
      if (opened.is === "another" && connection < MOST_CONNECTIONS) {
        if (opened.tls === "never") {
          plaintextBecause = opened.because;
          mode = "never";
          continue;
        }
        host = implicitPlace(demand.mode, mode, host) ?? host;
        mode = "implicit";
        isSilence = opened.isSilence === true;
        continue;
      }
      const { failure, scope } =
        opened.is === "failed" ? opened : { failure: tlsFailure(opened.because, text), scope: "host" as const };
      emit(events.sessionFailed, { session, protocol, host: text, problem: failureText(failure) });
      return { ok: false, failure, scope, learnt };
    }
  }

  /** What the log is to show of the TLS connection to this host. */
  #trace(request: ConnectRequest, host: NextHost, policyLevel: TlsDemand["logLevel"]): ConnectionTrace | undefined {
    const { tracer, emit } = this.#parts;
    const { session, protocol, relay, destination } = request;
    const place = "path" in host.address ? undefined : host.address;
    const relays = [relay, destination, host.name, place === undefined ? undefined : `${host.name}:${place.port}`];
    return tracer?.begin(
      {
        role: "client",
        session,
        address: place?.ip,
        names: [host.name],
        relays: relays.filter((one) => one !== undefined),
        policyLevel,
      },
      (line) => emit(events.tlsTrace, { session, protocol, host: hostName(host), shown: line }),
    );
  }

  /** Would a handshake of this kind work? No login, no mail. */
  async tryTls(request: ConnectRequest, variant: TlsVariant | undefined): Promise<TlsTried> {
    const demanded = await this.#demand(request, () => variant, false);
    if (!demanded.ok) return { result: "not-tried", text: failureText(demanded.failure) };
    const tried = await this.#tryHandshake(request, variant, demanded.demand);
    return { ...tried, terms: demanded.demand.terms };
  }

  async #tryHandshake(request: ConnectRequest, variant: TlsVariant | undefined, demand: TlsDemand): Promise<TlsTried> {
    const { clock, settings, hostname, tls: engine } = this.#parts;
    const { host, protocol, session } = request;
    if (variant !== undefined && demand.variant !== variant) return { result: "not-tried", text: NOT_ALLOWED };
    const handshake = await this.#handshakeFor(demand);
    if (!handshake.ok) return { result: "not-tried", text: failureText(handshake.failure) };
    if (handshake.wish === undefined) return { result: "not-tried", text: "plaintext is what is wanted there" };
    const dialled = await this.#dial(host, request);
    if (!dialled.ok) return { result: "not-tried", text: dialled.text };
    const text = hostName(host);
    const opened = await openSession(
      dialled.stream,
      {
        session,
        credentials: undefined,
        // A session that is resumed would say nothing of the handshake.
        handshake: { ...handshake.wish, sessionKey: undefined },
        about: subjectOf(request, text, demand.rule, false),
        cuts: this.#cuts,
        plan: {
          protocol,
          helo: request.helo === "" ? hostname : request.helo,
          tls: demand.mode === "may" ? "starttls" : demand.mode,
          mustVerify: false,
          hasCredentials: false,
          isConfidential: false,
          host: text,
        },
      },
      { clock, emit: emitNothing, settings: briefly(settings), tls: engine },
    );
    if (opened.is === "ready") {
      opened.wire.write("QUIT\r\n");
      void opened.wire.close(settings.quitTimeout);
      const { tls } = opened;
      return tls === undefined
        ? { result: "not-tried", text: "STARTTLS is not offered" }
        : { result: "worked", text: `${tls.version} with cipher ${tls.cipher}` };
    }
    if (opened.finding !== undefined) return { result: "failed", text: opened.finding.sentence };
    return { result: "not-tried", text: opened.is === "failed" ? failureText(opened.failure) : opened.because };
  }

  async #dial(host: NextHost, { sourceAddress, connectTimeoutMs }: ConnectRequest): Promise<Dialled> {
    const { clock, settings, dial } = this.#parts;
    if (this.#isClosed) return { ok: false, reason: "other", text: STOPPING };
    const { address } = host;
    const to = "path" in address ? address : { ...address, sourceAddress };
    try {
      const timeout = connectTimeoutMs ?? settings.connectTimeout;
      return await withLimit(clock, timeout, "connect", ({ signal }) => dial(to, signal), this.#cuts);
    } catch (thrown) {
      if (thrown instanceof DeadlinePassed) return { ok: false, reason: "timeout", text: "Connection timed out" };
      return { ok: false, reason: "other", text: messageOf(thrown) };
    }
  }
}

/** Nobody waits for a trial, and it shall not wait for long. */
function briefly(settings: SmtpClientSettings): SmtpClientSettings {
  return {
    ...settings,
    greetingTimeout: Math.min(settings.greetingTimeout, TRIAL_STEP_MS),
    commandTimeout: Math.min(settings.commandTimeout, TRIAL_STEP_MS),
  };
}
