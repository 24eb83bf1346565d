import { hostname } from "node:os";
import { z } from "zod";
import { controlSettings } from "../../admin/control/settings.ts";
import { ok, type Result } from "../../foundation/result.ts";
import { localSubmissionSettings } from "../../mail/connection/local-settings.ts";
import { localSettings } from "../../mail/envelope/settings.ts";
import type { SettingsProblem } from "../../service/config/config.ts";
import { parseSettings, type SettingsSource } from "../../service/config/parse.ts";
import { serverSettings } from "./server-settings.ts";
import { onlyOf } from "./settings-file.ts";

/**
 * What tells a client where a running server is. By itself, for the schema of all settings is half of what a command would take to
 * start; and nothing else of them has to be right, nor its keys and passwords be readable, for an operator to look after the queue.
 */
const placesSettings = z.strictObject({
  hostname: serverSettings.hostname,
  state: serverSettings.state,
  control: controlSettings,
  local: localSettings,
  localSubmission: localSubmissionSettings,
});

export type PlacesSettings = z.output<typeof placesSettings> & { readonly hostname: string };

/** What is ours counts as not said where it is wrong: who looks after the queue needs it least. */
export function placesIn(source: SettingsSource): Result<PlacesSettings, readonly SettingsProblem[]> {
  const needed = Object.keys(placesSettings.shape).filter((name) => name !== "local");
  const whole = parseSettings(placesSettings, onlyOf(source, [...needed, "local"]));
  const parsed = whole.ok ? whole : parseSettings(placesSettings, onlyOf(source, needed));
  if (!parsed.ok) return parsed;
  const { settings } = parsed.value;
  return ok({ ...settings, hostname: settings.hostname ?? hostname().toLowerCase() });
}
