import { z } from "zod";
import { count, duration } from "../config/kinds.ts";
import { network } from "../table/network-setting.ts";

/** How failed logins are slowed down, and when nobody may try for a while. */
export const throttleSettings = z
  .strictObject({
    freeFailures: count({ min: 0, max: 1000 })
      .prefault(2)
      .describe("Failures of an address, and of an account, before answers become slow."),
    delay: duration({ min: "0s", max: "30s" })
      .prefault("1s")
      .describe("How long the first slow answer waits; each further failure doubles it. 0s: no answer waits."),
    longestDelay: duration({ min: "0s", max: "30s" }).prefault("8s").describe("The longest that an answer waits."),
    waiting: count({ min: 1, max: 100_000 })
      .prefault(1000)
      .describe("How many slow answers may wait at a time; clients beyond that get 454 at once."),
    addressFailures: count({ min: 0, max: 1_000_000 })
      .prefault(20)
      .describe("Failures after which an address (an IPv4 address, an IPv6 /64) is blocked; 0: never."),
    accountFailures: count({ min: 0, max: 1_000_000 })
      .prefault(50)
      .describe(
        "Failures after which an account is blocked, but for addresses that its owner has logged in from; 0: never.",
      ),
    block: duration({ min: "1s", max: "30d" }).prefault("15m").describe("How long a block lasts."),
    forget: duration({ min: "1s", max: "30d" })
      .prefault("30m")
      .describe("How long after the last failure all of an address or account are forgotten."),
    exempt: z
      .array(network())
      .prefault(["loopback"])
      .describe("Networks whose addresses are not counted: a webmail's, say. The accounts are, nevertheless."),
  })
  .prefault({});
export type ThrottleSettings = z.output<typeof throttleSettings>;
