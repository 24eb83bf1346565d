import { messageOf, PosthornError } from "../../foundation/error.ts";

/** Why a message is not kept: in the log's words, and whether the queue had no room for it. */
export interface StorageFailure {
  readonly isFull: boolean;
  readonly reason: string;
}

export function storageFailure(because: unknown): StorageFailure {
  return {
    isFull: because instanceof PosthornError && because.code === "SPOOL_FULL",
    reason: messageOf(because),
  };
}
