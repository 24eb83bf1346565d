import { z } from "zod";
import { count, duration, tableName } from "../../service/config/kinds.ts";
import { sourceList } from "../envelope/source.ts";
import { greylistingSettings } from "./greylisting-settings.ts";
import { shapingSettings } from "./shaping-settings.ts";

export type RouteSettings = z.output<typeof routeSettings>;

/** Limits and manners towards next hosts. */
export const routeSettings = z
  .strictObject({
    limits: z
      .strictObject({
        host: count({ min: 1, max: 10_000 }).default(10).describe("Most connections to one address of a next host."),
        route: count({ min: 1, max: 10_000 })
          .default(5)
          .describe("Most connections from one of our addresses to one address of a next host."),
        source: count({ min: 1, max: 100_000 }).default(100).describe("Most connections from one of our addresses."),
        relay: count({ min: 1, max: 10_000 })
          .default(100)
          .describe("Most connections for one relay: a domain, or a smarthost with its credentials and TLS."),
        domain: count({ min: 1, max: 10_000 })
          .default(100)
          .describe(
            "Most connections that carry mail for one recipient domain, where its mail goes by the domain and not to a fixed next host.",
          ),
        total: count({ min: 1, max: 100_000 }).default(500).describe("Most outgoing connections in all."),
        hanging: count({ min: 0, max: 100_000 })
          .default(500)
          .describe(
            "Most connections that have waited for more than three seconds to be made: hosts that are gone. They count here instead of in `source` and `total`, so that they take no place of mail to hosts that are well.",
          ),
        mailsPerSession: count({ min: 1, max: 100_000 })
          .default(100)
          .describe("Most transactions in one session; then it is closed and a new one opened if there is more."),
        recipientsPerMail: count({ min: 1, max: 10_000 })
          .default(100)
          .describe("Most recipients in one transaction; a next host that announces less (RFC 9422) gets less."),
        domainsPerMail: count({ min: 1, max: 10_000 })
          .default(100)
          .describe(
            "Most recipient domains in one transaction, where a message has recipients in several that share their hosts. A host that refuses such mail gets it domain by domain.",
          ),
      })
      .prefault({})
      .describe("How much is done at once."),
    shaping: shapingSettings,
    shapingTable: tableName()
      .optional()
      .describe("A table with more of these: a pattern, and behind it `connections=2 rate=100/min` and so on."),
    sources: sourceList
      .optional()
      .describe(
        "Our addresses that connections come from, where neither action nor shaping say. Without it: the system's choice.",
      ),
    pools: z
      .record(z.string().regex(/^[A-Za-z][A-Za-z0-9._-]*$/, "expected a name of letters, digits, - and _"), sourceList)
      .default({})
      .describe("Addresses by the name of a pool, for `sources: pool:name`."),
    greylisting: greylistingSettings.describe("Hosts that refuse everybody whom they do not know yet."),
    penaltyStep: duration({ min: "1s", max: "10m" })
      .prefault("15s")
      .describe("A route that failed n times rests n squared times this long."),
    longestRest: duration({ min: "1s", max: "1d" }).prefault("1h").describe("The longest rest of a failing route."),
    quietTime: duration({ min: "1m", max: "7d" })
      .prefault("1h")
      .describe("After each such time without a failure a route's penalty falls by one."),
    keepOpen: duration({ min: "0s", max: "5m" })
      .prefault("3s")
      .describe("How long a session with nothing more to carry stays open for the next mail."),
  })
  .prefault({});
