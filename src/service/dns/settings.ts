import { z } from "zod";
import { count, duration, size } from "../config/kinds.ts";
import { parseDnsServer } from "./servers.ts";

const EXPECTED = "expected the address of a DNS server, such as 127.0.0.1, 192.0.2.53:5353 or [2001:db8::53]:5353";

export const dnsSettings = z
  .strictObject({
    servers: z
      .array(z.string().refine((text) => parseDnsServer(text) !== undefined, { error: EXPECTED }))
      .optional()
      .describe(
        "The recursive resolvers to ask: an address, `192.0.2.53:5353`, `[2001:db8::53]:5353` or `fe80::1%eth0`. Without it those of /etc/resolv.conf.",
      ),
    tryTimeout: duration({ min: "100ms", max: "1m" })
      .prefault("2s")
      .describe("How long one server may take for one answer before the next one is asked."),
    timeout: duration({ min: "500ms", max: "5m" })
      .prefault("15s")
      .describe("How long a question may take in all, with every repetition, server and alias."),
    tries: count({ min: 1, max: 10 })
      .default(3)
      .describe("How often each server is asked before an answer counts as not to be had."),
    payload: count({ min: 512, max: 4096 })
      .default(1232)
      .describe("The largest answer asked for over UDP, in bytes (RFC 6891). Longer ones come over TCP."),
    mixedCase: z
      .boolean()
      .default(false)
      .describe(
        "Write names in random letter case and insist on the same in the answer: harder to forge, but some servers fold the case.",
      ),
    trustAuthenticated: z
      .enum(["loopback", "always", "never"])
      .default("loopback")
      .describe(
        "From which servers the statement that DNSSEC was validated (the AD bit) is believed. Over a network anybody could set it. Nothing asks for that statement as long as there is no DANE here.",
      ),
    cacheSize: size({ max: "1GiB" }).prefault("16MiB").describe("Most memory for remembered answers."),
    longestTtl: duration({ max: "7d" }).prefault("1d").describe("An answer is never remembered for longer."),
    longestNegativeTtl: duration({ max: "1d" })
      .prefault("1h")
      .describe("That something does not exist is never remembered for longer (RFC 2308 section 5)."),
    failureTtl: duration({ max: "5m" }).prefault("5s").describe("How long a failed lookup is not repeated (RFC 9520)."),
    inFlight: count({ min: 1, max: 10_000 })
      .default(200)
      .describe(
        "Most questions on the way at once; more wait for their turn. Of one domain there are never more than places are free.",
      ),
  })
  .prefault({});

export type DnsSettings = z.output<typeof dnsSettings>;
