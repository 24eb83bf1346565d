import { z } from "zod";
import { command, count, duration } from "../../config/kinds.ts";

/** A program of one's own that answers lookups over its standard input and output. */
export const processSettings = z.strictObject({
  command: command().describe(
    "The program and its arguments, as a list; no shell is between. It speaks the table protocol of OpenSMTPD 7.8 and runs as the user of the server's lookup process.",
  ),
  deadline: duration({ min: "100ms", max: "5m" })
    .prefault("10s")
    .describe(
      "A program that has not answered a request after this long is taken for hung: it is killed and started again, and all that was asked of it fails for the moment.",
    ),
  mostRequests: count({ min: 1, max: 100_000 })
    .default(1000)
    .describe("Requests that may wait for the program at the same time. What comes on top fails for the moment."),
});

export type ProcessSettings = z.output<typeof processSettings>;
