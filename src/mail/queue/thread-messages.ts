import type { ErrorCode } from "../../foundation/error.ts";
import type { EnvelopeId, MessageId } from "../../foundation/ids.ts";
import type { PackedValue } from "./packing.ts";
import type { QueueFilter, QueuePlace, SpoolCopy } from "./store.ts";

/** What the store and its threads say to each other. Everything is plain data. */

/** What a thread is to do; given at its start. */
export type ThreadTask =
  | { readonly role: "writer"; readonly directory: string; readonly checkpointPages: number }
  | { readonly role: "reader"; readonly directory: string }
  | { readonly role: "backup"; readonly directory: string; readonly into: string };

/** An error on its way between threads. */
export interface ToldError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly advice: string;
}

export type ToWriter =
  | { readonly do: "apply"; readonly values: readonly PackedValue[]; readonly bodies: Uint8Array }
  /** Body files that lose their row stay until `releaseFiles`: a backup is linking them. Answered by `filesKept`. */
  | { readonly do: "keepFiles" }
  | { readonly do: "releaseFiles" }
  | { readonly do: "sweep"; readonly beforeAt: number }
  | { readonly do: "close" };

export type FromWriter =
  | { readonly say: "opened"; readonly messages: number; readonly envelopes: number }
  | {
      readonly say: "applied";
      /** Batches answered, in the order of their arrival. */
      readonly batches: number;
      readonly syncs: number;
      /** Writing and syncing them. */
      readonly tookMs: number;
      readonly failures: readonly (ToldError & { readonly index: number })[];
      readonly messages: number;
      readonly envelopes: number;
    }
  | { readonly say: "filesKept" }
  | { readonly say: "swept"; readonly files: number; readonly sizeBytes: number; readonly problem: string | undefined }
  | { readonly say: "failed"; readonly error: ToldError }
  | { readonly say: "closed" };

/** A question to the reader. Those with a `stream` begin it or ask for its next portion. */
export type Question =
  | { readonly ask: "message" | "body"; readonly id: MessageId }
  | { readonly ask: "envelopes"; readonly ids: readonly EnvelopeId[] }
  | { readonly ask: "attempts"; readonly id: EnvelopeId }
  | { readonly ask: "notes"; readonly prefix: string }
  | { readonly ask: "load" | "missingFiles"; readonly stream: number }
  | { readonly ask: "page"; readonly filter: QueueFilter; readonly behind: QueuePlace | undefined }
  | { readonly ask: "census"; readonly stream: number; readonly now: number }
  | { readonly ask: "endStream"; readonly stream: number };

export type ToReader =
  /** When the writer has made or recovered the database. */
  | { readonly do: "open" }
  | { readonly do: "answer"; readonly questions: readonly (Question & { readonly number: number })[] }
  | { readonly do: "close" };

/** What a question got, by its number. */
export interface Answered {
  readonly number: number;
  readonly value: unknown;
}

export type FromReader =
  | { readonly say: "opened" }
  | { readonly say: "answers"; readonly answers: readonly Answered[] }
  | { readonly say: "failed"; readonly error: ToldError }
  | { readonly say: "closed" };

export type FromBackup =
  | { readonly say: "copied"; readonly copied: SpoolCopy }
  | { readonly say: "failed"; readonly error: ToldError };
