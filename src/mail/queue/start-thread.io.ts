import { Worker } from "node:worker_threads";
import { messageOf, PosthornError } from "../../foundation/error.ts";
import { ownModule } from "../../foundation/own-module.ts";
import type { ThreadTask } from "./thread-messages.ts";

/** A thread of the store, as whoever started it sees it. */
export interface Thread<To> {
  tell(message: To, transfer?: readonly ArrayBufferLike[]): void;
  /** Resolves when it has ended; by force after `graceMs`. */
  end(graceMs: number): Promise<void>;
}

/** Starts `store-thread.io.ts` for a task. What that throws ends it, and is a failure of the store. */
export function startThread<To>(
  task: ThreadTask,
  onFailure: (error: PosthornError) => void,
  onMessage: (message: never) => void,
): Thread<To> {
  // Not this process's own arguments: some of them (`--input-type`) make no sense for a thread.
  const worker = new Worker(ownModule("mail/queue/store-thread.io"), {
    workerData: task,
    name: `queue ${task.role}`,
    execArgv: [],
    // What passes through is short-lived; without a bound each thread keeps some 50 MB for it after a long queue was read.
    resourceLimits: { maxYoungGenerationSizeMb: 4 },
  });
  const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  // What a thread says has the type that its task has in `thread-messages.ts`.
  worker.on("message", onMessage as (message: unknown) => void);
  worker.on("error", (thrown) =>
    onFailure(
      new PosthornError("SPOOL_FAILED", {
        message: `the queue's ${task.role} thread ended: ${messageOf(thrown)}`,
        advice: "please report this",
        cause: thrown,
      }),
    ),
  );
  return {
    tell: (message, transfer = []) => worker.postMessage(message, [...transfer] as ArrayBuffer[]),
    async end(graceMs) {
      const timer = setTimeout(() => void worker.terminate(), graceMs);
      await ended;
      clearTimeout(timer);
    },
  };
}
