import { statSync } from "node:fs";
import { join, resolve } from "node:path";

/** Node's permission model for a worker: the program itself, and what the role names, is all of the disk that it sees. */
export function permissionOptions(grants: {
  readonly program: readonly string[];
  readonly read: readonly string[];
  readonly write: readonly string[];
  readonly mayUseThreads: boolean;
  readonly mayLoadLibraries: boolean;
  readonly mayRunPrograms?: boolean;
}): readonly string[] {
  return [
    "--permission",
    ...grantedPaths([...grants.read, ...grants.write], grants.program).map((path) => `--allow-fs-read=${path}`),
    ...grantedPaths(grants.write).map((path) => `--allow-fs-write=${path}`),
    ...(grants.mayUseThreads ? ["--allow-worker"] : []),
    ...(grants.mayLoadLibraries ? ["--allow-addons"] : []),
    ...(grants.mayRunPrograms === true ? ["--allow-child-process"] : []),
  ];
}

/**
 * The same grants in words that Node 24 understands as they are meant. Of a folder it makes the pattern `folder/*`, which
 * grants the folder itself only while no other grant begins with the folder's path: beside `certs/ca.pem`, or `certs.db`,
 * the folder `certs` could not be listed. So what is inside a granted folder is left out, for it is granted with it; and
 * a folder beside something that is named like it and longer becomes the pattern `folder*`, which grants all that is
 * named so. That is more than was asked for, by names alone, and never more than the process's user may read.
 * Nobody lists the `unlisted`.
 */
function grantedPaths(paths: readonly string[], unlisted: readonly string[] = []): readonly string[] {
  const resolved = [...unlisted, ...paths].map((path) => (path === "*" ? path : resolve(path)));
  if (resolved.includes("*")) return ["*"];
  const folders = new Set(resolved.filter((path) => !path.endsWith("/*") && isFolder(path)));
  const outermost = [...new Set(resolved)].filter(
    (path) =>
      ![...folders].some((folder) => folder !== path && path.startsWith(folder === "/" ? folder : `${folder}/`)),
  );
  const listed = new Set(paths.map((path) => resolve(path)));
  const widened = outermost.filter(
    (path) =>
      folders.has(path) && listed.has(path) && outermost.some((other) => other !== path && other.startsWith(path)),
  );
  const others = outermost
    .filter((path) => !widened.some((folder) => path.startsWith(folder)))
    // Node makes the pattern itself where it can look at the folder. Its user may not yet, and be given the right later.
    .flatMap((path) => (folders.has(path) ? [path, join(path, "*")] : [path]));
  // Patterns count only for what is named behind them.
  return [...widened.map((folder) => `${folder}*`), ...others];
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    // Node will not know it for a folder either.
    return false;
  }
}
