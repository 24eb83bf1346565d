import { sleep, type Clock } from "../foundation/clock.ts";
import type { EnvelopeId } from "../foundation/ids.ts";
import type {
  Connected,
  ConnectRequest,
  LocalDelivery,
  LocalRequest,
  NetworkDelivery,
  Outcome,
  Resolved,
  ResolveRequest,
  SessionFacts,
  Transacted,
  TransactRequest,
} from "../mail/delivery/delivery.ts";
import type { NextHost } from "../mail/route/next-host.ts";
import type { Failure } from "../mail/envelope/failure.ts";

/**
 * Deliveries without sockets, in virtual time: what the scheduler sees of the world is played at the level of its
 * contract, so that a week of a million envelopes takes seconds. Each host behaves as it is told; everything that
 * happened is kept, with its instant.
 */
export interface SimulatedHost {
  readonly name: string;
  readonly ip: string;
  readonly preference?: number;
  /** How long it takes to connect, or to find out that it does not work. */
  connectMs?: number;
  transactMs?: number;
  facts?: Partial<SessionFacts>;
  /** Undefined: connected. */
  onConnect?: (request: ConnectRequest) => Extract<Connected, { ok: false }>["failure"] | undefined;
  failureScope?: "address" | "host" | "relay";
  /** What becomes of an envelope; undefined: delivered. */
  onEnvelope?: (envelope: EnvelopeId, recipient: string, request: TransactRequest) => Failure | undefined;
  /** Ends the session instead of the transaction, for all but the first `answered` envelopes. */
  onTransaction?: (request: TransactRequest, nth: number) => { failure: Failure; answered?: number } | undefined;
}

export interface Happening {
  readonly at: number;
  readonly what: "resolve" | "connect" | "refused" | "transact" | "leave" | "local";
  /** Domain, ip, or session. */
  readonly where: string;
  readonly envelopes: readonly EnvelopeId[];
}

export interface SimulatedDeliveries {
  readonly network: NetworkDelivery;
  readonly local: LocalDelivery;
  readonly happenings: readonly Happening[];
  /** Deliveries that ended well, by envelope. */
  readonly delivered: ReadonlyMap<EnvelopeId, number>;
  /** Connections now and at most, by ip; `all` for all of them. */
  readonly connections: ReadonlyMap<string, { now: number; most: number }>;
  readonly running: { transactions: number; local: number };
  /** Hosts of a domain, or a failure. */
  setDomain(domain: string, to: readonly SimulatedHost[] | Failure): void;
  /** Domains with a TLS policy of their own. */
  readonly unshared: Set<string>;
  onLocal: (request: LocalRequest) => Failure | undefined;
  localMs: number;
}

interface OpenSession {
  readonly host: SimulatedHost;
  transactions: number;
}

export function simulatedDeliveries(clock: Clock): SimulatedDeliveries {
  const domains = new Map<string, readonly SimulatedHost[] | Failure>();
  const hosts = new Map<string, SimulatedHost>();
  const sessions = new Map<string, OpenSession>();
  const happenings: Happening[] = [];
  const delivered = new Map<EnvelopeId, number>();
  const connections = new Map<string, { now: number; most: number }>();
  const running = { transactions: 0, local: 0 };
  const note = (what: Happening["what"], where: string, envelopes: readonly EnvelopeId[] = []): void => {
    happenings.push({ at: clock.now(), what, where, envelopes });
  };
  const occupy = (ip: string, by: 1 | -1): void => {
    for (const key of [ip, "all"]) {
      const known = connections.get(key) ?? { now: 0, most: 0 };
      known.now += by;
      known.most = Math.max(known.most, known.now);
      connections.set(key, known);
    }
  };
  const close = (id: string): void => {
    const session = sessions.get(id);
    if (session === undefined) return;
    sessions.delete(id);
    occupy(session.host.ip, -1);
  };

  const network: NetworkDelivery = {
    async resolve(request: ResolveRequest): Promise<Resolved> {
      const name = request.target.kind === "domain" ? request.target.domain : targetName(request.target);
      note("resolve", name);
      await sleep(clock, 1);
      const known = domains.get(name);
      if (known === undefined) {
        const cause = { kind: "no-such-domain", domain: name } as const;
        return { ok: false, failure: { lasting: "permanent", status: "5.1.2", cause } };
      }
      if (!Array.isArray(known)) return { ok: false, failure: known as Failure };
      const found = known as readonly SimulatedHost[];
      const isShareable = !world.unshared.has(name);
      return { ok: true, hosts: found.map(nextHost), freshUntilAt: clock.now() + 60_000, isShareable };
    },
    async connect(request: ConnectRequest): Promise<Connected> {
      const ip = "ip" in request.host.address ? request.host.address.ip : request.host.address.path;
      const host = hosts.get(ip);
      note("connect", ip);
      occupy(ip, 1);
      const tookMs = host?.connectMs ?? 10;
      await sleep(clock, tookMs);
      const failure = host === undefined ? unreachable(ip) : host.onConnect?.(request);
      if (failure !== undefined) {
        occupy(ip, -1);
        note("refused", ip);
        return { ok: false, failure, scope: host?.failureScope ?? "address", tookMs };
      }
      if (host !== undefined) sessions.set(request.session, { host, transactions: 0 });
      const facts = { host: `${request.host.name}[${ip}]:25`, extensions: [], ...host?.facts };
      return { ok: true, session: request.session, facts, tookMs };
    },
    async transact(request: TransactRequest): Promise<Transacted> {
      const session = sessions.get(request.session);
      if (session === undefined) throw new Error("a transaction in a session that is not open");
      const { host } = session;
      const relay = `${host.name}[${host.ip}]:25`;
      running.transactions++;
      note(
        "transact",
        host.ip,
        request.envelopes.map((envelope) => envelope.id),
      );
      const tookMs = host.transactMs ?? 10;
      await sleep(clock, tookMs);
      running.transactions--;
      const ended = host.onTransaction?.(request, ++session.transactions);
      if (ended !== undefined) close(request.session);
      const outcomes = request.envelopes.map(({ id, recipient }, index): Outcome => {
        const cutOff = ended !== undefined && index >= (ended.answered ?? 0) ? ended.failure : undefined;
        const failure = cutOff ?? host.onEnvelope?.(id, recipient, request);
        if (failure !== undefined) return { kind: "failed", envelope: id, relay, failure, tookMs };
        delivered.set(id, (delivered.get(id) ?? 0) + 1);
        return deliveredTo(id, relay, tookMs, false);
      });
      if (ended === undefined) return { outcomes, isUsable: true };
      return { outcomes, isUsable: false, ended: { failure: ended.failure, scope: "address" } };
    },
    async leave(session: string): Promise<void> {
      note("leave", session);
      close(session);
    },
    tryRecipient: () => Promise.resolve({ kind: "failed", text: "nobody is asked for addresses here" }),
    tryTls: () => Promise.resolve({ result: "not-tried", text: "nobody speaks TLS here" }),
    tlsPolicy: () => Promise.resolve({ kind: "none", byMx: "may", keysTried: [] }),
  };

  const world: SimulatedDeliveries = {
    network,
    local: {
      async deliver(request: LocalRequest): Promise<Outcome> {
        const { id, recipient } = request.envelope;
        running.local++;
        note("local", recipient, [id]);
        await sleep(clock, world.localMs);
        running.local--;
        const failure = world.onLocal(request);
        if (failure !== undefined)
          return { kind: "failed", envelope: id, relay: "local", failure, tookMs: world.localMs };
        delivered.set(id, (delivered.get(id) ?? 0) + 1);
        return deliveredTo(id, "maildir:/there", world.localMs, true);
      },
    },
    happenings,
    delivered,
    connections,
    running,
    unshared: new Set(),
    setDomain(domain, to) {
      domains.set(domain, to);
      if (Array.isArray(to)) for (const host of to as readonly SimulatedHost[]) hosts.set(host.ip, host);
    },
    onLocal: () => undefined,
    localMs: 2,
  };
  return world;
}

function nextHost(host: SimulatedHost): NextHost {
  return { name: host.name, address: { ip: host.ip, port: 25 }, preference: host.preference ?? 10 };
}

function targetName(target: Exclude<ResolveRequest["target"], { kind: "domain" }>): string {
  return target.kind === "host" ? target.host : target.path;
}

function deliveredTo(envelope: EnvelopeId, relay: string, tookMs: number, isFinal: boolean): Outcome {
  return {
    kind: "delivered",
    envelope,
    relay,
    text: "250 2.0.0 Ok",
    status: "2.0.0",
    dsnPassedOn: false,
    isFinal,
    tookMs,
  };
}

export function unreachable(ip: string): Failure {
  return {
    lasting: "temporary",
    status: "4.4.1",
    cause: { kind: "connect", reason: "timeout", text: "Connection timed out" },
    host: `${ip}[${ip}]:25`,
  };
}
