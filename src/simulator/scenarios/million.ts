import { defineScenario, type WrittenScenario } from "../scenario.ts";

/**
 * A day of a large installation: hosts of every kind, mail all day with a list at nine, at noon and at six, storms, a
 * provider that is down for an hour. `mails` is the sum of all.
 */
export function dayOfMail(mails: number, domains: number): WrittenScenario {
  const part = (share: number): number => Math.max(1, Math.round(mails * share));
  const few = (share: number): number => Math.max(1, Math.round(domains * share));
  const providers = Math.max(3, Math.round(domains / 500));
  return defineScenario({
    name: "day-of-mail",
    says: `${mails.toLocaleString("en")} envelopes over ${domains.toLocaleString("en")} domains in 24 hours.`,
    until: "24h",
    world: {
      hosts: {
        big: { count: providers, addresses: 2, latency: "20ms", connections: { perClient: 20 } },
        own: { count: few(0.5), latency: "60ms", unknownUsers: 0.03, fullMailboxes: 0.01 },
        grey: { count: few(0.1), latency: "60ms", greylisting: { by: "triplet", wait: "5m" } },
        spamd: { count: few(0.02), greylisting: { by: "spamd", wait: "25m" } },
        limited: { count: few(0.05), connections: { perClient: 2 }, rate: { most: 60 }, closesAfter: 10 },
        slow: { count: few(0.03), slow: { greeting: "20s", command: "2s" } },
        flaky: {
          count: few(0.05),
          drops: [
            { at: "greeting", likelihood: 0.1 },
            { at: "RCPT", likelihood: 0.05 },
            { at: "end", likelihood: 0.02 },
          ],
        },
        six: { count: few(0.05), ipv6: "hangs" },
        stormy: { count: few(0.05), storms: [{ at: "RCPT", from: "9h", until: "11h" }] },
        night: { count: few(0.05), down: [{ from: "2h", until: "3h" }] },
        old: { count: few(0.03), announces: { pipelining: false, chunking: false }, takesRecipients: 10 },
        gone: { count: few(0.01), ipv4: "hangs" },
      },
      domains: {
        hosted: { count: few(0.56), mx: [{ host: "big" }, { host: "big", shift: 1 }] },
        own: { count: few(0.2), mx: [{ host: "own" }, { host: "own", preference: 20, shift: 1 }] },
        grey: { count: few(0.08), mx: [{ host: "grey" }] },
        spamd: { count: few(0.02), mx: [{ host: "spamd" }] },
        limited: { count: few(0.03), mx: [{ host: "limited" }] },
        slow: { count: few(0.02), mx: [{ host: "slow" }] },
        flaky: { count: few(0.02), mx: [{ host: "flaky" }] },
        six: { count: few(0.02), mx: [{ host: "six" }] },
        stormy: { count: few(0.02), mx: [{ host: "stormy" }] },
        night: { count: few(0.01), mx: [{ host: "night" }] },
        old: { count: few(0.01), mx: [{ host: "old" }] },
        dead: { count: few(0.01), mx: [{ host: "gone" }] },
      },
    },
    workloads: {
      letters: {
        mails: part(0.55),
        to: [
          { domain: "hosted", weight: 60 },
          { domain: "own", weight: 18 },
          { domain: "grey", weight: 6 },
          { domain: "spamd", weight: 2 },
          { domain: "limited", weight: 3 },
          { domain: "slow", weight: 1 },
          { domain: "flaky", weight: 2 },
          { domain: "six", weight: 2 },
          { domain: "stormy", weight: 2 },
          { domain: "night", weight: 2 },
          { domain: "old", weight: 1 },
          { domain: "dead", weight: 1 },
        ],
        spread: "random",
        over: "23h",
        arrivals: "poisson",
        senders: 1000,
      },
      "morning-list": { mails: part(0.2), to: "hosted", begins: "9h", over: "20m" },
      "noon-list": { mails: 1, recipients: part(0.1), to: "hosted", begins: "12h" },
      "evening-list": { mails: part(0.15), to: "own", begins: "18h", over: "20m" },
    },
    expect: [
      { what: "half of the letters are there within two seconds", figure: "letters.p50", atMost: "2s" },
      { what: "nine of ten letters within ten minutes", figure: "letters.p90", atMost: "10m" },
      { what: "the morning's list is through in half an hour", figure: "morning-list.p99", atMost: "30m" },
      { what: "the noon's list is through in half an hour", figure: "noon-list.p99", atMost: "30m" },
      { what: "the evening's list is through in half an hour", figure: "evening-list.p95", atMost: "30m" },
      { what: "no envelope to hosts that are well is left behind", figure: "morning-list.deliveredShare", atLeast: 1 },
      { what: "no envelope of a large message is left behind", figure: "noon-list.deliveredShare", atLeast: 1 },
      { what: "nothing expires", figure: "all.expired", atMost: 0 },
    ],
  });
}
