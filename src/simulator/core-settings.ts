import { z } from "zod";
import { PosthornError } from "../foundation/error.ts";
import { smtpClientSettings, type SmtpClientSettings } from "../mail/delivery/settings.ts";
import { ownActions } from "../mail/envelope/default-rules.ts";
import { actionsSettings } from "../mail/envelope/action-settings.ts";
import { routeSettings } from "../mail/route/settings.ts";
import { planAll } from "../mail/scheduler/plan.ts";
import { schedulerSettings } from "../mail/scheduler/settings.ts";
import type { CoreSettings } from "../mail/scheduler/state.ts";
import { readCode } from "../service/config/code.ts";
import { problemLine, type SettingsProblem } from "../service/config/config.ts";
import { camelCase } from "../service/config/names.ts";
import { parseSettings } from "../service/config/parse.ts";

/** The parts of a server's settings that a simulation needs, as its settings file has them; nothing else matters here. */
const simulatedSettings = z.strictObject({
  hostname: z.string().default("mail.example"),
  actions: actionsSettings,
  scheduler: schedulerSettings,
  route: routeSettings,
  delivery: smtpClientSettings,
});

/** The names of those parts. */
export const simulatedParts: readonly string[] = Object.keys(simulatedSettings.shape);

export interface SimulatedSettings {
  readonly core: CoreSettings;
  readonly delivery: SmtpClientSettings;
}

export type ShapingRules = CoreSettings["route"]["shaping"];

/** Names may be written as in YAML or as in code. Throws with all that is wrong, a line for each. */
export function coreSettingsOf(
  tree: Readonly<Record<string, unknown>>,
  shapingTable: ShapingRules = {},
): SimulatedSettings {
  const { root, problems } = readCode(tree, WHERE);
  if (root === undefined) throw wrong(problems);
  const parsed = parseSettings(simulatedSettings, { root, file: WHERE, directory: "/", spelling: "kebab" });
  if (!parsed.ok) throw wrong(parsed.problem);
  const { settings } = parsed.value;
  return {
    delivery: settings.delivery,
    core: {
      scheduler: settings.scheduler,
      route: { ...settings.route, shaping: { ...shapingTable, ...settings.route.shaping } },
      plans: planAll({ ...ownActions, ...settings.actions }, settings.hostname),
      postmaster: `postmaster@${settings.hostname}`,
    },
  };
}

/** What messages name, where there is no file. */
const WHERE = "the simulated settings";

function wrong(problems: readonly SettingsProblem[]): PosthornError {
  return new PosthornError("SETTINGS_INVALID", {
    message: problems.map(problemLine).join("\n"),
    advice: "mend the scenario, the settings file or what --set says",
  });
}

/** The name as the tree spells it, `penalty-step` or `penaltyStep`; one that it does not have as it was written. */
export function nameIn(tree: Readonly<Record<string, unknown>>, written: string): string {
  // Those with a dot or a colon are domains and hosts, which have one spelling: `mx-1.example` is not `mx1.example`.
  if (Object.hasOwn(tree, written) || /[.:]/.test(written)) return written;
  return Object.keys(tree).find((known) => camelCase(known) === camelCase(written)) ?? written;
}

/** A tree with a value put in at a path such as `route.greylisting.strategy`, in whatever spelling the tree has it. */
export function withSetting(
  tree: Readonly<Record<string, unknown>>,
  path: string,
  value: unknown,
): Readonly<Record<string, unknown>> {
  const [first = "", ...rest] = path.split(".");
  const name = nameIn(tree, first);
  if (rest.length === 0) return { ...tree, [name]: value };
  const inner = tree[name];
  const isTree = typeof inner === "object" && inner !== null && !Array.isArray(inner);
  return { ...tree, [name]: withSetting(isTree ? (inner as Record<string, unknown>) : {}, rest.join("."), value) };
}
