import { z } from "zod";
import { count, duration } from "../../service/config/kinds.ts";

/** What is done when a next host refuses one recipient after the other for now. */
export const greylistingSettings = z
  .strictObject({
    strategy: z
      .enum(["adaptive", "batch", "none"])
      .default("adaptive")
      .describe(
        "adaptive: a few recipients find out when the host takes mail again and what it remembers, the rest waits only where " +
          "that is not slower. batch: after some refusals in a row the rest is put off. none: everybody is tried, each for itself.",
      ),
    after: count({ min: 2, max: 1000 })
      .default(5)
      .describe("After so many different recipients refused for now in a row the host seems to greylist."),
    wait: duration({ min: "1s", max: "1d" })
      .prefault("400s")
      .describe(
        "batch: how long the rest waits when the host names no wait. Those really refused wait a tenth longer.",
      ),
    probe: duration({ min: "1s", max: "1h" })
      .prefault("305s")
      .describe(
        "adaptive: after how long the first of those refused are tried again when the host names no wait. Most greylisters let " +
          "pass after 300 s; later ones are tried after 25 minutes, then less often, at least once an hour.",
      ),
    remember: duration({ min: "1m", max: "7d" })
      .prefault("6h")
      .describe("adaptive: how long it is remembered that a host greylists each recipient for itself."),
  })
  .prefault({});

export type GreylistingSettings = z.output<typeof greylistingSettings>;
