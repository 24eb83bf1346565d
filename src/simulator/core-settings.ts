import { z } from "zod";
import { smtpClientSettings, type SmtpClientSettings } from "../mail/delivery/settings.ts";
import { ownActions } from "../mail/envelope/rules.ts";
import { actionsSettings } from "../mail/envelope/settings.ts";
import { routeSettings } from "../mail/route/settings.ts";
import { planAll } from "../mail/scheduler/plan.ts";
import { schedulerSettings } from "../mail/scheduler/settings.ts";
import type { CoreSettings } from "../mail/scheduler/state.ts";

/** The parts of a server's settings that a simulation needs, as its settings file has them; nothing else matters here. */
export const simulatedSettings = z.strictObject({
  hostname: z.string().default("mail.example"),
  actions: actionsSettings,
  scheduler: schedulerSettings,
  route: routeSettings,
  delivery: smtpClientSettings,
});

export interface SimulatedSettings {
  readonly core: CoreSettings;
  readonly delivery: SmtpClientSettings;
}

/** Throws zod's error for settings that are wrong. */
export function coreSettingsOf(tree: Readonly<Record<string, unknown>>): SimulatedSettings {
  const settings = simulatedSettings.parse(tree);
  return {
    delivery: settings.delivery,
    core: {
      scheduler: settings.scheduler,
      route: settings.route,
      plans: planAll({ ...ownActions, ...settings.actions }, settings.hostname),
      postmaster: `postmaster@${settings.hostname}`,
    },
  };
}

/** A tree with a value put in at a path such as `route.greylisting.strategy`; kebab-case is understood. */
export function withSetting(
  tree: Readonly<Record<string, unknown>>,
  path: string,
  value: unknown,
): Readonly<Record<string, unknown>> {
  const [first = "", ...rest] = path.split(".");
  const name = first.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  if (rest.length === 0) return { ...tree, [name]: value };
  const inner = tree[name];
  const isTree = typeof inner === "object" && inner !== null && !Array.isArray(inner);
  return { ...tree, [name]: withSetting(isTree ? (inner as Record<string, unknown>) : {}, rest.join("."), value) };
}
