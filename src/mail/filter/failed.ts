import { PosthornError } from "../../foundation/error.ts";

/** A filter could not answer; `message` is a sentence: what happened, and where. The chain makes of it what the settings say. */
export function filterFailed(message: string, advice: string, cause?: unknown): PosthornError {
  return new PosthornError("FILTER_FAILED", { message, advice, ...(cause === undefined ? {} : { cause }) });
}
