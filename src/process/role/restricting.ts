import { restrictionsAt } from "../settings/restrictions-at.ts";
import { networkInterfaces } from "node:os";
import type { Clock } from "../../foundation/clock.ts";
import type { CalloutPort } from "../../mail/envelope/restrictions/callout.ts";
import { localNames } from "../../mail/envelope/local-names.ts";
import type { EnvelopePolicy } from "../../mail/envelope/policy.ts";
import type { PolicyTrace } from "../../mail/envelope/policy-trace.ts";
import type { Restriction, RestrictionWorld } from "../../mail/envelope/restrictions/restriction.ts";
import { restrictionsOf, restrictionsPolicy } from "../../mail/envelope/restrictions/restrictions.ts";
import type { RulesPolicy } from "../../mail/envelope/rules.ts";
import { ownActions } from "../../mail/envelope/default-rules.ts";
import type { Actions } from "../../mail/envelope/action-settings.ts";
import type { Tables } from "../../service/table/tables.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";

/**
 * Restrictions of all listeners, in front of what else there is. Users of this host, whose mail comes through a socket that
 * says who they are, have none.
 */
export function restricting(
  { settings }: LoadedSettings,
  parts: {
    readonly clock: Clock;
    readonly tables: Tables;
    readonly resolver: RestrictionWorld["resolver"];
    /** For who lives here, and where mail goes. */
    readonly rules: Pick<RulesPolicy, "chooseTargets" | "judgeRecipient">;
    /** Those of other processes. */
    readonly asking: Pick<RestrictionWorld, "rates" | "greylist" | "askPolicy"> & Pick<CalloutPort, "callOut">;
    readonly trace?: PolicyTrace | undefined;
    /** What `posthorn explain` changes about them. */
    readonly change?: ((restriction: Restriction) => Restriction) | undefined;
  },
  inner: EnvelopePolicy,
): EnvelopePolicy {
  const { clock, tables, resolver, rules, asking, trace, change = (same) => same } = parts;
  const actions: Actions = { ...ownActions, ...settings.actions };
  if (settings.listeners.every((listener) => restrictionsAt(settings, listener).length === 0)) return inner;
  const world: RestrictionWorld = {
    clock,
    tables,
    resolver,
    local: localNames(settings.local, settings.hostname, tables),
    async isListed(address) {
      const chosen = await rules.chooseTargets(address);
      if (chosen.kind === "failed") return { failed: chosen.text };
      return chosen.kind === "targets" || chosen.isEmptyList === true;
    },
    ownNames: [settings.hostname, ...settings.listeners.flatMap(({ hostname }) => hostname ?? [])],
    ownAddresses: ownAddresses(),
    actions: new Set(Object.keys(actions)),
    rates: asking.rates,
    greylist: asking.greylist,
    askPolicy: asking.askPolicy,
    callouts: {
      callOut: (ask) => asking.callOut(ask),
      judgeRecipient: (facts, recipient) => rules.judgeRecipient(facts, recipient),
      isRelayed: (action) => actions[action]?.kind === "relay",
    },
  };
  const common = restrictionsOf(settings.restrictions, world).map(change);
  const ofListeners = new Map(
    settings.listeners.map(({ name, restrictions: own }) => [
      name,
      own === undefined ? common : restrictionsOf(own, world).map(change),
    ]),
  );
  return restrictionsPolicy(inner, {
    restrictionsAt: (listener) => ofListeners.get(listener) ?? [],
    async targetsOf(recipient) {
      const chosen = await rules.chooseTargets(recipient);
      if (chosen.kind === "targets") return chosen.targets;
      return { failed: chosen.kind === "failed" ? chosen.text : chosen.because };
    },
    trace,
  });
}

/** Of all interfaces that are up. */
export function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((found) => (found ?? []).map(({ address }) => address));
}
