import { defineScenario, type Scenario } from "../scenario.ts";

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

export function greylisting(kind: GreylistingKind, mails: number): Scenario {
  return defineScenario({
    name: `greylisting-${kind}`,
    says: `${mails.toLocaleString("en")} single-recipient messages to one domain that greylists (${kind}).`,
    until: "4d",
    world: {
      hosts: { mx: { greylisting: MODELS[kind] } },
      domains: { readers: { mx: [{ host: "mx" }] } },
    },
    workloads: { list: { mails, to: "readers", over: "10m", size: "10KiB" } },
  });
}
