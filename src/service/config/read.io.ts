import { readFile, stat } from "node:fs/promises";
import { registerHooks } from "node:module";
import { dirname, extname, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Clock } from "../../foundation/clock.ts";
import { withDeadline } from "../../foundation/deadline.ts";
import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import { ok, refused, type Result } from "../../foundation/result.ts";
import { readCode } from "./code.ts";
import { literalPlaces } from "./literal.ts";
import type { Place, SettingsProblem } from "./config.ts";
import type { SettingsSource } from "./parse.ts";
import { readYaml } from "./yaml.ts";

const MOST_SETTINGS_BYTES = 4 * 1024 * 1024;
/** Code may ask other files or hosts while it builds the settings, but not forever. */
const CODE_DEADLINE_MS = 30_000;
const CODE_EXTENSIONS = new Set([".ts", ".mts", ".js", ".mjs"]);

export interface ReadOptions {
  readonly clock: Clock;
  /** What `import … from "posthorn"` means in a settings file: the module with `defineConfig`. */
  readonly library: URL;
  /** By which name it is imported, where that is not `posthorn`. */
  readonly libraryName?: string | undefined;
}

/** Reads a settings file of either kind as far as the tree of what was written. Messages name it as `file` does. */
export async function readSettingsFile(
  file: string,
  options: ReadOptions,
): Promise<Result<SettingsSource, readonly SettingsProblem[]>> {
  const path = resolve(file);
  const isCode = CODE_EXTENSIONS.has(extname(path));
  try {
    const { size } = await stat(path);
    if (size > MOST_SETTINGS_BYTES) return refused([told(file, "is too large for settings (4 MiB at most)")]);
    const read = isCode ? await readCodeFile(path, file, options) : readYaml(await readText(path), file);
    if (read.root === undefined) return refused(read.problems);
    if (read.problems.length > 0) return refused(read.problems);
    return ok({ root: read.root, file, directory: dirname(path), spelling: isCode ? "camel" : "kebab" });
  } catch (thrown) {
    const code = systemCodeOf(thrown);
    if (code === "ENOENT") return refused([told(file, "does not exist")]);
    if (code === "EACCES") return refused([told(file, "may not be read by this user")]);
    if (code === "EISDIR") return refused([told(file, "is a directory")]);
    return refused([told(file, `cannot be read: ${messageOf(thrown)}`)]);
  }
}

async function readText(path: string): Promise<string> {
  return new TextDecoder("utf-8", { fatal: true }).decode(await readFile(path));
}

let reads = 0;

async function readCodeFile(path: string, file: string, options: ReadOptions): Promise<Read> {
  // Node keeps modules by their address. A mark that changes makes each reload read the file, and what it imports from
  // its own surroundings, afresh.
  const mark = `posthorn=${++reads}`;
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (specifier === (options.libraryName ?? "posthorn")) return { url: options.library.href, shortCircuit: true };
      const found = next(specifier, context);
      const isOurs = context.parentURL?.endsWith(mark) === true && found.url.startsWith("file:");
      return isOurs && !found.url.includes("/node_modules/") ? { ...found, url: `${found.url}?${mark}` } : found;
    },
  });
  try {
    const module: unknown = await withDeadline(
      options.clock,
      CODE_DEADLINE_MS,
      "running the settings file",
      () => import(`${pathToFileURL(path).href}?${mark}`),
    );
    const exported = exportOf(module);
    return readCode(exported, file, literalPlaces(await readText(path)), path);
  } catch (thrown) {
    const place = placeOf(thrown, path);
    const text = place === undefined ? messageOf(thrown) : messageOf(thrown).split("\n", 1)[0];
    const problem: SettingsProblem = { file, place, path: "", text: text ?? "cannot be run", severity: "error" };
    return { root: undefined, problems: [problem] };
  } finally {
    hooks.deregister();
  }
}

/** Both readers answer alike. */
type Read = ReturnType<typeof readYaml>;

function exportOf(module: unknown): unknown {
  if (typeof module !== "object" || module === null || !("default" in module)) return undefined;
  const exported = module.default;
  // Without `import` or `export` in it Node takes the file for CommonJS, which always exports something.
  const isNothing =
    "module.exports" in module && typeof exported === "object" && Object.keys(exported ?? {}).length === 0;
  return isNothing ? undefined : exported;
}

/** Where in the settings file an error arose, by its stack; syntax errors stand in the stack's first lines. */
function placeOf(thrown: unknown, path: string): Place | undefined {
  if (!(thrown instanceof Error) || thrown.stack === undefined) return undefined;
  const [first = "", ...lines] = thrown.stack.split("\n");
  const syntax = /^(.*?)(?:\?posthorn=\d+)?:(\d+)$/.exec(first);
  if (syntax !== null && pathOf(syntax[1] ?? "") === path) {
    const caret = lines.slice(0, 3).find((line) => /^\s*\^+\s*$/.test(line));
    return { line: Number(syntax[2]), column: (caret?.indexOf("^") ?? 0) + 1 };
  }
  for (const match of thrown.stack.matchAll(/(file:\/\/[^\s)]+?):(\d+):(\d+)(?=\s|\)|$)/g)) {
    const [, url = "", line, column] = match;
    if (pathOf(url.replace(/\?.*$/, "")) === path) return { line: Number(line), column: Number(column) };
  }
  return undefined;
}

function pathOf(text: string): string {
  return text.startsWith("file:") ? fileURLToPath(text) : text;
}

function told(file: string, text: string): SettingsProblem {
  return { file, path: "", text, severity: "error" };
}
