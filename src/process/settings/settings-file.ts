import { lstat, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Clock } from "../../foundation/clock.ts";
import { systemCodeOf } from "../../foundation/error.ts";
import { escapeControls } from "../../foundation/escape.ts";
import { ownModule } from "../../foundation/own-module.ts";
import { ok, type Result } from "../../foundation/result.ts";
import type { SettingsProblem } from "../../service/config/config.ts";
import { kebabCase } from "../../service/config/names.ts";
import type { SettingsSource } from "../../service/config/parse.ts";
import { readSettingsFile } from "../../service/config/read.io.ts";

/** Which file has the settings, and what is written there; what it means is judged elsewhere. */

export interface SettingsFile {
  /** Undefined: the server's own defaults, with paths relative to `directory`. */
  readonly file: string | undefined;
  readonly directory: string;
  readonly clock: Clock;
}

export function readSource(options: SettingsFile): Promise<Result<SettingsSource, readonly SettingsProblem[]>> {
  const library = ownModule("process/library");
  if (options.file !== undefined) return readSettingsFile(options.file, { clock: options.clock, library });
  return Promise.resolve(
    ok({
      root: { kind: "map", entries: [] },
      file: "defaults",
      directory: resolve(options.directory),
      spelling: "kebab",
    }),
  );
}

/**
 * The settings where nobody names any. Root never takes code or data from wherever it stands. For others `directory` is where somebody happens to be, in /tmp perhaps: a file there counts only
 * when nobody else could have laid it, for it may be code, and it says to whom a `sendmail` gives its mail. `tell` hears of
 * one that is passed over.
 */
export async function findSettingsFile(
  directory: string,
  isRoot: boolean,
  tell: (text: string) => void = (text) => void process.stderr.write(`${text}\n`),
): Promise<string | undefined> {
  for (const place of isRoot ? [SYSTEM_PLACE] : [directory, SYSTEM_PLACE]) {
    for (const name of NAMES) {
      const file = join(place, name);
      if (!(await exists(file))) continue;
      const doubt = place === SYSTEM_PLACE ? undefined : await foreignness(file);
      if (doubt === undefined) return file;
      tell(`${escapeControls(file)} is passed over: ${doubt}; name it with its option if it is meant`);
    }
  }
  // Root has no other: what he stands beside is named, for he may mean it.
  for (const name of isRoot ? NAMES : []) {
    const file = join(directory, name);
    if (await exists(file))
      tell(
        `${escapeControls(file)} is passed over, and there are no settings in ${SYSTEM_PLACE}: root looks only there; name it with -f if it is meant`,
      );
  }
  return undefined;
}

const NAMES = ["posthorn.yaml", "posthorn.config.ts"];
const SYSTEM_PLACE = "/etc/posthorn";

/** Why somebody else may have written the file, or laid the link that is in its place; undefined where nobody did. */
async function foreignness(file: string): Promise<string | undefined> {
  const own = process.getuid?.();
  if (own === undefined) return undefined;
  // What cannot be looked at is told by whoever reads it.
  const found = await Promise.all([lstat(file), stat(file)]).catch(() => []);
  const foreign = found.find(({ uid }) => uid !== own && uid !== 0);
  if (foreign !== undefined) return `it belongs to somebody else (uid ${foreign.uid})`;
  return found.some((each) => each.isFile() && (each.mode & 0o002) !== 0) ? "everybody may write to it" : undefined;
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (thrown) {
    // One that is there but may not be looked at must be told, not passed over.
    return systemCodeOf(thrown) !== "ENOENT" && systemCodeOf(thrown) !== "ENOTDIR";
  }
}

/** The settings with these names, in whichever spelling, and no others. */
export function onlyOf(source: SettingsSource, names: readonly string[]): SettingsSource {
  const { root } = source;
  if (root.kind !== "map") return source;
  const wanted = new Set(names.map(kebabCase));
  return { ...source, root: { ...root, entries: root.entries.filter(({ name }) => wanted.has(kebabCase(name))) } };
}
