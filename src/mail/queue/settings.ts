import { z } from "zod";
import { command, count, duration, size } from "../../service/config/kinds.ts";

/** Settings of the queue's storage. The directory is the caller's; when mail expires is the scheduler's. */
export const queueSettings = z
  .strictObject({
    store: z
      .strictObject({
        process: z
          .strictObject({
            command: command().describe(
              "The program and its arguments, as a list; no shell is between. It runs as the user of the server's scheduler process.",
            ),
          })
          .optional()
          .describe(
            "A program of your own that keeps messages and envelopes, in place of the database in the queue's directory.",
          ),
      })
      .prefault({})
      .describe(
        "Who keeps the queue. Without anything: the server itself. To be changed with an empty queue, by a restart.",
      ),
    inlineBodyUpTo: size({ max: "1MiB" })
      .prefault("32KiB")
      .describe(
        "Messages up to this size are kept inside the queue database and made durable together with others; larger ones get a file of their own.",
      ),
    minFreeBytes: size()
      .prefault("100MiB")
      .describe("With less free space than this in the queue's file system, MAIL is answered 452; delivery goes on."),
    minFreeInodes: count({ min: 0, max: Number.MAX_SAFE_INTEGER })
      .default(1000)
      .describe("The same for free inodes (file entries)."),
    keepOrphansFor: duration({ min: "1m" })
      .prefault("1h")
      .describe(
        "Body files that no message names (left by a crash during reception) are deleted when they are this old, at the start and every hour.",
      ),
    commitDeadline: duration({ min: "1s" })
      .prefault("1m")
      .describe(
        "When the disk has not confirmed a commit after this long, the store counts as failed: clients get 451 and the queue is opened anew.",
      ),
  })
  .prefault({});

export type QueueSettings = z.output<typeof queueSettings>;
