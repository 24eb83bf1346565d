import type { Level, Speaker } from "../../foundation/events.ts";

/** What any buffer needs to know of a line. */
export interface Bufferable {
  readonly text: string;
  readonly isDebug: boolean;
  /** Characters that it has besides its text. */
  readonly besides?: number;
}

/**
 * One line, ready for a sink. For stdout and file `text` is whole, with time, host and tag; for syslog it is the message
 * alone, sent with level and tag. No end of line.
 */
export interface SinkLine extends Bufferable {
  readonly level: Level;
  /** `posthorn/smtpd` and the number in brackets, for syslog. */
  readonly speaker: Speaker;
  readonly number: number;
  readonly at: number;
}

/** Where lines end. `write` never waits; what the sink cannot take at once waits in it, within its bound. */
export interface Sink<Line extends Bufferable = SinkLine> {
  readonly name: string;
  write(lines: readonly Line[]): void;
  /** Tries now whether anything can be written there, with nothing to write: a trouble is known before the first line. */
  open(limitMs: number): Promise<void>;
  /** Settles when everything handed over so far is out, or when `limitMs` has passed. Tells which. */
  flush(limitMs: number): Promise<boolean>;
  /** Opens the file anew (after rotation), connects anew. */
  reopen(): void;
  /** Flushes within `limitMs` and lets go. */
  close(limitMs: number): Promise<SinkEnd>;
}

export interface SinkEnd {
  /** A thread still waits in a system call that cannot be ended. */
  readonly isStuck: boolean;
  /** What did not get out, as far as it was not told yet. */
  readonly lost: number;
  readonly lostDebug: number;
}

/** Told by sinks: a trouble when it begins (`undefined` when it has ended), and what was lost. */
export interface SinkReports {
  trouble(sink: string, problem: string | undefined): void;
  lost(sink: string, counts: { readonly lost: number; readonly lostDebug: number }): void;
}

/** The outlet under a sink's buffer: writes one batch, or rejects and is asked again later. */
export interface Outlet<Line extends Bufferable = SinkLine> {
  /** Characters that it likes to take at once. */
  readonly batchCharacters: number;
  send(lines: readonly Line[]): Promise<void>;
  reopen(): void;
  close(): Promise<void>;
}
