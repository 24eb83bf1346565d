import { z } from "zod";
import { count, duration, size } from "../../../service/config/kinds.ts";

/** Settings of delivery by commands: those of aliases, of users' `.forward` files, and of `deliver: command`. */
export const commandSettings = z
  .strictObject({
    deadline: duration({ min: "1s", max: "1d" })
      .prefault("15m")
      .describe("How long a command may take. Then it and all that it started is told to end, and after 5 s killed."),
    concurrency: count({ min: 1, max: 1000 })
      .default(20)
      .describe("Most commands at once. They do not count among the deliveries into mailboxes."),
    perUser: count({ min: 1, max: 1000 })
      .default(4)
      .describe("Most commands at once that run as one user: what hangs for one user leaves room for the others."),
    output: size({ max: "64KiB" })
      .prefault("4KiB")
      .describe(
        "How much of a failed command's output the log shows, and the bounce where it begins with a status (`5.2.2 mailbox is full`); the rest is dropped.",
      ),
    path: z
      .string()
      .regex(/^\/[^\0]*$/, "expected directories, separated by colons")
      .default("/usr/local/bin:/usr/bin:/bin")
      .describe("The PATH that commands get."),
  })
  .prefault({})
  .describe("Delivery by commands.");
export type CommandSettings = z.output<typeof commandSettings>;
