import type { Clock } from "../../foundation/clock.ts";
import { partsOfEnvelopeId } from "../../foundation/ids.ts";
import type { NetworkDelivery } from "../delivery/delivery.ts";
import type { TlsMemory } from "../delivery/tls-policy/remembering-delivery.ts";
import type { Store } from "../queue/store.ts";
import { forgive } from "../route/penalty.ts";
import type { LiveState, RouteRow, SchedulerAdmin, SchedulerStatus, ShownEnvelope } from "./admin.ts";
import { penaltyRules } from "./choose.ts";
import { hindrancesOf } from "./hindrances.ts";
import { nextDueAt } from "./scheduler.ts";
import type { Scheduler } from "./scheduler.io.ts";
import { liveStateOf, type SchedulerState } from "./state.ts";

export interface SchedulerAdminParts {
  readonly scheduler: Scheduler;
  readonly store: Store;
  readonly clock: Clock;
  readonly network: TlsMemory & Pick<NetworkDelivery, "tlsPolicy">;
}

/** The operator's side: what is durable comes from the store, what is live from the scheduler's state. */
export function createSchedulerAdmin({ scheduler, store, clock, network }: SchedulerAdminParts): SchedulerAdmin {
  const { state } = scheduler;
  const liveOf = (id: string): { live?: LiveState } => {
    const ticket = state.tickets.get(id);
    return ticket === undefined ? {} : { live: liveStateOf(ticket) };
  };
  const changed = async (envelopes: Promise<number>) => ({ envelopes: await envelopes });

  return {
    async list(filter, behind) {
      const { count, envelopes, rows, next } = await store.page(filter, behind);
      const live = rows.map((row, at) => withLive(row, liveOf(envelopes[at] ?? "").live));
      return { count, rows: `[${live.join(",")}]`, ...(next === undefined ? {} : { next }) };
    },
    async show(id, { withBody = false } = {}) {
      const messageId = partsOfEnvelopeId(id)?.message ?? id;
      const message = await store.message(messageId);
      if (message === undefined) return undefined;
      const rows = await store.list(messageId === id ? { message: id } : { envelope: id });
      const stored = await store.envelopes(rows.map((row) => row.envelope));
      const envelopes = await Promise.all(
        stored.map(async (each): Promise<ShownEnvelope> => {
          const attempts = await store.attempts(each.envelope.id);
          return { ...each, attempts, ...liveOf(each.envelope.id) };
        }),
      );
      const body = withBody ? await store.body(messageId) : undefined;
      return { message, envelopes, ...(body === undefined ? {} : { body }) };
    },
    census: () => store.census(clock.now()),
    hold: (selector, because, untilAt) => changed(scheduler.command({ do: "hold", selector, because, untilAt })),
    release: (selector) => changed(scheduler.command({ do: "release", selector })),
    retryNow: (selector) => changed(scheduler.command({ do: "retryNow", selector })),
    remove: (selector, because) => changed(scheduler.command({ do: "remove", selector, because })),
    bounce: (selector, because) => changed(scheduler.command({ do: "bounce", selector, because })),
    async pause(direction, because) {
      scheduler.pause(direction, because);
    },
    async resume(direction) {
      scheduler.resume(direction);
    },
    async status() {
      return statusOf(state, scheduler.startedAt, scheduler.isLoading, clock.now());
    },
    async routes() {
      return routesOf(state);
    },
    async tlsHosts() {
      return network.tlsHosts();
    },
    async forgetTlsHost(which) {
      return { hosts: network.forgetTlsHost(which) };
    },
    tlsPolicy: (question) => network.tlsPolicy(question),
    async why(id) {
      const ticket = state.tickets.get(id);
      return ticket === undefined ? undefined : hindrancesOf(state, ticket);
    },
    backup: (intoDirectory) => store.backup(intoDirectory),
  };
}

/** A row's JSON with one name more. Reading a hundred thousand rows and writing them again would hold up reception. */
function withLive(row: string, live: LiveState | undefined): string {
  return live === undefined ? row : `${row.slice(0, -1)},"live":"${live}"}`;
}

function statusOf(s: SchedulerState, startedAt: number, isLoading: boolean, now: number): SchedulerStatus {
  const sessions = { connecting: 0, idle: 0, busy: 0 };
  for (const session of s.sessions.values()) sessions[session.phase]++;
  let routesResting = 0;
  for (const route of s.routes.values()) if (route.penalty.restsUntilAt > now) routesResting++;
  const nextAt = nextDueAt(s);
  return {
    startedAt,
    envelopes: { ...s.counts },
    messages: s.messageCount,
    isLoading,
    isStoreUsable: s.isStoreUsable,
    sessions,
    localDeliveries: s.localActive,
    relays: s.relays.size,
    routesResting,
    paused: [...s.paused].map(([direction, { because, sinceAt }]) => ({ direction, because, sinceAt })),
    since: { ...s.since },
    ...(nextAt === undefined ? {} : { nextAt }),
  };
}

function routesOf(s: SchedulerState): readonly RouteRow[] {
  return [...s.routes.values()].map((route) => {
    // A look changes nothing: what quiet time has earned is reckoned on a copy.
    const penalty = { ...route.penalty };
    forgive(penalty, s.now, penaltyRules(s));
    return {
      ...(route.source === undefined ? {} : { source: route.source }),
      host: route.name,
      address: route.address,
      connections: route.connections.used,
      allowed: route.connections.limit,
      penalty: penalty.count,
      ...(penalty.restsUntilAt > s.now ? { restsUntilAt: penalty.restsUntilAt } : {}),
      ...(penalty.lastFailure === undefined ? {} : { lastFailure: penalty.lastFailure }),
    };
  });
}
