import { readFile } from "node:fs/promises";
import { enableCompileCache, registerHooks } from "node:module";
import { pathToFileURL } from "node:url";
import { parentPort, workerData } from "node:worker_threads";
import { ownModule } from "../../foundation/own-module.ts";
import { readCode } from "./code.ts";
import { literalPlaces } from "./literal.ts";
import { problemOfCode, type CodeTask, type MissingModule } from "./run-code.ts";

/** The thread that a settings file of code runs in: it says what the file exports, as data, or what is wrong with it. */

const task = workerData as CodeTask; // What run-code.io.ts gave.
// Else the types of the library would be stripped each time, which takes longer than all the rest.
if (task.compileCache !== undefined) enableCompileCache(task.compileCache);

/** By what was thrown for it: a file may well go on without one. */
const missing = new Map<unknown, MissingModule>();
registerHooks({
  resolve(specifier, context, next) {
    if (specifier === task.libraryName) return { url: task.library, shortCircuit: true };
    try {
      return next(specifier, context);
    } catch (thrown) {
      missing.set(thrown, { specifier, parent: context.parentURL });
      throw withoutUs(thrown);
    }
  },
});
const { path, file } = task;
let answer: ReturnType<typeof readCode>;
try {
  const module: unknown = await import(pathToFileURL(path).href);
  answer = readCode(exportOf(module), file, literalPlaces(await readText(path)), path);
} catch (thrown) {
  const gone = missing.get(thrown);
  const { parent = "" } = gone ?? {};
  const text = parent.startsWith("file:") ? await readText(new URL(parent)).catch(() => "") : "";
  answer = { root: undefined, problems: [problemOfCode(thrown, task, gone && { ...gone, text })] };
}
// What nobody waits for and has failed by now is told as a failure of the file.
await new Promise((resolve) => setImmediate(resolve));
parentPort?.postMessage(answer);

async function readText(file: string | URL): Promise<string> {
  return new TextDecoder().decode(await readFile(file));
}

/** That the question came through here, and through whoever else has a say in what modules are found, is no place in the operator's code. */
function withoutUs(thrown: unknown): unknown {
  if (!(thrown instanceof Error) || thrown.stack === undefined) return thrown;
  const own = ownModule("service/config/code-thread.io").href;
  const lines = thrown.stack.split("\n");
  const firstFrame = lines.findIndex((line) => /^\s+at /.test(line));
  // Those that were asked by us stand in front of us, who asked behind us.
  const last = lines.findLastIndex((line) => line.includes(own));
  if (firstFrame >= 0 && last >= firstFrame) lines.splice(firstFrame, last - firstFrame + 1);
  thrown.stack = lines.join("\n");
  return thrown;
}

function exportOf(module: unknown): unknown {
  if (typeof module !== "object" || module === null || !("default" in module)) return undefined;
  const exported = module.default;
  // Without `import` or `export` in it Node takes the file for CommonJS, which always exports something.
  const isNothing =
    "module.exports" in module && typeof exported === "object" && Object.keys(exported ?? {}).length === 0;
  return isNothing ? undefined : exported;
}
