import { statSync } from "node:fs";

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
    ...grantedPaths([...grants.program, ...grants.read, ...grants.write]).map((path) => `--allow-fs-read=${path}`),
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
 */
function grantedPaths(paths: readonly string[]): readonly string[] {
  if (paths.includes("*")) return ["*"];
  const folders = new Set(paths.filter((path) => !path.endsWith("/*") && isFolder(path)));
  const isInside = (path: string, folder: string): boolean => path.startsWith(folder === "/" ? folder : `${folder}/`);
  const outermost = [...new Set(paths)].filter(
    (path) => ![...folders].some((folder) => folder !== path && isInside(path, folder)),
  );
  const widened = outermost.filter(
    (path) =>
      folders.has(path) && outermost.some((other) => other !== path && other !== `${path}/*` && other.startsWith(path)),
  );
  const others = outermost.filter((path) => !widened.some((folder) => path.startsWith(folder)));
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
