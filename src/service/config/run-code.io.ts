import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { Worker } from "node:worker_threads";
import type { Clock } from "../../foundation/clock.ts";
import { withDeadline } from "../../foundation/deadline.ts";
import { systemCodeOf } from "../../foundation/error.ts";
import { ownModule } from "../../foundation/own-module.ts";
import type { readCode } from "./code.ts";
import type { SettingsProblem } from "./config.ts";
import { problemOfCode, type CodeTask } from "./run-code.ts";

/** Code may ask other files or hosts while it builds the settings, but not forever. */
const DEADLINE_MS = 30_000;
const MOST_MIB = 512;

type Read = ReturnType<typeof readCode>;

/**
 * Runs a settings file of code in a thread of its own. A server reads its settings while it has mail in hand: there nothing
 * that the code does, an endless loop, an exit, a promise that fails and that nobody waits for, may end or hold up the process. What
 * it has begun ends with the thread as soon as it has been read, and Node keeps nothing of it: the next time it is read afresh, with
 * all that it imports.
 */
export async function runCode(
  { path, file, library, libraryName }: Omit<CodeTask, "compileCache">,
  clock: Clock,
): Promise<Read> {
  const cache = getCompileCacheDir();
  const task: CodeTask = {
    path,
    file,
    library,
    libraryName,
    // Node makes a folder of its version in the one it is given, and tells that one.
    ...(cache === undefined ? {} : { compileCache: dirname(cache) }),
  };
  const told = (text: string): Read => {
    const problem: SettingsProblem = { file, path: "", text, severity: "error" };
    return { root: undefined, problems: [problem] };
  };
  const worker = new Worker(ownModule("service/config/code-thread.io"), {
    name: "settings",
    workerData: task,
    // What grows past the limit by more than a young generation at once ends the process instead of the thread.
    resourceLimits: { maxOldGenerationSizeMb: MOST_MIB, maxYoungGenerationSizeMb: 32 },
  });
  const read = new Promise<Read>((resolve) => {
    worker.on("message", (answer: Read) => resolve(answer));
    worker.on("error", (thrown) =>
      resolve(
        systemCodeOf(thrown) === "ERR_WORKER_OUT_OF_MEMORY"
          ? told(`needed more than ${MOST_MIB} MiB of memory to run`)
          : { root: undefined, problems: [problemOfCode(thrown, task)] },
      ),
    );
    worker.on("exit", (code) =>
      resolve(
        told(
          code === UNSETTLED
            ? "awaits something that never comes"
            : `called process.exit(${code}); it has to come to its end, with \`export default defineConfig({ … })\``,
        ),
      ),
    );
  });
  try {
    return await withDeadline(clock, DEADLINE_MS, "running the settings file", () => read);
  } catch (thrown) {
    return told(
      `${thrown instanceof Error ? thrown.message : String(thrown)}: it waits for something, or runs in a circle`,
    );
  } finally {
    // It stops whatever still runs there. Nobody waits: code that the system holds up ends when that lets go of it.
    void worker.terminate();
  }
}

/** Node's exit code for a module that awaits when nothing is left that could happen. */
const UNSETTLED = 13;
