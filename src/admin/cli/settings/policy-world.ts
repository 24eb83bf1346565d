/** What policy tests and comparisons are asked and answer: plain data, as `--json` shows it. */
export interface PolicyWorld {
  /** Runs cases against settings, without network. Rejects for settings or files that cannot be read; `tell` hears of each case. */
  readonly testPolicy: (request: PolicyTestRequest, tell: (outcome: CaseOutcome) => void) => Promise<PolicyTestReport>;
  /** What the settings would treat otherwise than older ones. Rejects for settings that cannot be read. */
  readonly comparePolicy: (request: CompareRequest) => Promise<Comparison>;
}

export interface PolicyTestRequest {
  readonly settingsFile: string | undefined;
  /** None: those beside the settings. */
  readonly files: readonly string[];
}

export interface CaseOutcome {
  /** `cases.yaml:12:5`, or the file of a test in code. */
  readonly where: string;
  readonly name: string;
  readonly isPassed: boolean;
  readonly differences: readonly { readonly what: string; readonly expected: string; readonly found: string }[];
  /** What it would have asked of the network, which is not there. */
  readonly unexpected: readonly string[];
  /** It could not be held at all, or code threw. */
  readonly problem?: string | undefined;
}

export interface PolicyTestReport {
  readonly outcomes: readonly CaseOutcome[];
  /** The files of settings that were tried; undefined is the built-in ones. */
  readonly settings: readonly (string | undefined)[];
}

export interface CompareRequest {
  readonly settingsFile: string | undefined;
  /** The settings before. */
  readonly old: string;
  /** Undefined: the journal of the settings that are tried. */
  readonly journal: string | undefined;
  readonly sinceAt: number;
  /** The newest so many. */
  readonly most: number;
  /** What waits in the queue, as far as the server could be asked; undefined: it could not. */
  readonly queued: readonly QueuedMail[] | undefined;
}

/** An envelope that waits. */
export interface QueuedMail {
  readonly envelope: string;
  readonly sender: string;
  readonly recipient: string;
  readonly action: string;
}

export interface Comparison {
  /** Recipients of sessions that were looked at. */
  readonly sessions: number;
  /** Recipients that the journal says too little of. */
  readonly unclear: number;
  readonly queued: number;
  /** Whether the server could be asked for its queue. */
  readonly hasQueue: boolean;
  /** The same change of many, together; the most frequent first. */
  readonly changes: readonly Change[];
}

export interface Change {
  readonly of: "sessions" | "queue";
  readonly before: string;
  readonly after: string;
  readonly count: number;
  /** A few of them: `2026-11-21T12:00:00Z client=… from=<…> to=<…>`. */
  readonly examples: readonly string[];
}
