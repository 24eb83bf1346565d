import type { EnvelopeId, MessageId } from "../../foundation/ids.ts";
import type { SessionFacts } from "../delivery/delivery.ts";
import type { NextHost } from "../route/next-host.ts";
import type { EnvelopeState } from "../envelope/envelope.ts";
import type { Failure } from "../envelope/failure.ts";
import { limited, type Limited } from "../route/limited.ts";
import { noPenalty, type Penalty } from "../route/penalty.ts";
import type { Route } from "../route/route.ts";
import type { RouteSettings } from "../route/settings.ts";
import type { Action } from "./action.ts";
import type { Direction, LiveState } from "./admin.ts";
import { newChain, type Chain, type Chained } from "./chain.ts";
import type { AttemptSpeaker } from "./events.ts";
import type { Fate } from "./fate.ts";
import type { Plan, RelayPlan, Way } from "./plan.ts";
import type { SchedulerSettings } from "./settings.ts";
import type { WakeHeap, Wakeable } from "./wake-heap.ts";

/**
 * What the scheduler knows. It is owned by whoever calls `step` and changed in place: a million envelopes are not copied
 * for each event. Everything in it follows from the settings, the seed and the events; nothing else changes it.
 */
export interface SchedulerState {
  now: number;
  readonly out: Action[];
  settings: CoreSettings;
  /** Where chance stands: `chanceOf` draws from it. */
  seed: number;

  readonly tickets: Map<EnvelopeId, Ticket>;
  messageCount: number;
  readonly counts: Record<LiveState, number>;
  /** Tickets by the next instant at which something must be decided about them, wherever they are. */
  readonly wakes: WakeHeap<Ticket>;

  readonly relays: Map<string, RelayQueue>;
  readonly relayWakes: WakeHeap<RelayQueue>;
  /** Relays for which something may have changed in this step. */
  readonly dirty: Set<RelayQueue>;
  /** Limits of which something was given back in this step. */
  readonly freed: Set<Limited>;
  readonly sessions: Map<string, Session>;
  readonly idleSessions: WakeHeap<Session>;
  sessionCount: number;

  readonly routes: Map<string, Route>;
  routesAfterSweep: number;
  readonly hosts: Map<string, Limited>;
  readonly sources: Map<string, Limited>;
  readonly domains: Map<string, Limited>;
  readonly total: Limited;
  readonly resolving: Limited;

  readonly localQueues: Map<string, LocalQueue>;
  /** Recipients with something ready and room for it, each in its turn. */
  readonly localTurns: Chain<LocalQueue>;
  localActive: number;

  /** What this step wants written. */
  urgent: Fate[];
  /** What concerns very many envelopes (a relay that failed, an operator's command): decided and written in slices. */
  readonly backlog: { tasks: Task[]; from: number };
  readonly writes: Map<number, { readonly fates: readonly Fate[]; readonly isSlice: boolean }>;
  writeCount: number;
  slicesInFlight: number;
  /** Operators' commands, with the number of changes that are not durable yet. */
  readonly commands: Map<number, { envelopes: number; unwritten: number }>;

  readonly paused: Map<Direction, { readonly because: string; readonly sinceAt: number }>;
  isStopping: boolean;
  isStoreUsable: boolean;
  timerAt: number | undefined;
  readonly since: Record<"queued" | "delivered" | "deferred" | "bounced" | "expired" | "dead", number>;
}

/** Everything that is set and that decisions depend on. Plain data: journalled with the inputs. */
export interface CoreSettings {
  readonly scheduler: SchedulerSettings;
  readonly route: RouteSettings;
  readonly plans: Readonly<Record<string, Plan>>;
  /** Who is told of dead letters when `deadLetters.to` says so. */
  readonly postmaster: string;
}

export interface MessageEntry {
  readonly id: MessageId;
  readonly sender: string;
  readonly receivedAt: number;
  readonly sizeBytes: number;
  readonly deliverByAt: number | undefined;
  readonly deliverByMode: "return" | "notify" | undefined;
  /** Envelopes of it in the queue, and how many of them are ready or active. */
  total: number;
  inPlay: number;
}

/**
 * What the scheduler keeps of one envelope. It is in exactly one place: `waiting` (also when held or dead), `ready` (in
 * one batch or local queue), `active` (in one session or final delivery), or `writing` (in one fate).
 */
export interface Ticket extends Wakeable, Chained<Ticket> {
  readonly id: EnvelopeId;
  readonly message: MessageEntry;
  readonly recipient: string;
  readonly givenRecipient: string | undefined;
  readonly action: string;
  readonly wantsDelayNotice: boolean;
  state: EnvelopeState;
  place: "waiting" | "ready" | "active" | "writing";
  dueAt: number;
  expiresAt: number;
  attempts: number;
  warnedAt: number | undefined;
  heldUntilAt: number | undefined;
  heldBecause: string | undefined;
  /** Failures of our own side in a row. */
  mishaps: number;
  readyAt: number;
  /** What an operator wants done when the attempt or the write that runs has ended. */
  after: After | undefined;
  /** The next host of the last attempt, `name[address]:port`. */
  lastHost: string | undefined;
  /** Every host that was tried in vain in its last round; one list for all that waited there. */
  lastTried: readonly string[] | undefined;
  queue: Batch | LocalQueue | undefined;
}

/** One envelope's part of a big change; its ticket is `writing` until it is done. */
export type Task =
  | { readonly do: "fail"; readonly ticket: Ticket; readonly attempt: Attempt; readonly failure: Failure }
  | { readonly do: "give-up"; readonly ticket: Ticket; readonly failure: Failure; readonly command: number | undefined }
  | { readonly do: "warn"; readonly ticket: Ticket }
  | {
      readonly do: "write";
      readonly ticket: Ticket;
      readonly kind: "gone" | "kept";
      readonly command: number | undefined;
    };

/** What is known of an attempt that ended. */
export interface Attempt {
  readonly speaker: AttemptSpeaker;
  /** `name[address]:port`, `maildir:…`, `none`. */
  readonly relay: string;
  /** The session with the next host, or the one that could not be had; undefined where none was begun. */
  readonly session?: string | undefined;
  readonly startedAt: number;
  readonly connectMs: number;
  readonly tookMs: number;
  /** The operator's command that ended it, rather than an attempt. */
  readonly command?: number | undefined;
  /** Where a whole round failed: every host of it, `name[address]:port`. */
  readonly tried?: readonly string[] | undefined;
}

export type After =
  | { readonly do: "hold"; readonly because: string; readonly untilAt: number | undefined }
  | { readonly do: "remove"; readonly because: string }
  | { readonly do: "bounce"; readonly because: string }
  | { readonly do: "release" };

/** The ready envelopes of one message at one relay. */
export interface Batch extends Chained<Batch> {
  readonly kind: "batch";
  readonly message: MessageEntry;
  readonly relay: RelayQueue;
  readonly tickets: Chain<Ticket>;
}

/** What is ready for one local recipient. */
export interface LocalQueue extends Chained<LocalQueue> {
  readonly kind: "local";
  readonly recipient: string;
  readonly tickets: Chain<Ticket>;
  active: number;
  hasTurn: boolean;
}

/** One host's failure in a round, and the session that met it, where there was one. */
export interface RoundFailure {
  readonly failure: Failure;
  readonly session?: string | undefined;
}

/** What envelopes go to, and what is ready to go there. */
export interface RelayQueue extends Wakeable {
  readonly key: string;
  readonly plan: RelayPlan;
  /** The recipients' domain, when the way depends on it. */
  readonly domain: string | undefined;
  readonly batches: Chain<Batch>;
  readonly byMessage: Map<MessageEntry, Batch>;
  readyCount: number;
  readonly sessions: Set<Session>;
  readonly idle: Session[];
  connecting: number;
  /** Slow start of the whole relay: grows with each transaction that worked, up to the limit of a relay. */
  readonly connections: Limited;
  readonly penalty: Penalty;
  isResolving: boolean;
  candidates: readonly Candidate[];
  freshUntilAt: number;
  /** Addresses tried in this round, and what each said. A round ends with a transaction that worked, or with all tried. */
  readonly tried: Set<string>;
  failures: RoundFailure[];
  roundStartedAt: number;
  /** Failures of our own side in a row. */
  mishaps: number;
  /** An operator wants it tried now: when its hosts are found, their rests end. */
  endsRests: boolean;
  /** Limits in whose lines it stands. */
  readonly waitsOn: Set<Limited>;
  /** The settings changed: sessions end after what they do now. */
  isRetired: boolean;
}

export interface Candidate {
  readonly host: NextHost;
  readonly address: string;
  readonly way: Way;
  /** Hosts of one rank share load; the next rank is for when this one cannot be used. */
  readonly rank: number;
}

export interface Session extends Wakeable {
  readonly id: string;
  readonly relay: RelayQueue;
  readonly route: Route;
  readonly candidate: Candidate;
  /** What it occupies a place of. */
  readonly occupies: readonly Limited[];
  readonly openedAt: number;
  phase: "connecting" | "idle" | "busy";
  facts: SessionFacts | undefined;
  connectMs: number;
  transactions: number;
  hasWorked: boolean;
  tickets: readonly Ticket[];
  handedAt: number;
}

export function newScheduler(settings: CoreSettings, seed: number): SchedulerState {
  return {
    now: 0,
    out: [],
    settings,
    seed: seed >>> 0,
    tickets: new Map(),
    messageCount: 0,
    counts: { waiting: 0, ready: 0, active: 0, writing: 0, held: 0, dead: 0 },
    wakes: [],
    relays: new Map(),
    relayWakes: [],
    dirty: new Set(),
    freed: new Set(),
    sessions: new Map(),
    idleSessions: [],
    sessionCount: 0,
    routes: new Map(),
    routesAfterSweep: 0,
    hosts: new Map(),
    sources: new Map(),
    domains: new Map(),
    total: limited(settings.route.limits.total),
    resolving: limited(MOST_RESOLVING),
    localQueues: new Map(),
    localTurns: newChain(),
    localActive: 0,
    urgent: [],
    backlog: { tasks: [], from: 0 },
    writes: new Map(),
    writeCount: 0,
    slicesInFlight: 0,
    commands: new Map(),
    paused: new Map(),
    isStopping: false,
    isStoreUsable: true,
    timerAt: undefined,
    since: { queued: 0, delivered: 0, deferred: 0, bounced: 0, expired: 0, dead: 0 },
  };
}

/** Relays whose hosts are looked up at the same time. */
const MOST_RESOLVING = 100;

export function newRelayQueue(key: string, plan: RelayPlan, domain: string | undefined): RelayQueue {
  return {
    key,
    plan,
    domain,
    batches: newChain(),
    byMessage: new Map(),
    readyCount: 0,
    sessions: new Set(),
    idle: [],
    connecting: 0,
    connections: limited(1),
    penalty: noPenalty(),
    isResolving: false,
    candidates: [],
    freshUntilAt: 0,
    tried: new Set(),
    failures: [],
    roundStartedAt: 0,
    mishaps: 0,
    endsRests: false,
    waitsOn: new Set(),
    isRetired: false,
    wakeAt: Infinity,
    heapAt: -1,
  };
}

/** May work in this direction be handed out now? */
export function mayWork(s: SchedulerState, direction: "out" | "local"): boolean {
  return s.isStoreUsable && !s.isStopping && !s.paused.has(direction);
}

export function liveStateOf(ticket: Ticket): LiveState {
  return ticket.place === "waiting" && ticket.state !== "queued" ? ticket.state : ticket.place;
}
