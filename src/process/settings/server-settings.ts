import { z } from "zod";
import { count, hostName, path } from "../../service/config/kinds.ts";
import { MOST_PROCESSES } from "../split/process-counts.ts";

/** What the server is as a whole: its name, its place on disk, its processes. */
export const serverSettings = {
  hostname: hostName()
    .optional()
    .describe("The server's name in greetings, EHLO and Received fields. Without it: the machine's host name."),
  state: path()
    .prefault("./data")
    .describe("The directory of the queue, the journal, and the mailboxes and keys the server makes itself."),
  user: z
    .string()
    .min(1)
    .default("posthorn")
    .describe("The user that the processes become when the server is started by root."),
  group: z.string().min(1).optional().describe("Their group. Without it: the user's."),
  keeperUser: z
    .string()
    .min(1)
    .optional()
    .describe(
      "The user of the one process that reads private keys. Without it: the one who started the server (root).",
    ),
  keeperGroup: z.string().min(1).optional().describe("Its group. Without it: that user's."),
  processes: z
    .strictObject({
      layout: z
        .enum(["auto", "single", "split"])
        .default("auto")
        .describe("One process, or a supervisor with its workers. auto: split when started by root."),
      ingress: count({ min: 1, max: MOST_PROCESSES })
        .optional()
        .describe("Processes that receive. Without it: one for each core, 15 at most."),
      egress: count({ min: 1, max: MOST_PROCESSES })
        .optional()
        .describe("Processes that send. Without it: one for two cores, 15 at most."),
    })
    .prefault({})
    .describe("How the server is laid out over processes."),
};
