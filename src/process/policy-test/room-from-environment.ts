import { resolve } from "node:path";
import { systemClock } from "../../foundation/clock.io.ts";
import { PosthornError } from "../../foundation/error.ts";
import { problemLine } from "../../service/config/config.ts";
import { loadSettings } from "../settings/load-settings.ts";
import { findSettingsFile } from "../settings/settings-file.ts";
import { openTrialRoom, type TrialRoom } from "./trial-room.ts";

/** For tests that another runner runs: the settings are those of POSTHORN_SETTINGS, or found where it runs. */
export async function roomFromEnvironment(): Promise<TrialRoom> {
  const { POSTHORN_SETTINGS: given } = process.env;
  const directory = process.cwd();
  const file = given === undefined ? await findSettingsFile(directory, process.getuid?.() === 0) : resolve(given);
  const loaded = await loadSettings({ file, directory, clock: systemClock, isKeptElsewhere: () => true });
  if (loaded.ok) return openTrialRoom(loaded.value, { isLenient: false });
  throw new PosthornError("SETTINGS_INVALID", {
    message: loaded.problem.map(problemLine).join("\n"),
    advice: "name the settings in POSTHORN_SETTINGS",
  });
}
