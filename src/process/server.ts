import type { Socket } from "node:net";
import type { KnownClient } from "../mail/session/services.ts";
import type { Clock } from "../foundation/clock.ts";
import type { CertificateReport, ProcessStatus, TopicAdmin, TraceAdmin } from "../admin/control/admin.ts";
import type { Emit } from "../foundation/events.ts";
import type { SinkTrouble } from "../mail/log/sink-troubles.ts";
import type { EventRecord } from "../mail/log/record.ts";
import type { ShownFilter } from "../mail/filter/merged-health.ts";
import type { SchedulerAdmin } from "../mail/scheduler/admin/admin.ts";
import type { LoadedSettings } from "./settings/load-settings.ts";
import type { LookupPort } from "./role/lookup.ts";

/** A server that runs, however it is laid out. */
export interface Server {
  readonly layout: "single" | "split";
  /** `smtp=127.0.0.1:2525`, for people. */
  readonly listening: readonly string[];
  readonly admin: SchedulerAdmin;
  /** Every event from now on, in batches, until the returned function is called. */
  subscribe(listener: (records: readonly EventRecord[]) => void): () => void;
  readonly emit: Emit;
  /** What is shown of TLS connections, beyond what the settings say. */
  readonly traces: TraceAdmin;
  /** What is shown of the server's own doing, line by line. */
  readonly topics: TopicAdmin;
  /** The settings in force. */
  readonly loaded: LoadedSettings;
  /** Swaps the settings; throws, and changes nothing, when something of the new ones cannot be had (a port, a directory). */
  reload(loaded: LoadedSettings): Promise<void>;
  /** What of the log cannot be written now. */
  logTroubles(): readonly SinkTrouble[];
  /** What the keeper shows, and how it stands with certificates from an authority. */
  certificates(): Promise<CertificateReport>;
  /** The filters in use, over all processes. */
  filters(): readonly ShownFilter[];
  /** Asks an authority for certificates anew; gives their labels. */
  renewCertificates(label?: string): readonly string[];
  /** Asks the lookup role; undefined where the settings need none. */
  askLookup<Value>(ask: (port: LookupPort) => Promise<Value>): Promise<Value | undefined>;
  /**
   * Gives reception a connection of a user of this host; false when nobody is there to take it. `onEnd` is called once when it has
   * ended, wherever it was.
   */
  acceptLocal(socket: Socket, known: KnownClient, onEnd: () => void): boolean;
  /** After rotation of log files. */
  reopen(): void;
  /** In good order: no new connections, what runs may end within the deadline, nothing is lost. */
  stop(because: string): Promise<void>;
  /** The processes, for `posthorn status`. */
  processes(): readonly Omit<ProcessStatus, "memoryBytes">[];
}

/** How long running transactions and deliveries may take to end when the server stops. */
export const STOP_DEADLINE_MS = 25_000;
/** What a part gets to end in when those before it have used all of that. */
const LEAST_STOP_MS = 2000;

/** The time that is left of a stop for each of its parts in turn: all of them together take hardly longer than `deadlineMs`. */
export function stopTime(clock: Clock, deadlineMs: number): () => number {
  const untilMs = clock.monotonicMs() + deadlineMs;
  return () => Math.max(Math.min(deadlineMs, LEAST_STOP_MS), untilMs - clock.monotonicMs());
}
