import { z } from "zod";
import { count, duration } from "../../service/config/kinds.ts";
import { retrySchedule } from "../route/retry-schedule.ts";

const schedule = (firstWait: string) => retrySchedule(firstWait).prefault({ by: "quadratic" });

export type SchedulerSettings = z.output<typeof schedulerSettings>;

/** When envelopes are tried again, and what becomes of them when it does not help. */
export const schedulerSettings = z
  .strictObject({
    retry: z
      .strictObject({
        relay: schedule("400s").describe("Waits between the attempts of envelopes that go to other hosts."),
        local: schedule("10s").describe("Waits between the attempts of final delivery."),
        spread: z
          .number()
          .min(0)
          .max(1)
          .default(0.1)
          .describe("By how much of itself a wait is lengthened at random, so that not all come back at once."),
        internal: duration({ min: "1s", max: "1h" })
          .prefault("15s")
          .describe(
            "The first wait after a failure of our own side, settings that lack an action among them; it doubles, and does not count for the schedule.",
          ),
      })
      .prefault({})
      .describe("The waits between attempts."),
    expireAfter: duration({ min: "1m", max: "365d" })
      .prefault("4d")
      .describe(
        "How long an envelope is tried; then it is returned to its sender. Another time holds for what is queued, too.",
      ),
    quarantineFor: duration({ min: "1m", max: "3650d" })
      .prefault("30d")
      .describe(
        "How long mail stays in quarantine, where a filter put it; then it is removed, and nobody is told but the log.",
      ),
    warnAfter: duration({ min: "0s", max: "365d" })
      .prefault("4h")
      .describe("After how long the sender is told, once, that the mail is still waiting. 0s: never."),
    deadLetters: z
      .strictObject({
        to: z
          .enum(["keep", "postmaster"])
          .default("keep")
          .describe(
            "What becomes of mail that failed for good and cannot be returned, from the null sender or without a way to its sender: kept as dead, or told to postmaster.",
          ),
        keepFor: duration({ min: "1m", max: "3650d" }).prefault("30d").describe("How long dead envelopes are kept."),
      })
      .prefault({})
      .describe("Mail that can neither be delivered nor returned."),
    local: z
      .strictObject({
        atOnce: count({ min: 1, max: 10_000 }).default(40).describe("Most final deliveries at once."),
        perRecipient: count({ min: 1, max: 1000 })
          .default(4)
          .describe("Most final deliveries at once for one recipient."),
      })
      .prefault({})
      .describe("Final delivery."),
  })
  .prefault({});
