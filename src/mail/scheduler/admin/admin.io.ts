import { setImmediate as nextTurn } from "node:timers/promises";
import { sleep, type Clock } from "../../../foundation/clock.ts";
import { PosthornError } from "../../../foundation/error.ts";
import { partsOfEnvelopeId } from "../../../foundation/ids.ts";
import { Profiler, type Profiling } from "../../../foundation/profiler.ts";
import type { NetworkDelivery } from "../../delivery/delivery.ts";
import type { TlsMemory } from "../../delivery/tls-policy/remembering-delivery.ts";
import { rowsOf } from "../../queue/pages.ts";
import type { AttemptRecord, Store } from "../../queue/store.ts";
import { locate, type Origins } from "../../../service/config/config.ts";
import { forgive } from "../../route/penalty.ts";
import type { Hindrance, RouteRow, SchedulerAdmin, SchedulerStatus, ShownEnvelope } from "./admin.ts";
import { penaltyRules } from "../serve/choose.ts";
import { groupAlike } from "./group-alike.ts";
import { hindrancesOf } from "./hindrances.ts";
import { endsOf } from "../life.ts";
import { liveRows } from "./live-row.ts";
import { readMeter } from "./meter.ts";
import { nextDueAt } from "../scheduler.ts";
import type { Scheduler } from "../scheduler.io.ts";
import { showPage } from "./show.ts";
import { countStanding, type Standing } from "./standing.ts";
import { SUSPENSION_LEVELS, suspensionKey, type SuspensionLevel } from "../suspension/suspension.ts";
import type { ShownSuspension } from "./admin.ts";
import { liveStateOf, type SchedulerState } from "../state.ts";

export interface SchedulerAdminParts {
  readonly scheduler: Scheduler;
  readonly store: Store;
  readonly clock: Clock;
  readonly network: TlsMemory & Pick<NetworkDelivery, "tlsPolicy">;
  /** Where settings in force were set. */
  readonly origins?: (() => Origins) | undefined;
  /** Where the store looks whether somebody measures. */
  readonly profiling?: Profiling | undefined;
}

/** The operator's side: what is durable comes from the store, what is live from the scheduler's state. */
export function createSchedulerAdmin({
  scheduler,
  store,
  clock,
  network,
  origins = () => NO_ORIGINS,
  profiling = { profiler: undefined },
}: SchedulerAdminParts): SchedulerAdmin {
  const { state } = scheduler;
  const standing = standingCounts(state, clock);
  const located = (hindrances: readonly Hindrance[]): readonly Hindrance[] =>
    hindrances.map((one) =>
      one.setting === undefined ? one : { ...one, origin: one.origin ?? locate(origins(), one.setting) },
    );

  return {
    async list(filter, behind) {
      const { count, envelopes, rows, next } = await store.page(filter, behind);
      const withLive = liveRows(state);
      const live = rows.map((row, at) => withLive(row, state.tickets.get(envelopes[at] ?? "")));
      return { count, rows: `[${live.join(",")}]`, ...(next === undefined ? {} : { next }) };
    },
    async show(id, { withBody = false } = {}) {
      const messageId = partsOfEnvelopeId(id)?.message ?? id;
      const message = await store.message(messageId);
      if (message === undefined) return undefined;
      const rows = await store.list(messageId === id ? { message: id } : { envelope: id });
      const stored = await store.envelopes(rows.map((row) => row.envelope));
      const mostEach = Math.floor(Math.max(0, MOST_SHOWN - JSON.stringify(stored).length) / stored.length);
      const envelopes = await Promise.all(
        stored.map(async (each): Promise<ShownEnvelope> => {
          const known = await store.attempts(each.envelope.id);
          const attempts = lastWithin(known, mostEach);
          const earlierAttempts = known.length - attempts.length;
          const told = earlierAttempts === 0 ? { attempts } : { attempts, earlierAttempts };
          const ticket = state.tickets.get(each.envelope.id);
          if (ticket === undefined) return { ...each, ...told };
          return { ...each, progress: { ...each.progress, ...endsOf(ticket) }, ...told, live: liveStateOf(ticket) };
        }),
      );
      const body = withBody ? await store.body(messageId) : undefined;
      return { message, envelopes, ...(body === undefined ? {} : { body }) };
    },
    census: () => store.census(clock.now()),
    hold: (selector, because, untilAt) => scheduler.command({ do: "hold", selector, because, untilAt }),
    release: (selector, quarantined) => scheduler.command({ do: "release", selector, quarantined }),
    retryNow: (selector) => scheduler.command({ do: "retryNow", selector }),
    remove: (selector, because, quarantined) => scheduler.command({ do: "remove", selector, because, quarantined }),
    bounce: (selector, because) => scheduler.command({ do: "bounce", selector, because }),
    schedule: (selector, at) => scheduler.command({ do: "schedule", selector, at }),
    forgive: async (which) => ({ routes: await scheduler.forgive(which) }),
    async suspend({ level, key, because, by, untilAt }) {
      const facts = { level, key: suspensionKey(level, key), because, by, setAt: clock.now(), untilAt };
      return { envelopes: await scheduler.suspend(facts) };
    },
    async unsuspend({ level, key, by }) {
      const folded = suspensionKey(level, key);
      // As keys were written before domains and angle brackets were folded: such a one holds nothing, and is lifted by what is shown.
      const asShown = key.trim().toLowerCase();
      let envelopes = await scheduler.unsuspend(level, folded, by);
      if (envelopes === undefined && FOLDED_SINCE.has(level) && asShown !== folded)
        envelopes = await scheduler.unsuspend(level, asShown, by);
      return envelopes === undefined ? undefined : { envelopes };
    },
    async suspensions() {
      return suspensionsShown(state);
    },
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
    async shown(filter, behind) {
      return inSlices(showPage(state, scheduler.watchers.tallies, await standing(), filter, behind));
    },
    async stats() {
      return readMeter(scheduler.watchers.tallies.meter, clock.now());
    },
    async profile(what, forMs) {
      const place: Profiling = what === "queue" ? profiling : scheduler.watchers;
      if (place.profiler !== undefined)
        throw new PosthornError("CONTROL_REFUSED", {
          message: `somebody else measures the ${what} just now`,
          advice: "ask again when that has ended",
        });
      const profiler = new Profiler();
      place.profiler = profiler;
      const beganAt = clock.monotonicMs();
      await sleep(clock, forMs);
      place.profiler = undefined;
      return { what, tookMs: Math.round(clock.monotonicMs() - beganAt), rows: profiler.read() };
    },
    async tlsHosts() {
      return network.tlsHosts();
    },
    async forgetTlsHost(which) {
      return { hosts: network.forgetTlsHost(which) };
    },
    tlsPolicy: (question) => network.tlsPolicy(question),
    async why(id) {
      const [row] = rowsOf(await store.page({ envelope: id }));
      const ticket = state.tickets.get(id);
      return ticket === undefined ? undefined : located(hindrancesOf(state, ticket, row?.lastFailure));
    },
    async whyAll(id) {
      const message = partsOfEnvelopeId(id)?.message ?? id;
      const stored = await store.page(message === id ? { message: id } : { envelope: id });
      const rows = rowsOf(stored);
      if (rows.length === 0) return undefined;
      const envelopes = rows.map((row) => {
        const ticket = state.tickets.get(row.envelope);
        if (ticket === undefined) return { row, live: undefined, hindrances: undefined };
        const hindrances = located(hindrancesOf(state, ticket, row.lastFailure));
        return { row: { ...row, ...endsOf(ticket) }, live: liveStateOf(ticket), hindrances };
      });
      return { message, groups: groupAlike(envelopes, state.now), isCut: stored.next !== undefined };
    },
    backup: (intoDirectory) => store.backup(intoDirectory),
  };
}

/** Levels whose keys earlier versions did not fold as they are folded now; of tenants the case counts. */
const FOLDED_SINCE: ReadonlySet<SuspensionLevel> = new Set(["sender", "domain", "relay", "host"]);

const NO_ORIGINS: Origins = { file: undefined, places: {} };
/** A list of many pages, or one that is looked at all the time, is not counted anew for each page. */
const STANDING_KEPT_MS = 2000;

/** Characters of all envelopes of a message and their attempts: the answer of the control socket has a bound, which a thousand recipients would pass. */
const MOST_SHOWN = 14 * 1024 * 1024;

/** The last ones that fit. */
function lastWithin(attempts: readonly AttemptRecord[], most: number): readonly AttemptRecord[] {
  let room = most;
  let from = attempts.length;
  for (let one = attempts[from - 1]; one !== undefined; one = attempts[from - 1]) {
    room -= JSON.stringify(one).length;
    if (room < 0) break;
    from--;
  }
  return attempts.slice(from);
}

/** Looks through a great many things; between two slices everything else has its turn. */
async function inSlices<Answer>(looking: Generator<undefined, Answer, void>): Promise<Answer> {
  for (;;) {
    const step = looking.next();
    if (step.done === true) return step.value;
    await nextTurn();
  }
}

/** Counts envelopes by relay and domain. */
function standingCounts(state: SchedulerState, clock: Clock): () => Promise<Standing> {
  let kept: { readonly standing: Promise<Standing>; readonly atMs: number } | undefined;
  return () => {
    if (kept === undefined || clock.monotonicMs() - kept.atMs > STANDING_KEPT_MS)
      kept = { standing: inSlices(countStanding(state)), atMs: clock.monotonicMs() };
    return kept.standing;
  };
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

function suspensionsShown(s: SchedulerState): readonly ShownSuspension[] {
  return SUSPENSION_LEVELS.flatMap((level) =>
    [...s.suspensions[level].values()].map(({ facts, tickets }) => ({ ...facts, held: tickets.size })),
  );
}
