/**
 * A trace that can be switched on while the server runs. Who has something to show asks `isOn` first, so that a trace that
 * is off costs a look at a flag.
 */
export interface LineTrace {
  readonly isOn: boolean;
  /** One line, without secrets and without the content of mails. */
  show(line: string): void;
}

/** For tests and for what is never traced. */
export const noTrace: LineTrace = { isOn: false, show: () => {} };

/** What can be traced line by line. */
export const TRACE_TOPICS = ["scheduler", "mta", "smtp", "dns", "filter"] as const;
export type TraceTopic = (typeof TRACE_TOPICS)[number];
