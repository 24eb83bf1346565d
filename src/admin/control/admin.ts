import type { SinkTrouble } from "../../mail/log/sink-troubles.ts";
import type { MessageId } from "../../foundation/ids.ts";
import type { TraceTopic } from "../../foundation/line-trace.ts";
import type { JournalEntry, StoryOptions, StoryQuery } from "../../mail/log/journal.ts";
import type { EventRecord } from "../../mail/log/record.ts";
import type { TlsAnswers, TlsQuestion } from "../../mail/log/tls-questions.ts";
import type { LoginsAdmin } from "../../service/account/logins.ts";
import type { ShownFilter } from "../../mail/filter/merged-health.ts";
import type { DmarcReportData, ShownDmarcReport } from "../../mail/filter/authentication/dmarc-collector.ts";
import type { GreylistRow, GreylistWanted } from "../../mail/envelope/restrictions/greylist-store.ts";
import type { ShownRate } from "../../mail/envelope/restrictions/rates.ts";
import type { ShownSender } from "../../service/account/sending-limits.ts";
import type { BackendHealth } from "../../service/table/keyed-backend.ts";
import type { AcmeStatus } from "../../service/acme/acme.ts";
import type { TraceLevel, TraceTarget } from "../../service/tls/tracer/trace-switches.ts";
import type { ListedCertificate } from "../../service/tls/keeper/keeper.ts";
import type { SchedulerAdmin, SchedulerStatus } from "../../mail/scheduler/admin/admin.ts";

/**
 * The one admin interface: what the operator's client and the console reach the server through. `process/` builds it
 * from the roles; the control sockets serve it.
 */
export interface Admin {
  readonly queue: SchedulerAdmin;
  readonly journal: {
    story(query: StoryQuery, options?: StoryOptions): Promise<readonly JournalEntry[]>;
    tls<Asked extends TlsQuestion["ask"]>(question: Extract<TlsQuestion, { ask: Asked }>): Promise<TlsAnswers[Asked]>;
  };
  /** A message's stored content, in portions; undefined when there is no such message. */
  content(message: MessageId): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** Failed logins, slowed down and blocked. */
  readonly logins: LoginsAdmin;
  /** What accounts have sent, where that is limited. */
  readonly senders: {
    shown(): Promise<readonly ShownSender[]>;
    clear(account: string): Promise<{ readonly cleared: number }>;
  };
  /** What restrictions count, and what greylisting remembers. */
  readonly rates: {
    shown(): Promise<readonly ShownRate[]>;
    clear(key: string): Promise<{ readonly cleared: number }>;
  };
  readonly greylist: {
    list(wanted: GreylistWanted): Promise<readonly GreylistRow[]>;
    remove(which: string): Promise<{ readonly removed: number }>;
    /** The networks that the address counts towards. */
    allow(address: string): Promise<{ readonly networks: readonly string[] }>;
  };
  /** What is collected for, and became of, daily reports on DMARC. */
  readonly dmarc: {
    list(): Promise<readonly ShownDmarcReport[]>;
    read(domain: string, day: number): Promise<DmarcReportData | undefined>;
    hasten(domain: string | undefined): Promise<{ readonly due: number }>;
  };
  /** All tables of the settings. */
  tables(): Promise<readonly ShownTable[]>;
  /** Those that are asked somewhere. */
  filters(): Promise<readonly ShownFilter[]>;
  readonly traces: TraceAdmin;
  readonly topics: TopicAdmin;
  status(): Promise<ServerStatus>;
  reload(): Promise<ReloadReport>;
  certificates(): Promise<CertificateReport>;
  /** Asks the authority for the certificates of a label or name anew, or for all; gives their labels. */
  renewCertificates(label?: string): Promise<{ readonly labels: readonly string[] }>;
  /** Log files are opened anew, after rotation. */
  reopenLog(): Promise<void>;
  /** Begins an orderly stop; resolves when it has begun. */
  stop(): Promise<void>;
  /** Every event from now on, in batches, until the returned function is called. */
  subscribe(listener: (records: readonly EventRecord[]) => void): () => void;
}

export interface ShownTable {
  readonly table: string;
  /** `list`, `aliases`, `postgres` ... */
  readonly kind: string;
  readonly health: BackendHealth;
}

export interface CertificateReport {
  /** Without what only tables know. */
  readonly shown: readonly ListedCertificate[];
  readonly acme: readonly AcmeStatus[];
}

/** Traces of TLS connections, set at run time, each until its end (`service/tls/tracer/trace-switches.ts`). */
export interface TraceAdmin {
  /** Throws `CONTROL_REFUSED` when the file for decrypted content cannot be made. */
  set(wish: {
    readonly target: TraceTarget;
    readonly level: TraceLevel;
    readonly forMs: number;
    /** Decrypted content goes into a file, so many bytes at most. */
    readonly decryptedBytes?: number | undefined;
  }): Promise<TraceShown>;
  /** Without a target all end. */
  remove(target: TraceTarget | undefined): Promise<{ readonly removed: number }>;
  list(): Promise<readonly TraceShown[]>;
}

export interface TraceShown {
  readonly target: TraceTarget;
  readonly level: TraceLevel;
  readonly untilAt: number;
  /** The file's path. */
  readonly decryptedInto?: string | undefined;
}

/** Traces of what the server does, line by line, each until its end. */
export interface TopicAdmin {
  /**
   * In place of one that was set with the same topic and filter; but whoever follows a trace (`onGone`) has it alone, and is
   * told when somebody else ends it.
   */
  set(wish: {
    readonly topic: TraceTopic;
    readonly filter?: string | undefined;
    readonly forMs: number;
    readonly onGone?: (() => void) | undefined;
  }): Promise<TopicShown>;
  /** Without a topic all end. */
  remove(topic: TraceTopic | undefined): Promise<{ readonly removed: number }>;
  /** Ends this one, as `set` gave it, and no other. */
  end(one: TopicShown): Promise<void>;
  list(): Promise<readonly TopicShown[]>;
}

export interface TopicShown {
  readonly topic: TraceTopic;
  /** Only lines with this in them, without regard to case. */
  readonly filter?: string | undefined;
  readonly untilAt: number;
}

export interface ServerStatus {
  readonly version: string;
  readonly layout: "single" | "split";
  readonly startedAt: number;
  /** The settings file, or undefined for the built-in settings. */
  readonly settingsFile?: string | undefined;
  readonly settingsLoadedAt: number;
  readonly processes: readonly ProcessStatus[];
  readonly listeners: readonly ListenerStatus[];
  readonly queue: SchedulerStatus;
  /** Sinks of the log, and the journal, that cannot be written now. */
  readonly logTroubles?: readonly SinkTrouble[] | undefined;
}

export interface ProcessStatus {
  readonly role: string;
  readonly pid: number;
  readonly startedAt: number;
  /** How often a process of this role was started again after it had ended by itself. */
  readonly restarts: number;
  readonly memoryBytes?: number | undefined;
}

export interface ListenerStatus {
  readonly name: string;
  /** `127.0.0.1:2525`, or a socket's path. */
  readonly at: string;
  readonly protocol: string;
}

export type ReloadReport =
  /** `changed`: the settings that differ, by path. `needsRestart`: those of them that only a restart puts in force. */
  | { readonly kind: "swapped"; readonly changed: readonly string[]; readonly needsRestart: readonly string[] }
  /** The settings stay as they were; lines as `posthornd -n` prints them. */
  | { readonly kind: "refused"; readonly problems: readonly string[] };
