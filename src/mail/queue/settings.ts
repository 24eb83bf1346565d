import { z } from "zod";
import { count, duration, size } from "../../service/config/kinds.ts";

/** Settings of the queue's storage. The directory is the caller's; when mail expires is the scheduler's. */
export const queueSettings = z
  .strictObject({
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
