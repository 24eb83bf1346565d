import { z } from "zod";
import { count, duration } from "../../../service/config/kinds.ts";

export const greylistSettings = z
  .strictObject({
    delay: duration({ min: "1s", max: "1d" })
      .prefault("5m")
      .describe("How long a client, sender and recipient that were not seen together before have to wait."),
    retryWithin: duration({ min: "1m", max: "30d" })
      .prefault("2d")
      .describe("Who has not come again by then, counted from the first time, begins anew."),
    rememberFor: duration({ min: "1h", max: "400d" })
      .prefault("35d")
      .describe("How long those who came again are let in at once; each mail begins that anew."),
    ipv4Prefix: count({ min: 8, max: 32 })
      .default(24)
      .describe("How much of an IPv4 address counts: large senders come again from a neighbour."),
    ipv6Prefix: count({ min: 16, max: 128 }).default(64).describe("How much of an IPv6 address counts."),
    autoAllowAfter: count({ min: 0, max: 1000 })
      .default(5)
      .describe(
        "From how many senders and recipients a network that has come again is let in at once, with whatever it brings; at most one an hour is counted. 0: never.",
      ),
    mostEntries: count({ min: 1000, max: 10_000_000 })
      .default(1_000_000)
      .describe("The most that is remembered, some 150 octets each; beyond it those are forgotten that wait longest."),
  })
  .refine(({ delay, retryWithin }) => delay < retryWithin, {
    error: "nobody could come again in time: expected more than delay",
    path: ["retryWithin"],
  });
export type GreylistSettings = z.output<typeof greylistSettings>;
