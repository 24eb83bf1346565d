import { z } from "zod";
import { count, duration } from "../../../service/config/kinds.ts";

const whole = z.strictObject({
  of: z
    .enum(["sender", "recipient"])
    .describe(
      "Whose address: the recipient's, at the host to which the rules send its mail; or the sender's, where the action `relay` sends mail: at the mail exchangers of its domain, unless that action names a host. Addresses that end here are never asked for.",
    ),
  from: z
    .string()
    .max(254)
    .regex(/^(?:|[\x21-\x7e]+@[\x21-\x7e]+)$/, "expected an address, or nothing for the null sender")
    .default("")
    .describe("The sender that we give there. Left out: the null sender, which no honest host refuses."),
  wait: duration({ min: "1s", max: "2m" })
    .prefault("8s")
    .describe("How long the client waits for an answer. The asking goes on behind it, for when it comes again."),
  onUnknown: z
    .enum(["defer", "pass"])
    .default("defer")
    .describe("What becomes of mail when it cannot be found out: 450, or it goes on."),
  rememberGood: duration({ min: "1m", max: "400d" })
    .prefault("7d")
    .describe("How long an address that was taken is not asked for again."),
  rememberBad: duration({ min: "1m", max: "30d" })
    .prefault("2h")
    .describe("The same of one that was refused. What could not be found out is asked again after a minute."),
  atOnce: count({ min: 1, max: 100 })
    .default(5)
    .describe(
      "The most that one host is asked at the same time; all hosts together four times as many. Senders and recipients each for themselves.",
    ),
  mostRemembered: count({ min: 100, max: 1_000_000 })
    .default(50_000)
    .describe("The most that is remembered, some 300 octets each."),
});

export const calloutSettings = z.union([z.enum(["sender", "recipient"]).transform((of) => whole.parse({ of })), whole]);
export type CalloutSettings = z.output<typeof whole>;
