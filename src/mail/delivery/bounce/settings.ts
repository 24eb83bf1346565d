import { z } from "zod";
import { size } from "../../../service/config/kinds.ts";

/** Settings of the notices that tell senders what became of their mail. */
export const bounceSettings = z
  .strictObject({
    returnUpTo: size({ max: "10MiB" })
      .prefault("50KiB")
      .describe("Messages up to this size are returned whole in a bounce; of larger ones only the header is."),
    returnHeaderUpTo: size({ min: "1KiB", max: "1MiB" })
      .prefault("32KiB")
      .describe("How much of a message's header is returned where only the header is."),
  })
  .prefault({})
  .describe("Bounces, delay warnings and success notices.");
export type BounceSettings = z.output<typeof bounceSettings>;
