/** The versions of Node that TLS is tried on: the one that runs this, and the next, where it has been fetched. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const NEXT_VERSION = "26.10.0";
const PACKAGE = `node-linux-${process.arch}`;
const FOLDER = join(tmpdir(), `posthorn-node-${NEXT_VERSION}`);

/** The path of the next Node; undefined when it has not been fetched. `POSTHORN_NEXT_NODE` names another. */
export function nextNode(): string | undefined {
  const path = process.env["POSTHORN_NEXT_NODE"] ?? join(FOLDER, "node_modules", PACKAGE, "bin", "node");
  return existsSync(path) ? path : undefined;
}

/** Fetches it from the package registry into a temporary folder: 60 MB that only tests need. Throws when it cannot. */
export function fetchNextNode(): string {
  mkdirSync(FOLDER, { recursive: true });
  const options = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--prefix", FOLDER];
  const run = spawnSync("npm", ["install", ...options, `${PACKAGE}@${NEXT_VERSION}`], { stdio: "inherit" });
  const path = nextNode();
  if (run.status !== 0 || path === undefined) throw new Error(`${PACKAGE}@${NEXT_VERSION} could not be installed`);
  return path;
}
