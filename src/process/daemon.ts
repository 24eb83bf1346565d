import { resolve } from "node:path";
import { controlPaths } from "../admin/control/paths.ts";
import { startControl, type ControlServer } from "../admin/control/server.io.ts";
import { systemClock } from "../foundation/clock.io.ts";
import { messageOf, PosthornError } from "../foundation/error.ts";
import { ok } from "../foundation/result.ts";
import { exitAtOnce } from "../foundation/ffi/exit.io.ts";
import { problemLine, type SettingsProblem } from "../service/config/config.ts";
import { buildAdmin } from "./admin.ts";
import { BACKGROUND_MARK, startInBackground, tellStarter } from "./background.ts";
import * as events from "./events.ts";
import { callsOf, firstMailHint } from "./first-mail-hint.ts";
import { checkFormats } from "./check/formats.ts";
import { foldersOf, makeFolders } from "./folders.ts";
import { isSplit, layoutOf } from "./layout.ts";
import { heldSignals } from "./held-signals.ts";
import { loadSettings, type LoadedSettings, type LoadOptions } from "./settings/load-settings.ts";
import { findSettingsFile } from "./settings/settings-file.ts";
import { LOCAL_LISTENER } from "./settings/local-users.ts";
import { boundOwnMemory } from "./memory.ts";
import { writePidFile, type PidFile } from "./pid-file.ts";
import type { Server } from "./server.ts";
import { SettingsRefused } from "./settings/settings-refused.ts";
import { withSrsSecret } from "./settings/srs-secret.ts";
import { openSubmitSocket, type SubmitSocket } from "./role/submit-socket.ts";
import { inheritedSockets } from "./systemd.ts";
import { userNames } from "./user-names.ts";
import { version } from "./version.ts";

/** `posthornd`: one server from its start to its end. Exit statuses are those of sysexits(3). */
export interface DaemonOptions {
  /** `-f`; without it the usual places are looked at. */
  readonly file: string | undefined;
  readonly isForeground: boolean;
  readonly isVerbose: boolean;
  /** As they were given, for the process in the background. */
  readonly argv: readonly string[];
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

const EX_SOFTWARE = 70;
const EX_CONFIG = 78;

/** `posthornd -n`: says everything that is wrong. 0: the settings can be used. */
export async function checkOnly(options: Pick<DaemonOptions, "file" | "out" | "err">): Promise<number> {
  const file = await settingsFile(options.file);
  const loaded = await loadSettings({ file, directory: process.cwd(), clock: systemClock, isCheck: true });
  for (const problem of loaded.ok ? loaded.value.warnings : loaded.problem) options.err(`${problemLine(problem)}\n`);
  if (!loaded.ok) return EX_CONFIG;
  options.out(
    file === undefined ? "built-in settings: OK; no settings file was found (-f FILE names one)\n" : `${file}: OK\n`,
  );
  return 0;
}

/** How the process is to end. */
export interface DaemonEnd {
  readonly status: number;
  /** A thread waits for the system's log and would hold up an ordinary exit: end with `exitAtOnce`. */
  readonly isStuck: boolean;
}

/** Runs the server; resolves when it has ended. */
export async function runDaemon(options: DaemonOptions): Promise<DaemonEnd> {
  let isStuck = false;
  const status = await run(options, () => {
    isStuck = true;
  });
  return { status, isStuck };
}

async function run(options: DaemonOptions, onStuck: () => void): Promise<number> {
  const file = await settingsFile(options.file);
  const read = await loadSettings(loadOptionsOf(file));
  if (!read.ok) {
    options.err(notStarted(read.problem, file));
    return EX_CONFIG;
  }
  for (const warning of read.value.warnings) options.err(`${problemLine(warning)}\n`);
  if (!options.isForeground && process.env[BACKGROUND_MARK] === undefined) {
    const { status, text } = await startInBackground(options.argv);
    if (text !== "") options.err(text);
    return status;
  }
  try {
    return await serve({ ...options, file }, read.value, onStuck);
  } catch (thrown) {
    if (thrown instanceof SettingsRefused) {
      const text = notStarted(thrown.problems, file);
      options.err(text);
      await tellStarter({ kind: "down", text });
      return EX_CONFIG;
    }
    const advice = thrown instanceof PosthornError ? `posthornd: ${thrown.advice}\n` : "";
    const text = `posthornd: ${messageOf(thrown)}\n${advice}`;
    options.err(text);
    await tellStarter({ kind: "down", text });
    return thrown instanceof PosthornError ? EX_CONFIG : EX_SOFTWARE;
  }
}

/** In a split server the keeper opens certificates and keys, and nobody else. */
function loadOptionsOf(file: string | undefined): LoadOptions {
  return {
    file,
    directory: process.cwd(),
    clock: systemClock,
    isKeptElsewhere: (settings) => isSplit(settings, file),
  };
}

function notStarted(problems: readonly SettingsProblem[], file: string | undefined): string {
  const lines = problems.map((problem) => `${problemLine(problem)}\n`).join("");
  const errors = problems.filter(({ severity }) => severity !== "warning").length;
  const number = errors === 1 ? "1 problem" : `${errors} problems`;
  return `${lines}posthornd: not started: ${number} in ${file ?? "the built-in settings"}\n`;
}

async function serve(options: DaemonOptions, read: LoadedSettings, onStuck: () => void): Promise<number> {
  const startedAt = systemClock.now();
  const startedAtMs = systemClock.monotonicMs();
  const signals = heldSignals(process, systemClock);
  const { layout, identity, keeper } = layoutOf(read.settings, options.file);
  const folders = foldersOf(read.settings.state);
  checkFormats(folders);
  makeFolders(folders, identity, keeper);
  const pidFile: PidFile = writePidFile(folders.pidFile, process.pid);
  let server: Server | undefined;
  let control: ControlServer | undefined;
  let submit: SubmitSocket | undefined;
  try {
    const loaded = withSrsSecret(read);
    const inherited = inheritedSockets(process.env, process, loaded.settings.listeners);
    const common = {
      loaded,
      folders,
      clock: systemClock,
      isVerbose: options.isVerbose,
      isForeground: options.isForeground,
      inherited,
    };
    // Only what this layout takes is loaded: a supervisor needs hardly a third of what a single process does.
    if (layout === "split") {
      boundOwnMemory("supervisor");
      const { startSupervisor } = await import("./split/supervisor.ts");
      server = await startSupervisor({ ...common, identity, keeperIdentity: keeper });
    } else {
      boundOwnMemory("single");
      const { startSingle } = await import("./single.ts");
      server = await startSingle({ ...common, onStuck });
    }
    const running = server;
    const ended = Promise.withResolvers<void>();
    let isStopping = false;
    const stop = (because: string): void => {
      // Who asks twice does not want to wait.
      if (isStopping) exitAtOnce(EX_SOFTWARE);
      isStopping = true;
      void running.stop(because).then(ended.resolve, ended.reject);
    };
    const submitting = await openSubmitSocket(running, folders);
    submit = submitting;
    const admin = buildAdmin({
      server: running,
      folders,
      startedAt,
      settingsFile: options.file,
      read: async () => {
        const next = await loadSettings({ ...loadOptionsOf(options.file), atStart: loaded.settings });
        return next.ok ? ok(withSrsSecret(next.value)) : next;
      },
      swap: (next) => submitting.reload(next, () => running.reload(next)),
      stop: () => stop("posthorn stop"),
      clock: systemClock,
    });
    const names = userNames(systemClock);
    control = await startControl({
      settings: loaded.settings.control,
      paths: controlPaths(loaded.settings.control, folders.run),
      admin,
      clock: systemClock,
      emit: running.emit,
      users: { listener: LOCAL_LISTENER, accountOf: (uid) => names.of(uid) },
    });
    for (const problem of loaded.warnings) running.emit(events.settingsWarning, { problem: problemLine(problem) });
    running.emit(events.serverStarted, {
      version,
      layout,
      listeners: running.listening,
      settings: options.file ?? "built in",
      tookMs: Math.round(systemClock.monotonicMs() - startedAtMs),
    });
    if (options.isForeground && options.file === undefined)
      options.out(firstMailHint(loaded, running.listening, callsOf(process.argv[1] ?? "", process.cwd())));
    const troubles = running
      .logTroubles()
      .map(({ sink, problem }) => `posthornd: the log ${sink} cannot be written: ${problem}\n`);
    await tellStarter({ kind: "up", text: troubles.join("") });
    signals.obey({
      stop,
      reload() {
        running.reopen();
        void admin.reloadFor("SIGHUP");
      },
    });
    await ended.promise;
    return 0;
  } catch (thrown) {
    await server?.stop(messageOf(thrown));
    throw thrown;
  } finally {
    await submit?.[Symbol.asyncDispose]();
    await control?.[Symbol.asyncDispose]();
    pidFile.remove();
  }
}

async function settingsFile(given: string | undefined): Promise<string | undefined> {
  return given === undefined ? findSettingsFile(process.cwd(), process.getuid?.() === 0) : resolve(given);
}
