import { defineScenario, type WrittenScenario } from "../scenario.ts";

/** A huge list to one domain that greylists, and single mails to other domains: these must not notice the list. */
export function listBesideSingles(mails: number, singles: number): WrittenScenario {
  return defineScenario({
    name: "list-beside-singles",
    says: `${singles.toLocaleString("en")} single mails to other domains, with and without a list of ${mails.toLocaleString("en")} beside them.`,
    until: "4d",
    world: {
      hosts: { mx: { greylisting: { by: "spamd", wait: "25m" } }, others: { count: 200, latency: "80ms" } },
      domains: { readers: { mx: [{ host: "mx" }] }, other: { count: 500, mx: [{ host: "others" }] } },
    },
    workloads: {
      list: { mails, to: "readers", over: "10m" },
      singles: { mails: singles, to: "other", spread: "random", over: "1h", arrivals: "poisson", senders: 100 },
    },
    variants: { alone: { without: ["list"] }, beside: {} },
    expect: [
      {
        what: "the single mails' 95th percentile is what it is without the list",
        figure: "singles.p95",
        run: "beside",
        atMost: 1.1,
        timesThatOf: "alone",
      },
      { what: "all single mails are delivered", figure: "singles.deliveredShare", atLeast: 1 },
    ],
  });
}
