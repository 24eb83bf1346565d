import { existsSync, lchownSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Places, World } from "../admin/cli/world.ts";
import { controlPaths } from "../admin/control/server.io.ts";
import { systemClock } from "../foundation/clock.io.ts";
import { PosthornError } from "../foundation/error.ts";
import type { ListenerSettings } from "../mail/connection/settings.ts";
import { restore } from "../mail/queue/backup.io.ts";
import { problemLine, type SettingsProblem } from "../service/config/config.ts";
import { foldersOf } from "./folders.ts";
import { layoutOf } from "./layout.ts";
import { findSettingsFile, loadPlaces, loadSettings, type LoadedSettings } from "./load-settings.ts";
import { catalogue } from "./log-role.ts";
import { runningPid } from "./pid-file.ts";
import type { Identity } from "./privileges.ts";
import { version } from "./version.ts";

/** What the operator's client needs to know of the server: found in the same settings that the server reads. */
export const cliParts: Pick<
  World,
  "version" | "catalogue" | "locate" | "checkSettings" | "restore" | "simulate" | "listSimulations"
> = {
  version,
  catalogue,
  async locate(given): Promise<Places> {
    const loaded = await loadPlaces({ file: await fileOf(given), directory: process.cwd(), clock: systemClock });
    if (!loaded.ok) throw invalid(loaded.problem);
    const settings = loaded.value;
    const folders = foldersOf(settings.state);
    return {
      hostname: settings.hostname,
      controlPaths: controlPaths(settings.control, folders.run),
      journalFile: folders.journalFile,
      injection: injectionPlaces(settings.listeners),
    };
  },
  async checkSettings(given) {
    const file = await fileOf(given);
    const loaded = await loadSettings({ file, directory: process.cwd(), clock: systemClock });
    const problems = loaded.ok ? loaded.value.warnings : loaded.problem;
    return { isFine: loaded.ok, lines: problems.map(problemLine) };
  },
  // Loaded when it is asked for: neither server nor client needs it otherwise.
  async simulate(request, tell) {
    return (await import("./simulate.ts")).simulate(request, tell);
  },
  async listSimulations() {
    return (await import("./simulate.ts")).listSimulations();
  },
  async restore(given, backup) {
    const { settings } = await settingsOf(given);
    const { identity } = layoutOf(settings, await fileOf(given));
    const folders = foldersOf(settings.state);
    const pid = runningPid(folders.pidFile);
    if (pid !== undefined) {
      throw new PosthornError("SPOOL_IN_USE", {
        message: `a server runs on ${folders.state} (process ${pid})`,
        advice: "stop it first: posthorn stop",
      });
    }
    if (existsSync(folders.queue) && readdirSync(folders.queue).length > 0) {
      throw new PosthornError("SPOOL_IN_USE", {
        message: `${folders.queue} holds a queue already`,
        advice: "move it away first; a restore never writes over mail",
      });
    }
    const restored = restore(resolve(backup), folders.queue);
    if (identity !== undefined) giveAway(folders.queue, identity);
    return restored;
  },
};

/** Restored by root, run by somebody else. Links are not followed. */
function giveAway(directory: string, { uid, gid }: Identity): void {
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" }))
    lchownSync(join(directory, name), uid, gid);
  lchownSync(directory, uid, gid);
}

async function settingsOf(given: string | undefined): Promise<LoadedSettings> {
  const file = await fileOf(given);
  const loaded = await loadSettings({ file, directory: process.cwd(), clock: systemClock });
  if (loaded.ok) return loaded.value;
  throw invalid(loaded.problem);
}

function invalid(problems: readonly SettingsProblem[]): PosthornError {
  return new PosthornError("SETTINGS_INVALID", {
    message: problems.map(problemLine).join("\n"),
    advice: "mend the settings, or name another file with --file",
  });
}

function fileOf(given: string | undefined): Promise<string | undefined> {
  return given === undefined
    ? findSettingsFile(process.cwd(), process.getuid?.() === 0)
    : Promise.resolve(resolve(given));
}

/** Listeners that take mail from this machine without a login and without TLS, submission before SMTP. */
function injectionPlaces(listeners: readonly ListenerSettings[]): Places["injection"] {
  const usable = listeners.filter(
    ({ protocol, tls, auth }) =>
      protocol !== "lmtp" &&
      (tls === "off" || tls === "offer") &&
      (protocol === "submission" ? auth === "offer" || auth === "off" : auth !== "require"),
  );
  return usable
    .toSorted((a, b) => Number(b.protocol === "submission") - Number(a.protocol === "submission"))
    .map(({ path, address, port }) => {
      if (path !== undefined) return { path };
      const isWildcard = address === undefined || address === "0.0.0.0" || address === "::";
      return { host: isWildcard ? "localhost" : address, port: port ?? 25 };
    });
}
