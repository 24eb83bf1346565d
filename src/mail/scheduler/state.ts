import type { EnvelopeId } from "../../foundation/ids.ts";
import type { SessionFacts } from "../delivery/delivery.ts";
import type { NextHost } from "../route/next-host.ts";
import type { EnvelopeState, Quarantine } from "../envelope/envelope.ts";
import type { Failure } from "../envelope/failure.ts";
import { limited, type Limited } from "../route/limited.ts";
import type { Greylist } from "../route/greylist.ts";
import { noPenalty, type Penalty } from "../route/penalty.ts";
import type { Bucket, Scarce } from "../route/rate.ts";
import type { Route } from "../route/route.ts";
import type { RouteSettings } from "../route/settings.ts";
import type { Action } from "./action.ts";
import type { Direction, LiveState } from "./admin/admin.ts";
import { newChain, type Chain, type Chained } from "./chain.ts";
import type { AttemptSpeaker } from "./events.ts";
import type { Failing } from "./serve/failing.ts";
import type { Fate } from "./writing/fate.ts";
import type { Rewrite } from "./writing/refused-writes.ts";
import type { Loading } from "./loading.ts";
import type { Ranked } from "./serve/priorities.ts";
import type { Plan, RelayPlan, Way } from "./plan.ts";
import type { Stalled } from "./awaken.ts";
import type { RoundFailure } from "./serve/round.ts";
import type { SenderTurn } from "./serve/sender-turns.ts";
import type { SchedulerSettings } from "./settings.ts";
import { noSuspensions, type Suspension, type Suspensions } from "./suspension/suspension.ts";
import { newWakeHeap, type WakeHeap, type Wakeable } from "./wake-heap.ts";

/**
 * What the scheduler knows. It is owned by whoever calls `step` and changed in place: a million envelopes are not copied
 * for each event. Everything in it follows from the settings, the seed and the events; nothing else changes it.
 */
export interface SchedulerState {
  now: number;
  out: Action[];
  settings: CoreSettings;
  /** Where chance stands: `chanceOf` draws from it. */
  seed: number;

  readonly tickets: Map<EnvelopeId, Ticket>;
  /** Texts that many tickets share (`shared-text.ts`). */
  readonly texts: Map<string, string>;
  /** The same for the names of actions. */
  readonly names: Map<string, string>;
  messageCount: number;
  readonly counts: Record<LiveState, number>;
  /** Tickets by the next instant at which something must be decided about them, wherever they are. */
  readonly wakes: WakeHeap<Ticket>;

  readonly relays: Map<string, RelayQueue>;
  readonly relayWakes: WakeHeap<RelayQueue>;
  /** By plan and domain, for as long as what was found about the domain is fresh. */
  readonly homes: Map<string, Home>;
  homesAfterSweep: number;
  /** Hosts that want one domain in a transaction, and until when that is believed (`mixing.ts`). */
  readonly unmixed: Map<string, number>;
  /** Relays for which something may have changed in this step. */
  readonly dirty: Set<RelayQueue>;
  /** Limits of which something was given back in this step. */
  readonly freed: Set<Scarce>;
  readonly sessions: Map<string, Session>;
  readonly idleSessions: WakeHeap<Session>;
  sessionCount: number;

  readonly routes: Map<string, Route>;
  /** Routes, limits and buckets kept when the unused ones were forgotten last. */
  keptAfterSweep: number;
  readonly hosts: Map<string, Limited>;
  readonly sources: Map<string, Limited>;
  readonly domains: Map<string, Limited>;
  /** Of routes, and of rules that count all they match as one. */
  readonly shaped: Map<string, Limited>;
  readonly buckets: Map<string, Bucket>;
  /** Buckets in whose lines somebody waits, by the instant at which their next token is back. */
  readonly bucketWakes: WakeHeap<Bucket>;
  /** Addresses of ours that cannot be used, and until when nobody tries them again. */
  readonly sourceRests: Map<string, Penalty>;
  readonly total: Limited;
  /** Connections that wait for an answer too long: `hanging.ts`. */
  readonly hanging: Limited;
  readonly resolving: Limited;

  readonly localQueues: Map<string, LocalQueue>;
  /** Recipients with something ready and room for it, each in its turn. */
  readonly localTurns: Chain<LocalQueue>;
  localActive: number;

  /** What this step wants written. */
  urgent: Fate[];
  /** What concerns very many envelopes (a relay that failed, an operator's command): decided and written in slices. */
  readonly backlog: { tasks: Task[]; from: number };
  /** What failed together and is not among those tasks yet (`failing.ts`). */
  readonly failing: Failing[];
  readonly writes: Map<number, { readonly fates: readonly Fate[]; readonly isSlice: boolean }>;
  /** What the store refused and gets again, by envelope (`refused-writes.ts`). */
  readonly rewrites: Map<EnvelopeId, Rewrite>;
  readonly rewriteWakes: WakeHeap<Rewrite>;
  writeCount: number;
  slicesInFlight: number;
  /** Present while the queue is being read. */
  loading: Loading | undefined;
  /** Operators' commands that are not answered yet. */
  readonly commands: Map<number, CommandProgress>;

  readonly suspensions: Suspensions;
  suspensionCount: number;
  /** Those that end by themselves. */
  readonly suspensionWakes: WakeHeap<Suspension>;
  /** By the key of the relay that failed. */
  readonly stalled: Map<string, Stalled>;
  /** Whose wait is over; their envelopes are due, some in each step. */
  readonly awakening: (Stalled | Suspension)[];
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

/** What the envelopes of a message have in common. Its id is part of theirs. */
export interface MessageEntry {
  /** Who its envelopes are from. */
  readonly sender: string;
  /** Who the message is from, where they go as somebody else: forwarded (SRS), `as`, VERP. */
  messageSender?: string;
  readonly receivedAt: number;
  readonly sizeBytes: number;
  /** RFC 2852. */
  readonly deliverBy: { readonly at: number; readonly mode: "return" | "notify" } | undefined;
  /** Present where a listener says for whom it takes mail. */
  tenant?: string;
  /** RFC 6710, where it is not 0. */
  priority?: number;
  /**
   * Envelopes with a sender of their own are together as if they were a message: this is the message's entry, which counts
   * those others in `others`.
   */
  of?: MessageEntry;
  others?: number;
  /** Envelopes of it in the queue, and how many of them are ready or active. */
  total: number;
  inPlay: number;
}

/**
 * What the scheduler keeps of one envelope. It is in exactly one place: `waiting` (also when held, suspended or dead), `ready` (in
 * one batch or local queue), `active` (in one session or final delivery), or `writing` (in one fate).
 */
export interface Ticket extends Wakeable, Chained<Ticket> {
  readonly id: EnvelopeId;
  readonly message: MessageEntry;
  readonly recipient: string;
  readonly action: string;
  readonly wantsDelayNotice: boolean;
  state: EnvelopeState;
  place: "waiting" | "ready" | "active" | "writing";
  // Instants, as milliseconds since the message was received: `ticket-times.ts` reads and sets them. They begin undefined,
  // so that V8 lets the fields hold anything and keeps a number that is far away beside its ticket, not one for each.
  dueMs: number | undefined;
  expiresMs: number | undefined;
  readyMs: number | undefined;
  warnedMs: number | undefined;
  attempts: number;
  /** The next host of the last attempt, `name[address]:port`. */
  lastHost: string | undefined;
  /** The round that failed for all at its relay, if that was its last attempt; one object for all that waited there. */
  lastRound: FailedRound | undefined;
  queue: Batch | LocalQueue | Suspension | Stalled | undefined;

  // What few of them have is no field of the others: it is absent until it is first set.

  /** Present when it differs from `recipient`. */
  givenRecipient?: string;
  /** FUTURERELEASE: not tried before, unless an operator names the envelope or its message. */
  notBeforeAt?: number;
  heldUntilAt?: number | undefined;
  heldBecause?: string | undefined;
  /** Since when its time runs is not known: other settings do not move its end (`life.ts`). */
  hasFixedEnd?: true | undefined;
  /** Held by a filter, until somebody has looked at it: commands that do not mean the quarantine leave it alone. */
  quarantine?: Quarantine | undefined;
  /** The settings under which its final delivery began, while that runs. */
  under?: CoreSettings | undefined;
  /** An operator chose when it is due. */
  isScheduled?: boolean | undefined;
  /** The delay notice could not be made: not tried before. */
  warnAgainAt?: number;
  /** Its last failure, as it is stored, is a refusal of its sender for now. */
  isOfRefusedSender?: boolean | undefined;
  /** Failures of our own side in a row. */
  mishaps?: number;
  /** Why its end was put off (`refused-writes.ts`): until it is due once more. */
  unreturned?: string | undefined;
  /** What an operator wants done when the attempt or the write that runs has ended. */
  after?: After | undefined;
}

/** One envelope's part of a big change; its ticket is `writing` until it is done. */
export type Task =
  | { readonly do: "fail"; readonly ticket: Ticket; readonly attempt: Attempt; readonly failure: Failure }
  | { readonly do: "give-up"; readonly ticket: Ticket; readonly failure: Failure; readonly command: number | undefined }
  /** Not tried, because others were refused just now. */
  | { readonly do: "put-off"; readonly ticket: Ticket; readonly untilAt: number; readonly failure: Failure }
  | { readonly do: "warn"; readonly ticket: Ticket }
  | {
      readonly do: "write";
      readonly ticket: Ticket;
      readonly kind: "gone" | "kept";
      readonly command: number | undefined;
      /** That it was held by, and is over. */
      readonly lifted?: Suspension | undefined;
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
  /** The settings under which it began, where others may have come since. */
  readonly under?: CoreSettings | undefined;
  /** Where a whole round failed. */
  readonly round?: FailedRound | undefined;
  /** It has failed with others and was not tried itself: no attempt is counted. */
  readonly isUntried?: boolean | undefined;
  /** What its relay has learnt says when to come back. */
  readonly retryAt?: number | undefined;
}

/** All hosts of a relay failed, or could not be found; or the settings did not let anybody be asked. */
export interface FailedRound {
  /** Whose recovery ends the wait: the relay's key. */
  readonly relay: string;
  /** Every host of it, `name[address]:port`. */
  readonly tried: readonly string[];
  /** The plan's key: with settings that lead elsewhere this failure says nothing any more. */
  readonly way?: string | undefined;
  /** These settings were to blame: with any others it is tried at once. */
  readonly under?: CoreSettings | undefined;
}

export type After = Wish & {
  /** That waits for it; absent when it was answered that this is asked for, because an attempt may take long. */
  readonly command?: number | undefined;
};

export type Wish =
  | { readonly do: "hold"; readonly because: string; readonly untilAt: number | undefined }
  | { readonly do: "remove"; readonly because: string }
  | { readonly do: "bounce"; readonly because: string }
  | { readonly do: "release" }
  /** `isMeant`: somebody named this mail. */
  | { readonly do: "retry"; readonly isMeant: boolean }
  | { readonly do: "schedule"; readonly at: number };

/** How far a command is: `Changed` says what the numbers mean. */
export interface CommandProgress {
  /** Those whose change is not durable yet are among them. */
  envelopes: number;
  unwritten: number;
  /** More of what it names may be read yet. */
  isOpen: boolean;
  asked: number;
  toPostmaster: number;
  untold: number;
  undone: number;
  suspended: number;
  because: string | undefined;
}

/** The ready envelopes of one message in one line of a relay: what one transaction may carry. */
export interface Batch extends Chained<Batch> {
  readonly kind: "batch";
  readonly message: MessageEntry;
  line: DomainLine;
  readonly tickets: Chain<Ticket>;
  /** Its sender's turn, where several of a sender are in the line. */
  turn: SenderTurn | undefined;
  /** Of mail with a priority: where it waits instead (`priorities.ts`). */
  rank?: "urgent" | "low" | undefined;
}

/** What is ready at a relay for one recipient domain; at a smarthost, for all of them: its domain is `""` then. */
export interface DomainLine extends Chained<DomainLine> {
  readonly domain: string;
  /** Another one when the domain's mail exchangers change. */
  relay: RelayQueue;
  readonly batches: Chain<Batch>;
  /** The last of those batches that go before the others, because they were refused before. */
  front: Batch | undefined;
  /** Batches of messages with several envelopes. */
  byMessage: Map<MessageEntry, Batch> | undefined;
  /** Who is in a long line (`sender-turns.ts`): a sender's only batch, or its turn. */
  senders: Map<string, Batch | SenderTurn> | undefined;
  /** What has a priority; absent while nothing has. */
  ranked?: Ranked | undefined;
  readyCount: number;
  batchCount: number;
  /** A limit of the domain that is full: it has no turns until something is given back. */
  parkedAt: Scarce | undefined;
}

/** At which relay a domain's mail is, as its mail exchangers were found last. */
export interface Home {
  readonly relay: string;
  readonly untilAt: number;
}

/** What is ready for one local recipient. */
export interface LocalQueue extends Chained<LocalQueue> {
  readonly kind: "local";
  readonly recipient: string;
  readonly tickets: Chain<Ticket>;
  active: number;
  hasTurn: boolean;
}

/**
 * What envelopes go to, and what is ready to go there: a smarthost, or mail exchangers, which all domains share that have
 * the same ones (`homes.ts`). Until a domain's mail exchangers are found its mail waits at a relay of its own.
 */
export interface RelayQueue extends Wakeable {
  readonly key: string;
  readonly plan: RelayPlan;
  /** The recipients' domain, where this relay is only for finding its mail exchangers. */
  readonly domain: string | undefined;
  readonly lines: Map<string, DomainLine>;
  /** Lines that may be served, each in its turn. */
  readonly turns: Chain<DomainLine>;
  /** Lines by the full limit of their domain that they wait for. */
  parked: Map<Scarce, Chain<DomainLine>> | undefined;
  readyCount: number;
  batchCount: number;
  /** Where batches of one message are in several lines (`mixing.ts`): all that are ready of messages with several envelopes. */
  byMessage: Map<MessageEntry, Set<Batch>> | undefined;
  readonly sessions: Set<Session>;
  readonly idle: Session[];
  connecting: number;
  /** Slow start of the whole relay: grows with each transaction that worked, up to the limit of a relay. */
  readonly connections: Limited;
  readonly penalty: Penalty;
  isResolving: boolean;
  /** For whose line its hosts are being looked up. */
  asksFor: string;
  candidates: readonly Candidate[];
  freshUntilAt: number;
  /** Addresses tried in this round, and what each said. A round ends with a transaction that worked, or with all tried. */
  tried: Set<string> | undefined;
  failures: RoundFailure[];
  /** Mail that was put back in this round, and what it was told itself. */
  answered: Map<EnvelopeId, RoundFailure> | undefined;
  roundStartedAt: number;
  /** Failures of our own side in a row. */
  mishaps: number;
  /** An operator wants it tried now: when its hosts are found, their rests end. */
  endsRests: boolean;
  /** What its hosts' greylisting is like, while there is something to remember of it. */
  greylist: Greylist | undefined;
  /** When somebody never tried before was accepted last; 0: never. */
  welcomedAt: number;
  /** How long a transaction takes there, on the average of the last ones. */
  transactionMs: number;
  /** Senders that were refused there, by address; at most a thousand. */
  refusedSenders: Map<string, RefusedSender> | undefined;
  /** Limits in whose lines it stands. */
  readonly waitsOn: Set<Scarce>;
  /** The settings changed: sessions end after what they do now. */
  isRetired: boolean;
}

/** A next host took this sender for nobody to speak with. */
export interface RefusedSender {
  readonly failure: Failure;
  /** Refusals in a row, all for good or all for now. */
  readonly times: number;
  readonly untilAt: number;
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
  /** What it occupies a place of, whatever it carries. */
  occupies: readonly Limited[];
  /** The recipients' domain whose mail it carries or carried last; `""` at a smarthost. Of several in a transaction the first. */
  domain: string;
  /** The limits of all domains in its transaction. */
  domainLimits: readonly Limited[];
  /** Its last transaction had several domains. */
  isMixed: boolean;
  /** What each mail over it costs a token of, whatever domain it is for. */
  readonly pays: readonly Bucket[];
  /** Tokens spent for its first mail, while that has not gone. */
  readonly prepaid: { readonly bucket: Bucket; readonly at: number }[];
  readonly openedAt: number;
  phase: "connecting" | "idle" | "busy";
  facts: SessionFacts | undefined;
  connectMs: number;
  transactions: number;
  hasWorked: boolean;
  tickets: readonly Ticket[];
  handedAt: number;
  /** Since when it has nothing to do, or had before its present transaction. */
  idleAt: number;
}

export function newScheduler(settings: CoreSettings, seed: number): SchedulerState {
  return {
    now: 0,
    out: [],
    settings,
    seed: seed >>> 0,
    tickets: new Map(),
    texts: new Map(),
    names: new Map(),
    messageCount: 0,
    counts: { waiting: 0, ready: 0, active: 0, writing: 0, held: 0, dead: 0 },
    wakes: newWakeHeap(),
    relays: new Map(),
    relayWakes: newWakeHeap(),
    homes: new Map(),
    homesAfterSweep: 0,
    unmixed: new Map(),
    dirty: new Set(),
    freed: new Set(),
    sessions: new Map(),
    idleSessions: newWakeHeap(),
    sessionCount: 0,
    routes: new Map(),
    keptAfterSweep: 0,
    hosts: new Map(),
    sources: new Map(),
    domains: new Map(),
    shaped: new Map(),
    buckets: new Map(),
    bucketWakes: newWakeHeap(),
    sourceRests: new Map(),
    total: limited(settings.route.limits.total),
    hanging: limited(settings.route.limits.hanging),
    resolving: limited(MOST_RESOLVING),
    localQueues: new Map(),
    localTurns: newChain(),
    localActive: 0,
    urgent: [],
    backlog: { tasks: [], from: 0 },
    failing: [],
    writes: new Map(),
    rewrites: new Map(),
    rewriteWakes: newWakeHeap(),
    writeCount: 0,
    slicesInFlight: 0,
    loading: undefined,
    commands: new Map(),
    suspensions: noSuspensions(),
    suspensionCount: 0,
    suspensionWakes: newWakeHeap(),
    stalled: new Map(),
    awakening: [],
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
    lines: new Map(),
    turns: newChain(),
    parked: undefined,
    readyCount: 0,
    batchCount: 0,
    byMessage: undefined,
    sessions: new Set(),
    idle: [],
    connecting: 0,
    connections: limited(1),
    penalty: noPenalty(),
    isResolving: false,
    asksFor: "",
    candidates: [],
    freshUntilAt: 0,
    tried: undefined,
    failures: [],
    answered: undefined,
    roundStartedAt: 0,
    mishaps: 0,
    endsRests: false,
    greylist: undefined,
    welcomedAt: 0,
    transactionMs: 0,
    refusedSenders: undefined,
    waitsOn: new Set(),
    isRetired: false,
    heapAt: -1,
  };
}

/** May work in this direction be handed out now? */
export function mayWork(s: SchedulerState, direction: "out" | "local"): boolean {
  return s.isStoreUsable && !s.isStopping && !s.paused.has(direction);
}

export function liveStateOf(ticket: Ticket): LiveState {
  if (ticket.place !== "waiting") return ticket.place;
  if (ticket.state !== "queued") return ticket.state;
  return ticket.queue?.kind === "suspension" ? "held" : "waiting";
}
