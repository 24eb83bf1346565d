import type { Clock } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { loadHooks } from "../../mail/filter/hooks/load-module.io.ts";
import { placed } from "../../mail/filter/hooks/run-hooks.ts";
import { strayCatcher } from "../../mail/filter/hooks/stray-failures.io.ts";
import { problemIn, type SettingsProblem } from "../../service/config/config.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";

/**
 * Loads the hooks that the settings name, as a server would: a module that cannot be used is an error, and what fails in it where nobody
 * waits a warning. Its code runs as the caller.
 */
export async function checkHooks(
  { settings, origins }: Pick<LoadedSettings, "settings" | "origins">,
  clock: Clock,
): Promise<readonly SettingsProblem[]> {
  const problems: SettingsProblem[] = [];
  for (const [name, { module, hooks }] of Object.entries(settings.filters)) {
    for (const [kind, one] of Object.entries({ module, hooks })) {
      if (one === undefined) continue;
      const withStrays = strayCatcher((thrown) => {
        const text = `${one.file} fails where nobody waits for it: ${placed(thrown)}`;
        problems.push(problemIn(origins, ["filters", name, kind], text, "warning"));
      });
      try {
        await withStrays(() => loadHooks(one, clock));
        // By then Node has told of promises that nobody waits for.
        await new Promise((resolve) => setImmediate(resolve));
      } catch (thrown) {
        problems.push(problemIn(origins, ["filters", name, kind], messageOf(thrown), "error"));
      }
    }
  }
  return problems;
}
