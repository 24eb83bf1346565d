import type { EnvelopeId, MessageId } from "../../../foundation/ids.ts";
import type { Profile } from "../../../foundation/profiler.ts";
import type { PolicyQuestion, PolicyReport } from "../../delivery/tls-policy/policy-report.ts";
import type { TlsHost } from "../../delivery/tls-policy/tls-hosts.ts";
import type { Failure } from "../../envelope/failure.ts";
import type {
  AttemptRecord,
  Body,
  CensusRow,
  QueueFilter,
  QueuePlace,
  QueueRow,
  SpoolCopy,
  StoredEnvelope,
  StoredMessage,
} from "../../queue/store.ts";
import type { Counted } from "./meter.ts";
import type { SuspensionFacts, SuspensionLevel } from "../suspension/suspension.ts";
import type { ShowPage } from "./shown-row.ts";
import type { ShowPlace } from "./shown-row.ts";
import type { ShowFilter } from "./shown-row.ts";

/**
 * What the operator may ask of the queue and the scheduler, and change. The control socket serves it; nothing else
 * reaches into the scheduler. Everything is plain data: in a split server it crosses a process boundary.
 *
 * A change that resolves is durable, but for a retry: what that makes due is tried at once, whatever the disk does. It
 * speaks about the envelopes present when it was asked for, also those that are not read yet at a start: it resolves when
 * they are. Those being tried just then are counted apart (`Changed.asked`).
 */
export interface SchedulerAdmin {
  /** A page of the list (`Store.page`): what the store knows, with what the scheduler does about it just now. */
  list(filter: QueueFilter, behind?: QueuePlace): Promise<LivePage>;
  /** One message (by its id) with its envelopes and their attempts; an envelope's id shows that envelope only. */
  show(id: EnvelopeId, options?: { readonly withBody?: boolean }): Promise<ShownMessage | undefined>;
  census(): Promise<readonly CensusRow[]>;

  /** Held envelopes are not tried, warned about or expired until released, or until `untilAt`. */
  hold(selector: Selector, because: string, untilAt?: number): Promise<Changed>;
  /** `quarantined`: what is in quarantine, and nothing else; without it, everything else that is held. */
  release(selector: Selector, quarantined?: boolean): Promise<Changed>;
  /** Due at once, and the rests of the routes concerned end. Held and dead envelopes are released by it too when named by id. */
  retryNow(selector: Selector): Promise<Changed>;
  /** Takes envelopes out of the queue without telling their senders. What is in quarantine: when that is meant, or by its id. */
  remove(selector: Selector, because: string, quarantined?: boolean): Promise<Changed>;
  /** Returns envelopes to their senders. */
  bounce(selector: Selector, because: string): Promise<Changed>;

  /** `in`: reception, `out`: network delivery, `local`: final delivery. What runs is finished. */
  /** Due at an instant, durably, but not after its expiry. Held and dead ones stay as they are. */
  schedule(selector: Selector, at: number): Promise<Changed>;
  /** Ends the rest and the penalty of routes and relays, by name, address, domain, or as `show` writes them. */
  forgive(which: string): Promise<{ readonly routes: number }>;

  /**
   * Suspends something, durably: mail under it is not tried, also what comes later, until it is lifted or its time is over.
   * Set again it changes reason and end.
   */
  suspend(wish: SuspendWish): Promise<Changed>;
  /** Undefined: nothing of the kind is suspended. */
  unsuspend(wish: UnsuspendWish): Promise<Changed | undefined>;
  suspensions(): Promise<readonly ShownSuspension[]>;

  pause(direction: Direction, because: string): Promise<void>;
  resume(direction: Direction): Promise<void>;

  status(): Promise<SchedulerStatus>;
  routes(): Promise<readonly RouteRow[]>;
  /** A page of routes, relays, hosts, source addresses or domains (`show.ts`). */
  shown(filter: ShowFilter, behind?: ShowPlace): Promise<ShowPage>;
  /** Counters since the start, of the last minute and the last hour. */
  stats(): Promise<readonly Counted[]>;
  /** Measures for so long. Rejects with `CONTROL_REFUSED` while somebody else measures the same. */
  profile(what: Profile["what"], forMs: number): Promise<Profile>;
  /** Hosts whose TLS handshakes fail, and what is known of the kinds that work. */
  tlsHosts(): Promise<readonly TlsHost[]>;
  /** By name, address or both; `*` for all. What was remembered of them is gone: the next session tries as usual. */
  forgetTlsHost(which: string): Promise<{ readonly hosts: number }>;
  /** Which TLS policy is in force for a destination. */
  tlsPolicy(question: PolicyQuestion): Promise<PolicyReport>;
  /** What holds an envelope up, in order, and the earliest moment each can clear. Undefined when there is no such envelope. */
  why(id: EnvelopeId): Promise<readonly Hindrance[] | undefined>;
  /** The same of all envelopes of a message, or of one. Undefined when there is none. */
  whyAll(id: string): Promise<WhyReport | undefined>;
  /** A consistent copy of the running queue into an empty directory. */
  backup(intoDirectory: string): Promise<SpoolCopy>;
}

export interface SuspendWish {
  readonly level: SuspensionLevel;
  readonly key: string;
  readonly because: string;
  /** Who wants it. */
  readonly by: string;
  readonly untilAt?: number | undefined;
}

export type UnsuspendWish = Pick<SuspendWish, "level" | "key" | "by">;

export interface ShownSuspension extends SuspensionFacts {
  /** Envelopes that it holds just now: those that are not due yet, or are under another one, are not among them. */
  readonly held: number;
}

export type Direction = "in" | "out" | "local";

export type Selector =
  | { readonly by: "envelope"; readonly id: EnvelopeId }
  | { readonly by: "message"; readonly id: MessageId }
  /** The envelope's reverse path or the message's, compared without regard to case; `""` selects the null sender's. */
  | { readonly by: "sender"; readonly sender: string }
  /** The recipient's domain, with all below it if so said. */
  | { readonly by: "domain"; readonly domain: string; readonly withSubdomains?: boolean | undefined }
  /** A next host by name or address (as `routes` shows them): what goes there now or went there last. */
  | { readonly by: "route"; readonly route: string }
  | { readonly by: "all" };

export interface Changed {
  /** Envelopes that the selector matched and that are changed, durably. */
  readonly envelopes: number;
  /**
   * Envelopes that are being tried just now: changed when that ends, unless it delivers them (or, for a hold, returns them).
   * This is remembered until then, not over a restart. Absent when there are none.
   */
  readonly asked?: number | undefined;
  /** Of what was to be returned and is gone: those of which only postmaster was told, and those of which nobody wants to hear. */
  readonly toPostmaster?: number | undefined;
  readonly untold?: number | undefined;
  /** Envelopes that could not be changed, and why the first of them could not. Absent when there are none. */
  readonly undone?: number | undefined;
  readonly because?: string | undefined;
  /** Envelopes that a retry leaves alone because something suspends them. Absent when there are none. */
  readonly suspended?: number | undefined;
}

/**
 * `waiting`: until it is due. `ready`: due, waiting for its turn, a connection or a resting route. `active`: being tried.
 * `writing`: its outcome is on the way to the disk.
 */
export type LiveState = "waiting" | "ready" | "active" | "writing" | "held" | "dead";

export interface LiveRow extends QueueRow {
  /** Undefined when the scheduler does not know the envelope (not loaded yet, or just gone). */
  readonly live?: LiveState | undefined;
  /** When it is due, where the scheduler has another instant than the store. */
  readonly nextAt?: number | undefined;
  /** What it waits for just now, where that is not its last failure: the first of its hindrances. */
  readonly waits?: LiveWait | undefined;
}

export type LiveWait = Pick<Hindrance, "what" | "text" | "untilAt">;

/** A page on its way to the operator: the scheduler adds what it knows, and nobody reads the rows before the client. */
export interface LivePage {
  readonly count: number;
  /** An array of `LiveRow` as JSON. */
  readonly rows: string;
  readonly next?: QueuePlace | undefined;
}

export interface ShownMessage {
  readonly message: StoredMessage;
  readonly envelopes: readonly ShownEnvelope[];
  readonly body?: Body | undefined;
}

export interface ShownEnvelope extends StoredEnvelope {
  readonly live?: LiveState | undefined;
  readonly attempts: readonly AttemptRecord[];
  /** How many attempts before these are known and left out, for there are very many in all. Absent: none. */
  readonly earlierAttempts?: number | undefined;
}

export interface SchedulerStatus {
  readonly startedAt: number;
  /** Envelopes by what the scheduler does about them. */
  readonly envelopes: Readonly<Record<LiveState, number>>;
  readonly messages: number;
  readonly isLoading: boolean;
  /** False while the store is closed after a failed sync: nothing is handed out. */
  readonly isStoreUsable: boolean;
  readonly sessions: { readonly connecting: number; readonly idle: number; readonly busy: number };
  readonly localDeliveries: number;
  readonly relays: number;
  readonly routesResting: number;
  readonly paused: readonly { readonly direction: Direction; readonly because: string; readonly sinceAt: number }[];
  readonly since: {
    readonly queued: number;
    readonly delivered: number;
    readonly deferred: number;
    readonly bounced: number;
    readonly expired: number;
    readonly dead: number;
  };
  /** The next moment at which something falls due. */
  readonly nextAt?: number | undefined;
}

export interface RouteRow {
  /** Our address, or undefined when the system chooses. */
  readonly source?: string | undefined;
  readonly host: string;
  /** `ip:port`, or the path of a socket. */
  readonly address: string;
  readonly connections: number;
  /** Connections allowed just now (slow start). */
  readonly allowed: number;
  readonly penalty: number;
  readonly restsUntilAt?: number | undefined;
  readonly lastFailure?: Failure | undefined;
}

/** One thing that holds an envelope up. */
export interface Hindrance {
  readonly what:
    | "held"
    | "dead"
    | "paused"
    | "suspended"
    | "quarantine"
    | "not-due"
    | "greylisted"
    | "relay-rests"
    | "route-rests"
    | "limit"
    | "rate"
    | "queue"
    | "attempt"
    | "store";
  readonly text: string;
  /** The earliest moment it can clear by itself, when that is known. */
  readonly untilAt?: number | undefined;
  /** Another way, which would do, is open then; without an instant: perhaps at any moment. */
  readonly otherWay?: { readonly untilAt?: number | undefined } | undefined;
  /** Which setting it follows from, in the schema's names: `["route", "limits", "host"]`. */
  readonly setting?: readonly (string | number)[] | undefined;
  /** Where that was set: `posthorn.yaml:12:5`, or `default`. */
  readonly origin?: string | undefined;
}

/** What holds the envelopes of a message up; those that the same holds up are one group. */
export interface WhyReport {
  readonly message: MessageId;
  readonly groups: readonly WhyGroup[];
  /** There are more envelopes than were looked at. */
  readonly isCut: boolean;
}

export interface WhyGroup {
  readonly hindrances: readonly Hindrance[];
  /** All of them, and the first of them by id and recipient. */
  readonly count: number;
  readonly envelopes: readonly { readonly id: EnvelopeId; readonly recipient: string }[];
  readonly state: LiveState | undefined;
  readonly attempts: number;
  /** The first of them that expires. */
  readonly expiresAt: number;
  readonly lastFailure?: string | undefined;
  /** The earliest instant at which one of them can go on; undefined: nobody knows, or somebody must do something. */
  readonly earliestAt?: number | undefined;
  /** The latest of those instants, where the envelopes differ. */
  readonly latestAt?: number | undefined;
}
