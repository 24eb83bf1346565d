import { isUtf8 } from "node:buffer";
import { readFile, stat } from "node:fs/promises";
import { dirname, extname, resolve } from "node:path";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import { ok, refused, type Result } from "../../foundation/result.ts";
import type { Place, SettingsProblem } from "./config.ts";
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
    const bytes = await readFile(path);
    const unread = textProblem(bytes);
    if (unread !== undefined) return refused([{ ...told(file, unread.text), place: unread.place }]);
    const read = isCode
      ? await runCode(codeTaskOf(path, file, options), options.clock)
      : readYaml(new TextDecoder().decode(bytes), file);
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

/** Why this is no text, and where. */
function textProblem(bytes: Buffer): { readonly text: string; readonly place?: Place } | undefined {
  if (isUtf8(bytes)) return undefined;
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
    return { text: "is UTF-16: save it as UTF-8" };
  let start = 0;
  let end = bytes.indexOf(0x0a);
  let line = 1;
  // No character of several bytes has a line end in it.
  while (end >= 0 && isUtf8(bytes.subarray(start, end))) {
    start = end + 1;
    end = bytes.indexOf(0x0a, start);
    line++;
  }
  const rest = bytes.subarray(start, end < 0 ? undefined : end);
  let length = 0;
  // One that the text has itself is three bytes that are right.
  for (const character of rest.toString()) {
    const own = Buffer.byteLength(character);
    if (character === "\uFFFD" && !isUtf8(rest.subarray(length, length + own))) break;
    length += own;
  }
  const byte = (rest[length] ?? 0).toString(16).padStart(2, "0");
  const column = rest.subarray(0, length).toString().length + 1;
  return { text: `is no UTF-8 from here on (byte 0x${byte}): save it as UTF-8`, place: { line, column } };
}

function told(file: string, text: string): SettingsProblem {
  return { file, path: "", text, severity: "error" };
}
