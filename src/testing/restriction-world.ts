import type { RestrictionWorld } from "../mail/envelope/restrictions/restriction.ts";
import { virtualClock } from "../simulator/clock.ts";
import { zoneResolver } from "./dns-zone.ts";

/** What restrictions ask others, where nobody has anything to say; tests say what is different. */
export function restrictionWorld(changes: Partial<RestrictionWorld> = {}): RestrictionWorld {
  return {
    clock: virtualClock(0),
    tables: new Map(),
    resolver: zoneResolver({}),
    local: { isLocalDomain: (domain) => Promise.resolve(domain === "ours.example") },
    isListed: () => Promise.resolve(true),
    ownNames: ["mx.ours.example"],
    ownAddresses: ["127.0.0.1"],
    actions: new Set(["deliver", "relay"]),
    rates: { countRate: () => Promise.resolve({ kind: "counted" }) },
    greylist: { askGreylist: () => Promise.resolve({ kind: "pass", because: "known" }) },
    callouts: {
      callOut: () => Promise.resolve({ kind: "taken" }),
      judgeRecipient: (_facts, recipient) =>
        Promise.resolve({ kind: "accept", targets: [{ recipient, action: "relay" }], rule: "rule 1" }),
      isRelayed: (action) => action === "relay",
    },
    askPolicy: () => Promise.resolve({ kind: "action", action: "DUNNO" }),
    ...changes,
  };
}

/** Redirections in tests whose matter they are not. */
export function noRedirections(): Promise<{ readonly failed: string }> {
  return Promise.resolve({ failed: "nobody redirects here" });
}
