import { defineScenario, type WrittenScenario } from "../scenario.ts";

/**
 * A list of very many single-recipient messages, each its own (as with a signature for each reader), to one domain whose
 * host greylists. `restarting`: it keys on the client, and each attempt within the wait begins the wait anew. `spamd`:
 * one tuple that came again after 25 minutes admits the client. `triplets`: each recipient must come again, after 300 s
 * and within 4 h, and nothing is learnt about the client.
 */
export type GreylistingKind = "restarting" | "spamd" | "triplets";

const MODELS = {
  restarting: { by: "client", wait: "5m", restarts: true },
  spamd: { by: "spamd", wait: "25m", window: "4h" },
  triplets: { by: "triplet", wait: "5m", window: "4h" },
} as const;

/** The strategies compared: everybody is tried for himself, plain batch deferral, and ours. */
const STRATEGIES = {
  naive: { set: { "route.greylisting.strategy": "none" } },
  batch: { set: { "route.greylisting.strategy": "batch" } },
  ours: { set: { "route.greylisting.strategy": "adaptive" } },
};

/** From here on a list is still being sent when its beginning is due again. A shorter one costs only attempts to try. */
const LONG = 200_000;

export function greylisting(kind: GreylistingKind, mails: number): WrittenScenario {
  const isLong = mails >= LONG;
  const mostAttempts = kind === "triplets" || !isLong ? 2.1 : 1.2;
  const mayBeLaterBy = kind === "triplets" ? 1.1 : 1;
  return defineScenario({
    name: `greylisting-${kind}`,
    says: `${mails.toLocaleString("en")} single-recipient messages to one domain that greylists (${kind}).`,
    // With triplets batch deferral would go on for days, with all of the list put off and written every 400 s.
    until: kind === "triplets" ? "3h" : "4d",
    world: {
      hosts: { mx: { greylisting: MODELS[kind] } },
      domains: { readers: { mx: [{ host: "mx" }] } },
    },
    workloads: { list: { mails, to: "readers", over: "10m", size: "10KiB" } },
    variants: STRATEGIES,
    expect: [
      ...(["p50", "p99", "p100"] as const).map((percentile) => ({
        what: `ours is not later than naive (${percentile})`,
        figure: `list.${percentile}`,
        run: "ours",
        atMost: mayBeLaterBy,
        timesThatOf: "naive",
      })),
      {
        what: `ours takes at most ${mostAttempts} attempts a message`,
        figure: "list.attemptsPerDelivered",
        run: "ours",
        atMost: mostAttempts,
      },
      { what: "all is delivered", figure: "list.deliveredShare", run: "ours", atLeast: 1 },
      // A third of naive's time, where naive suffers: its attempts keep the wait from ever ending.
      ...(kind === "restarting" && isLong
        ? [
            {
              what: "ours has delivered 99 % in a third of naive's time",
              figure: "list.p99",
              run: "ours",
              atMost: 1 / 3,
              timesThatOf: "naive",
            },
          ]
        : []),
    ],
  });
}
