import { constants } from "node:fs";
import { open, realpath } from "node:fs/promises";
import { dirname, isAbsolute, normalize } from "node:path";
import { messageOf } from "../../foundation/error.ts";
import { parseAliasTargets, type AliasTarget } from "../../protocol/address/alias-targets.ts";

export type IncludedList =
  | { readonly kind: "found"; readonly targets: readonly AliasTarget[] }
  | { readonly kind: "failed"; readonly text: string };

const MOST_BYTES = 4 * 1024 * 1024;
/** Whoever writes a list in its place empties it first; a list of nobody refuses its mail for good. */
const EMPTY_RESTS_MS = 30_000;

/**
 * The targets in a file that an alias includes (`:include:/path`). It is read only below one of `folders`, only when it is
 * a regular file that not everybody may write to, and of bounded size; a link is not followed out of its folder. Never
 * rejects; what is wrong says which file, and which line.
 */
export async function readIncludeFile(path: string, folders: readonly string[]): Promise<IncludedList> {
  const failed = (text: string): IncludedList => ({ kind: "failed", text: `${path}: ${text}` });
  if (!isAbsolute(path) || normalize(path) !== path) return failed("expected an absolute path without . and ..");
  if (!folders.some((folder) => isIn(path, folder)))
    return failed("is in none of the folders of local.include-folders");
  try {
    // O_NOFOLLOW is about the last name only; a folder on the way may be a link as well.
    if (!folders.includes(path)) {
      const real = await realpath(dirname(path));
      const allowed = await Promise.all(folders.map((folder) => realpath(folder).catch(() => folder)));
      if (!allowed.some((folder) => isIn(real, folder))) return failed("a link on its way leads out of its folder");
    }
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stat = await file.stat();
    if (!stat.isFile()) return failed("is no regular file");
    if ((stat.mode & 0o002) !== 0) return failed("everybody may write to it");
    if (stat.size === 0 && Math.abs(Date.now() - stat.mtimeMs) < EMPTY_RESTS_MS)
      return failed("has become empty within the last thirty seconds, and may be just being written");
    if (stat.size > MOST_BYTES) return failed(`has more than ${MOST_BYTES} bytes`);
    const bytes = Buffer.alloc(stat.size);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    const { targets, problems } = parseAliasTargets(bytes.toString("utf8", 0, bytesRead));
    const [problem] = problems;
    if (problem !== undefined) return { kind: "failed", text: `${path}:${problem.line}: ${problem.text}` };
    return { kind: "found", targets };
  } catch (thrown) {
    return failed(messageOf(thrown));
  }
}

function isIn(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`);
}
