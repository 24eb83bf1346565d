import type { HashScheme } from "../../service/account/hash-schemes.ts";
import type { Readable } from "node:stream";
import type { ExplainRequest, Explanation } from "./settings/explanation.ts";
import type { ControlClient } from "../control/control.ts";
import type { Catalogue } from "../../mail/log/log.ts";
import type { ProbeOutcome, ProbeReport, ProbeTarget, ProbeTrial } from "./tls/tls-probe-plan.ts";
import type { JournalEntry, SqlAnswer, StoryOptions, StoryQuery } from "../../mail/log/journal.ts";
import type { SpoolCopy } from "../../mail/queue/store.ts";
import type { RecordedInput } from "../../mail/scheduler/replay/replay.ts";
import type { Standing } from "../../service/autoconfig/compare-records.ts";
import type { ExpectedRecord } from "../../service/autoconfig/expected-records.ts";
import type { PolicyWorld } from "./settings/policy-world.ts";
import type { SigningWorld } from "./domains/signing-world.ts";
import type { TableWorld } from "./tables/table-world.ts";
import type { TlsAnswers, TlsQuestion } from "../../mail/log/tls-questions.ts";

/**
 * What the commands know of the world: the streams of the person who called, and what `main.ts` can do for them. Commands
 * touch nothing else, so a test hands in a world of its own.
 */
export interface World extends TableWorld, PolicyWorld, SigningWorld {
  readonly stdin: Readable;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Minutes east of UTC at an instant. */
  readonly offsetMinutes: (at: number) => number;
  readonly version: string;
  /** The machine's name. */
  readonly hostname: string;
  /** Text that never occurs twice on this machine. */
  readonly uniqueId: () => string;
  readonly caller: Caller;
  /** The name that the program was called by: `posthorn`, or `sendmail`, `mailq`, `newaliases` through a link. */
  readonly calledAs: string;
  /** Every event that the server can tell, for the lines of `log` and `tail`. */
  readonly catalogue: Catalogue;
  /** Where the server of these settings is. Rejects with `SETTINGS_INVALID` when they cannot be read. */
  readonly locate: (settingsFile: string | undefined) => Promise<Places>;
  /** What `posthornd -n` does: problems as lines, warnings among them. */
  readonly checkSettings: (settingsFile: string | undefined) => Promise<SettingsCheck>;
  readonly connectControl: (path: string) => Promise<ControlClient>;
  /** Opens the journal's file itself. Throws when it cannot be read. */
  readonly openJournal: (path: string) => OpenJournal;
  /** Writes a new file that only its owner may read. Rejects when there is one of that name. */
  readonly saveFile: (path: string, bytes: Uint8Array) => Promise<void>;
  /** Looks at a host's TLS from this process. */
  readonly probeTls: (
    target: ProbeTarget,
    tell: (outcome: ProbeOutcome) => void,
    interrupted: AbortSignal,
    /** Without it all that are usual. */
    planned?: readonly ProbeTrial[],
  ) => Promise<ProbeReport>;
  /** What would become of a mail. Rejects with `SETTINGS_INVALID` when the settings cannot be used. */
  readonly explain: (request: ExplainRequest) => Promise<Explanation>;
  /** Plays a scenario; `tell` hears how far it is. Rejects for a scenario or settings that are wrong. */
  readonly simulate: (request: SimulationRequest, tell: (line: string) => void) => Promise<SimulationAnswer>;
  /** The scenarios that come with Posthorn. */
  readonly listSimulations: () => Promise<readonly { readonly name: string; readonly says: string }[]>;
  /** The DNS records that domains should have, and how they are published. */
  readonly adviseDomains: (
    settingsFile: string | undefined,
    question: DomainQuestion,
  ) => Promise<readonly DomainAdvice[]>;
  /** What mail programs are told for an address. */
  readonly autoconfig: (settingsFile: string | undefined, question: AutoconfigQuestion) => Promise<AutoconfigAnswer>;
  readonly hashPassword: (password: string, scheme: HashScheme) => Promise<string>;
  /** Puts a backup in place of an empty queue, while no server runs on it. */
  readonly restore: (settingsFile: string | undefined, backup: string) => Promise<SpoolCopy>;
  /** Asks for something that is not to be shown while it is typed; from a pipe, its first line. */
  readonly readSecret: (prompt: string) => Promise<string>;
  /** Leaves a file in a folder that everybody may put files into. Rejects when it cannot be made durable there. */
  readonly drop: (folder: string, bytes: Uint8Array) => Promise<void>;
  /** Opens a connection for `send`. Rejects when nobody answers within the limit. */
  readonly dial: (place: InjectionPlace, limitMs: number) => Promise<Dialled>;
  /** Waits; ends early when the person wants to leave. */
  readonly sleep: (forMs: number) => Promise<void>;
  /** Aborts when the person wants to leave (SIGINT). */
  readonly interrupted: AbortSignal;
}

export interface DomainQuestion {
  /** Empty: the local ones. */
  readonly domains: readonly string[];
  readonly isChecking: boolean;
  /** Of the public keys that the server shows by its name, SHA-256, hex. */
  readonly keyHashes: readonly string[];
}

export interface DomainAdvice {
  readonly domain: string;
  readonly records: readonly (ExpectedRecord & {
    /** As a zone file has it. */
    readonly line: string;
    readonly standing?: Standing | undefined;
  })[];
  /** What is wrong with the host's own name, forwards and back. */
  readonly host: readonly string[];
}

export interface AutoconfigQuestion {
  readonly of: "thunderbird" | "outlook" | "apple";
  readonly address: string;
}

export type AutoconfigAnswer = { readonly text: string } | { readonly problem: string };

export interface SimulationRequest {
  /** The name of a scenario that comes with Posthorn, or a file. */
  readonly scenario: string;
  /** Settings to be tried. */
  readonly settingsFile: string | undefined;
  readonly seed: number | undefined;
  /** Single settings, by path. */
  readonly set: Readonly<Record<string, unknown>>;
  readonly compare: { readonly path: string; readonly values: readonly unknown[] } | undefined;
  readonly variant: string | undefined;
  readonly size: "full" | "small";
}

export interface SimulationAnswer {
  /** For JSON. */
  readonly report: object;
  readonly text: string;
  readonly svg: string;
  /** All holds that the scenario expects. */
  readonly isFine: boolean;
}

export interface Output {
  readonly isTerminal: boolean;
  /** Columns of the terminal, when there is one. */
  readonly columns?: number | undefined;
  /** Lines of it. */
  readonly rows?: number | undefined;
  /** A string is written as UTF-8. */
  write(text: string | Uint8Array): void;
  /** Resolves when no more waits to be taken than a program should keep: at once, but for a reader far behind. */
  room(): Promise<void>;
  /** Resolves when all that was written has been taken, or is lost. */
  flushed(): Promise<void>;
  /** Aborts when something cannot be written: its reader has gone (EPIPE), the disk is full. The reason is the error. */
  readonly lost: AbortSignal;
}

export interface Caller {
  readonly name: string;
  /** The full name from the password file, where there is one. */
  readonly fullName?: string | undefined;
  readonly isRoot: boolean;
}

export interface Places {
  readonly hostname: string;
  /** The domain of users whom a program names without one. */
  readonly mailName: string;
  readonly controlPaths: { readonly query: string; readonly change: string };
  readonly journalFile: string;
  /** The listeners where local mail can be handed in, the best first; asked where `submit` is absent. */
  readonly injection: () => Promise<readonly InjectionPlace[]>;
  /** The socket for users of this host, and where their mail waits while the server is down; absent: not wanted. */
  readonly submit?: SubmitPlace | undefined;
}

export interface SubmitPlace {
  readonly path: string;
  readonly drop?: DropPlace | undefined;
}

/** Where mail waits while the server is down, and the largest file that is taken from there. */
export interface DropPlace {
  readonly folder: string;
  readonly mostBytes: number;
}

export type InjectionPlace = { readonly host: string; readonly port: number } | { readonly path: string };

export interface SettingsCheck {
  /** Undefined: no file was named or found, and the built-in settings were looked at. */
  readonly file: string | undefined;
  readonly isFine: boolean;
  readonly lines: readonly string[];
}

export interface OpenJournal extends Disposable {
  story(query: StoryQuery, options?: StoryOptions): readonly JournalEntry[];
  tls<Asked extends TlsQuestion["ask"]>(question: Extract<TlsQuestion, { ask: Asked }>): TlsAnswers[Asked];
  sql(text: string): SqlAnswer;
  /** The scheduler's inputs, from the last start at or before an instant on. */
  inputs(fromAt: number): Iterable<RecordedInput>;
}

/** A connection as `send` uses it. */
export interface Dialled {
  /** What the server says, as it comes; ends with the connection. Rejects when it breaks or stays silent too long. */
  read(limitMs: number): Promise<Buffer | undefined>;
  /** Resolves when it has left. Rejects when it breaks, or is not taken in that time. */
  write(bytes: Buffer | string, limitMs: number): Promise<void>;
  /** Nothing more will be written; the server may still answer. */
  end(): void;
  close(): void;
}
