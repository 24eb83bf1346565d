/** Each way in which the machine, or a person's settings, can let us down. The code is stable: logs and manual use it. */
export type ErrorCode =
  | "SETTINGS_INVALID"
  | "SPOOL_FULL"
  | "SPOOL_FAILED"
  | "SPOOL_IN_USE"
  | "SPOOL_REFUSED"
  | "STORE_CLOSED"
  | "STORE_VERSION"
  | "PORT_UNAVAILABLE"
  | "PRIVILEGES"
  | "ROLE_UNAVAILABLE"
  | "CONTROL_REFUSED"
  | "CONTROL_UNREACHABLE"
  | "LIBRARY_UNAVAILABLE"
  | "FILTER_FAILED"
  | "USAGE";

/** An error for people: what happened, where, and what to do (`advice`). */
export class PosthornError extends Error {
  override readonly name = "PosthornError";
  readonly code: ErrorCode;
  readonly advice: string;

  constructor(code: ErrorCode, what: { message: string; advice: string; cause?: unknown }) {
    super(what.message, what.cause === undefined ? undefined : { cause: what.cause });
    this.code = code;
    this.advice = what.advice;
  }
}

/** The text of whatever was thrown, for a log line: never a stack, never empty. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message === "" ? thrown.name : thrown.message;
  return String(thrown);
}

/** The system's error code (`ENOSPC`, `ECONNREFUSED`) when what was thrown carries one. */
export function systemCodeOf(thrown: unknown): string | undefined {
  if (typeof thrown !== "object" || thrown === null || !("code" in thrown)) return undefined;
  return typeof thrown.code === "string" ? thrown.code : undefined;
}
