import { z } from "zod";
import { duration } from "../../service/config/kinds.ts";

/** The waits between an envelope's attempts, as settings write them. */
export const retrySchedule = (firstWait: string) =>
  z.discriminatedUnion("by", [
    z.strictObject({
      by: z.literal("quadratic").describe("Attempt n is followed by a wait of `step` times n squared."),
      step: duration({ min: "1s", max: "1d" }).prefault(firstWait).describe("The wait after the first attempt."),
    }),
    z.strictObject({
      by: z.literal("exponential").describe("Each wait is `factor` times the one before, up to `longest`."),
      first: duration({ min: "1s", max: "1d" }).prefault("5m").describe("The wait after the first attempt."),
      factor: z.number().min(1).max(10).default(2).describe("What each wait is multiplied with."),
      longest: duration({ min: "1s", max: "7d" }).prefault("4h").describe("The longest wait."),
    }),
    z.strictObject({
      by: z.literal("list").describe("The waits one after the other; the last one is repeated."),
      waits: z
        .array(duration({ min: "1s", max: "7d" }))
        .min(1)
        .describe("The waits."),
    }),
  ]);

export type RetrySchedule = z.output<ReturnType<typeof retrySchedule>>;
