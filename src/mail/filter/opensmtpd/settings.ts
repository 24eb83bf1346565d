import { z } from "zod";
import { FILTER_VERSIONS } from "../../../protocol/opensmtpd-filter/opensmtpd-filter.ts";
import { command, duration } from "../../../service/config/kinds.ts";

const processOptions = z.strictObject({
  command: command().describe(
    "The program and its arguments, as a list; no shell is between. It runs as the user of the processes that receive mail, one for each of them.",
  ),
  protocol: z
    .enum(FILTER_VERSIONS)
    .default("0.7")
    .describe(
      "Which version of the filter protocol is spoken with it: 0.7 is that of OpenSMTPD 7.4 to 7.8, 0.6 that of 6.7 and 6.8. Programs that look at who logged in and know nothing of 0.7 need 0.6.",
    ),
  startTimeout: duration({ min: "100ms", max: "5m" })
    .prefault("30s")
    .describe("How long the program may take from its start until it says that it is ready."),
});

/** A program that speaks OpenSMTPD's filter protocol: its command, or that with more. */
export const processFilterSettings = z.union([
  command().transform((written) => processOptions.parse({ command: written })),
  processOptions,
]);
export type ProcessFilterSettings = z.output<typeof processOptions>;
