import type { Clock } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { loadHooks } from "../../mail/filter/hooks/load-module.io.ts";
import { problemIn, type SettingsProblem } from "../../service/config/config.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";

/** Loads the hooks that the settings name, as a server would: a module that cannot be used is an error. Its code runs as the caller. */
export async function checkHooks(
  { settings, origins }: Pick<LoadedSettings, "settings" | "origins">,
  clock: Clock,
): Promise<readonly SettingsProblem[]> {
  const problems: SettingsProblem[] = [];
  for (const [name, { module, hooks }] of Object.entries(settings.filters)) {
    for (const [kind, one] of Object.entries({ module, hooks })) {
      if (one === undefined) continue;
      try {
        await loadHooks(one, clock);
      } catch (thrown) {
        problems.push(problemIn(origins, ["filters", name, kind], messageOf(thrown), "error"));
      }
    }
  }
  return problems;
}
