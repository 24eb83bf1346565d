import { readFile, stat } from "node:fs/promises";
import { dirname, extname, resolve } from "node:path";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import { ok, refused, type Result } from "../../foundation/result.ts";
import type { SettingsProblem } from "./config.ts";
import type { SettingsSource } from "./parse.ts";
import { runCode } from "./run-code.io.ts";
import { readYaml } from "./yaml.ts";

const MOST_SETTINGS_BYTES = 4 * 1024 * 1024;
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
    const read = isCode
      ? await runCode(codeTaskOf(path, file, options), options.clock)
      : readYaml(await readText(path), file);
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

function codeTaskOf(path: string, file: string, { library, libraryName }: ReadOptions): Parameters<typeof runCode>[0] {
  return { path, file, library: library.href, libraryName: libraryName ?? "posthorn" };
}

async function readText(path: string): Promise<string> {
  return new TextDecoder("utf-8", { fatal: true }).decode(await readFile(path));
}

function told(file: string, text: string): SettingsProblem {
  return { file, path: "", text, severity: "error" };
}
