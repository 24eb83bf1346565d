import { existsSync, lchownSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { InjectionPlace, Places, World } from "../admin/cli/world.ts";
import { controlPaths } from "../admin/control/paths.ts";
import { systemClock } from "../foundation/clock.io.ts";
import { systemRandom } from "../foundation/random.io.ts";
import { PosthornError } from "../foundation/error.ts";
import type { Result } from "../foundation/result.ts";
import type { ListenerSettings } from "../mail/connection/settings.ts";
import { inOrder, problemLine, type SettingsProblem } from "../service/config/config.ts";
import { catalogue } from "./catalogue.ts";
import { foldersOf, submitPath } from "./folders.ts";
import { layoutOf } from "./layout.ts";
import { mailNameOf } from "../mail/envelope/mail-name.ts";
import type { LoadedSettings } from "./settings/load-settings.ts";
import { runningPid } from "./pid-file.ts";
import { placesIn } from "./settings/places.ts";
import type { Identity } from "./privileges.ts";
import { findSettingsFile, readSource, type SettingsFile } from "./settings/settings-file.ts";
import { version } from "./version.ts";

/** What the operator's client needs to know of the server: found in the same settings that the server reads. */
export const cliParts: Pick<
  World,
  | "version"
  | "catalogue"
  | "locate"
  | "checkSettings"
  | "restore"
  | "simulate"
  | "listSimulations"
  | "adviseDomains"
  | "autoconfig"
  | "explain"
  | "lookupTable"
  | "aliasFiles"
  | "testPolicy"
  | "comparePolicy"
  | "makeSigningKey"
  | "checkSigning"
> = {
  version,
  catalogue,
  async locate(given): Promise<Places> {
    const source = wanted(await readSource(await optionsOf(given)));
    const settings = wanted(placesIn(source));
    const folders = foldersOf(settings.state);
    return {
      hostname: settings.hostname,
      mailName: await mailNameOf(settings.local, settings.hostname),
      controlPaths: controlPaths(settings.control, folders.run),
      journalFile: folders.journalFile,
      injection: async () => injectionPlaces((await settingsCode()).listenersIn(source)),
      ...(settings.localSubmission.enabled
        ? {
            submit: {
              path: submitPath(settings.localSubmission, folders.run),
              ...(settings.localSubmission.drop
                ? { drop: { folder: folders.drop, mostBytes: settings.localSubmission.dropSize } }
                : {}),
            },
          }
        : {}),
    };
  },
  async checkSettings(given) {
    const options = await optionsOf(given);
    const { file } = options;
    const loaded = await (await settingsCode()).loadSettings({ ...options, isCheck: true });
    if (!loaded.ok) return { file, isFine: false, lines: loaded.problem.map(problemLine) };
    const { checkBackends } = await import("./check/backends.ts");
    const { checkPrograms } = await import("./check/programs.ts");
    const problems = await checkBackends(loaded.value, { clock: systemClock, random: systemRandom });
    const { checkHooks } = await import("./check/hooks.ts");
    const hooks = await checkHooks(loaded.value, systemClock);
    const all = [...loaded.value.warnings, ...checkPrograms(loaded.value), ...problems, ...hooks];
    return {
      file,
      isFine: hooks.every(({ severity }) => severity === "warning"),
      lines: inOrder(all).map(problemLine),
    };
  },
  async explain(request) {
    const loaded = await settingsWithoutKeys(request.settingsFile);
    return (await import("./explain/explain.ts")).explain(request, loaded, systemClock);
  },
  async lookupTable(question) {
    const loaded = await settingsWithoutKeys(question.settingsFile);
    return (await import("./explain/explain-table.ts")).explainTable(question, loaded, systemClock);
  },
  // Loaded when they are asked for, as simulations are.
  async testPolicy({ settingsFile, files }, tell) {
    const settings = await fileOf(settingsFile);
    const { runPolicyTests } = await import("./policy-test/run-policy-tests.ts");
    return runPolicyTests({ settings, files, cwd: process.cwd() }, tell);
  },
  async comparePolicy(request) {
    return (await import("./policy-test/compare-settings.ts")).compareSettings({
      ...request,
      settingsFile: await fileOf(request.settingsFile),
      cwd: process.cwd(),
    });
  },
  async aliasFiles(given) {
    const tables = await (await settingsCode()).loadTableSources(await optionsOf(given));
    return (await import("./explain/explain-table.ts")).aliasFilesOf(wanted(tables));
  },
  // Loaded when it is asked for: neither server nor client needs it otherwise.
  async simulate(request, tell) {
    return (await import("./simulate.ts")).simulate(request, tell);
  },
  async listSimulations() {
    return (await import("./simulate.ts")).listSimulations();
  },
  async adviseDomains(given, question) {
    return (await import("./check/domain-advice.ts")).adviseDomains(await settingsOf(given), question);
  },
  async makeSigningKey(wish) {
    return (await import("./settings/dkim-keys.ts")).makeKey(wish);
  },
  async checkSigning(given) {
    return (await import("./settings/dkim-keys.ts")).checkKeys(await settingsOf(given));
  },
  async autoconfig(given, question) {
    return (await import("./check/domain-advice.ts")).autoconfigFor(await settingsOf(given), question);
  },
  async restore(given, backup) {
    const { settings } = await settingsOf(given);
    const { identity } = layoutOf(settings, await fileOf(given));
    const folders = foldersOf(settings.state);
    if (settings.queue.store.process !== undefined)
      throw new PosthornError("USAGE", {
        message: "queue.store names a program, which alone can take its mail back",
        advice: "use the program's own means; the backups of this command are for the server's own store",
      });
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
    const { restore } = await import("../mail/queue/backup.io.ts");
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

/** What reads and checks all of the settings: half of what a command would take to start, and most need only the places. */
function settingsCode(): Promise<typeof import("./settings/load-settings.ts")> {
  return import("./settings/load-settings.ts");
}

async function settingsOf(given: string | undefined): Promise<LoadedSettings> {
  return wanted(await (await settingsCode()).loadSettings(await optionsOf(given)));
}

/** Where certificates and keys do not matter: whoever asks may not be allowed to read them. */
async function settingsWithoutKeys(given: string | undefined): Promise<LoadedSettings> {
  const options = { ...(await optionsOf(given)), isKeptElsewhere: () => true };
  return wanted(await (await settingsCode()).loadSettings(options));
}

function wanted<Value>(loaded: Result<Value, readonly SettingsProblem[]>): Value {
  if (loaded.ok) return loaded.value;
  throw invalid(loaded.problem);
}

async function optionsOf(given: string | undefined): Promise<SettingsFile> {
  return { file: await fileOf(given), directory: process.cwd(), clock: systemClock };
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
function injectionPlaces(listeners: readonly ListenerSettings[]): readonly InjectionPlace[] {
  const usable = listeners.filter(
    ({ protocol, tls, auth }) =>
      protocol !== "lmtp" &&
      protocol !== "http" &&
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
