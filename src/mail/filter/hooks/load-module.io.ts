import { statSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { ownModule } from "../../../foundation/own-module.ts";
import type { Clock } from "../../../foundation/clock.ts";
import { withDeadline } from "../../../foundation/deadline.ts";
import { messageOf, PosthornError, systemCodeOf } from "../../../foundation/error.ts";
import { readRegularFile } from "../../../foundation/read-file.io.ts";
import { problemOfHooks, type Hooks } from "./hooks.ts";
import type { ModuleSettings } from "./settings.ts";

/**
 * Reads hooks from their module. Node keeps every module that it ever loaded, by its address: so a module is loaded anew
 * (with a mark in its address) only when one of its files has changed, and memory grows with changes, not with reloads.
 */
const DEADLINE_MS = 30_000;
/** Nobody writes a module of this size. */
const MOST_BYTES = 64 * 1024 * 1024;

interface Kept {
  readonly exported: unknown;
  /** The module and what it imports of its own surroundings, as they were when they were read. */
  readonly stamps: ReadonlyMap<string, string>;
}

const kept = new Map<string, Kept>();
let loads = 0;

/** What `import … from "posthorn"` means in a module. */
const LIBRARY = ownModule("process/library");

/** Throws a `PosthornError` that says what is wrong with the module. */
export async function loadHooks(settings: Pick<ModuleSettings, "file" | "within">, clock: Clock): Promise<Hooks> {
  const { file, within = [] } = settings;
  let found = await exportOf(file, clock);
  for (const name of within) {
    const isThere = typeof found === "object" && found !== null && Object.hasOwn(found, name);
    // Looked at just now.
    found = isThere ? (found as Record<string, unknown>)[name] : undefined;
  }
  const problem = problemOfHooks(found);
  if (problem !== undefined)
    throw unusable(`${file} ${within.length === 0 ? problem : `at ${within.join(".")} ${problem}`}`);
  // What it is was looked at; what its functions take and give, nobody can.
  return found as Hooks;
}

async function exportOf(file: string, clock: Clock): Promise<unknown> {
  const before = kept.get(file);
  if (before !== undefined && [...before.stamps].every(([path, stamp]) => stampOf(path) === stamp))
    return before.exported;
  try {
    // The loader itself would wait for a pipe's writer, and everybody with it.
    await readRegularFile(file, MOST_BYTES);
    const fresh = await withDeadline(clock, DEADLINE_MS, "loading the hooks", () => imported(file));
    kept.set(file, fresh);
    return fresh.exported;
  } catch (thrown) {
    throw unusable(`${file} cannot be loaded: ${reasonOf(thrown)}`, thrown);
  }
}

async function imported(file: string): Promise<Kept> {
  const mark = `posthorn-hooks=${++loads}`;
  const stamps = new Map([[file, stampOf(file)]]);
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      const isOurs = context.parentURL?.endsWith(mark) === true;
      if (isOurs && specifier === "posthorn") return { url: LIBRARY.href, shortCircuit: true };
      const resolved = next(specifier, context);
      if (!isOurs || !resolved.url.startsWith("file:") || resolved.url.includes("/node_modules/")) return resolved;
      const path = fileURLToPath(resolved.url);
      stamps.set(path, stampOf(path));
      return { ...resolved, url: `${resolved.url}?${mark}` };
    },
  });
  try {
    const module: unknown = await import(`${pathToFileURL(file).href}?${mark}`);
    const exported = typeof module === "object" && module !== null && "default" in module ? module.default : undefined;
    return { exported, stamps };
  } finally {
    hooks.deregister();
  }
}

/** The reason with its place, which for a mistake in writing stands in front of the stack, else in the frames of our own load. */
function reasonOf(thrown: unknown): string {
  if (systemCodeOf(thrown) === "ENOENT") return "there is no such file";
  const stack = thrown instanceof Error ? (thrown.stack ?? "") : "";
  const [first = "", ...lines] = stack.split("\n");
  const written = /([^/]+?)(?:\?[^/:]*)?:(\d+)$/.exec(first);
  const caret = lines.slice(0, 3).find((line) => /^\s*\^+\s*$/.test(line));
  if (written !== null && caret !== undefined)
    return `${messageOf(thrown)} (${written[1]}:${written[2]}:${caret.indexOf("^") + 1})`;
  const frame = /([^/\s()]+?)\?posthorn-hooks=\d+:(\d+):(\d+)/.exec(stack);
  return frame === null ? messageOf(thrown) : `${messageOf(thrown)} (${frame[1]}:${frame[2]}:${frame[3]})`;
}

function stampOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? "gone" : `${found.ino}/${found.size}/${found.mtimeMs}`;
}

function unusable(message: string, cause?: unknown): PosthornError {
  return new PosthornError("SETTINGS_INVALID", {
    message,
    advice: "mend the module; `posthorn check` says whether it can be used",
    ...(cause === undefined ? {} : { cause }),
  });
}
