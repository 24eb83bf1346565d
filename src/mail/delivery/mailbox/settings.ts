import { z } from "zod";
import { count, duration, path } from "../../../service/config/kinds.ts";

/** Settings of final delivery into mailboxes. An action may name its own path. */
export const mailboxSettings = z
  .strictObject({
    maildir: path()
      .optional()
      .describe(
        "Where `deliver: maildir` puts mail: a path with {user}, {domain}, {recipient}, {extension}. Without it: mail/{user}/Maildir below the state directory.",
      ),
    mbox: path()
      .optional()
      .describe(
        "The file of `deliver: mbox`, with the same names. Without it: mail/{user}/mbox below the state directory.",
      ),
    locks: z
      .enum(["fcntl and dot-lock", "fcntl", "dot-lock"])
      .default("fcntl and dot-lock")
      .describe("How an mbox is locked against other programs. Debian asks for both."),
    lockDeadline: duration({ min: "1s", max: "10m" })
      .prefault("30s")
      .describe("How long a delivery waits for an mbox that another program holds before it is put off."),
    staleDotLock: duration({ min: "1m" })
      .prefault("5m")
      .describe(
        "A dot-lock that names no living process is broken when it is this old; one that names a dead process, at once.",
      ),
    deadline: duration({ min: "10s" })
      .prefault("5m")
      .describe(
        "How long one delivery into a mailbox may take before it counts as put off (a file server that hangs).",
      ),
    concurrency: count({ min: 1, max: 1000 })
      .default(20)
      .describe("Most deliveries into mailboxes at once; into one mbox there is always only one."),
  })
  .prefault({})
  .describe("Final delivery into mailboxes.");
export type MailboxSettings = z.output<typeof mailboxSettings>;
