import { defineScenario, type WrittenScenario } from "../scenario.ts";

/** Connections to the first two of three mail exchangers time out: mail goes through the third, all day. */
export function firstTwoOfThreeDown(mails: number): WrittenScenario {
  return defineScenario({
    name: "first-two-of-three-down",
    says: "The first two of a domain's three mail exchangers cannot be reached (time-outs).",
    until: "2d",
    world: {
      hosts: { first: { ipv4: "hangs" }, second: { ipv4: "hangs" }, third: {} },
      domains: {
        hosted: {
          mx: [
            { host: "first", preference: 10 },
            { host: "second", preference: 20 },
            { host: "third", preference: 30 },
          ],
        },
      },
    },
    workloads: { mail: { mails, to: "hosted", over: "24h", arrivals: "poisson", senders: 20 } },
    expect: [
      { what: "every mail is delivered within five minutes", figure: "mail.p100", atMost: "5m" },
      { what: "all are delivered", figure: "mail.deliveredShare", atLeast: 1 },
    ],
  });
}

/** A host's IPv6 address refuses connections, or does not answer; its IPv4 address works. */
export function brokenIpv6(mails: number): WrittenScenario {
  return defineScenario({
    name: "broken-ipv6",
    says: "Hosts whose IPv6 address refuses, or does not answer, beside one that is well.",
    until: "2d",
    world: {
      hosts: { refusing: { ipv6: "refuses" }, silent: { ipv6: "hangs" }, well: { ipv6: "works" } },
      domains: {
        refused: { mx: [{ host: "refusing" }] },
        unanswered: { mx: [{ host: "silent" }] },
        taken: { mx: [{ host: "well" }] },
      },
    },
    workloads: {
      refused: { mails, to: "refused", over: "6h", arrivals: "poisson" },
      unanswered: { mails, to: "unanswered", over: "6h", arrivals: "poisson" },
      taken: { mails, to: "taken", over: "6h", arrivals: "poisson" },
    },
    expect: [
      {
        what: "a refusing IPv6 address costs less than one connection deadline",
        figure: "refused.p100",
        atMost: "30s",
      },
      {
        what: "a silent one costs at most one connection deadline",
        figure: "unanswered.p100",
        atMost: "32s",
      },
      { what: "all are delivered", figure: "all.deliveredShare", atLeast: 1 },
    ],
  });
}

/** Very many domains whose hosts cannot be reached, beside live ones that must not notice. */
export function deadBesideLive(dead: number, live: number): WrittenScenario {
  return defineScenario({
    name: "dead-beside-live",
    says: `${dead.toLocaleString("en")} dead domains beside ${live.toLocaleString("en")} live ones.`,
    until: "24h",
    world: {
      hosts: { gone: { count: dead, ipv4: "hangs" }, well: { count: live } },
      domains: {
        dead: { count: dead, mx: [{ host: "gone" }] },
        live: { count: live, mx: [{ host: "well" }] },
      },
    },
    workloads: {
      // As many a minute, however many there are.
      dead: { mails: dead * 2, to: "dead", over: `${Math.ceil((dead * 240) / 10_000)}m`, senders: 100 },
      live: { mails: live * 10, to: "live", spread: "random", over: "12h", arrivals: "poisson", senders: 100 },
    },
    variants: { alone: { without: ["dead"] }, beside: {} },
    expect: [
      ...(["p50", "p95", "p99"] as const).map((percentile) => ({
        what: `mail to live domains does not notice (${percentile})`,
        figure: `live.${percentile}`,
        run: "beside",
        atMost: 1.1,
        timesThatOf: "alone",
      })),
      { what: "no mail to a live domain waits a minute", figure: "live.p100", run: "beside", atMost: "1m" },
      { what: "all mail to live domains is delivered", figure: "live.deliveredShare", atLeast: 1 },
      {
        what: "the scheduler remembers no more relays than there are domains",
        figure: "run.mostRelays",
        atMost: dead + live,
      },
      {
        what: "and, besides a constant, no more routes than hosts",
        figure: "run.mostRoutes",
        atMost: 2 * (dead + live) + 1000,
      },
    ],
  });
}
