import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import type { LogTarget } from "../../mail/log/settings.ts";

/** Why a log file could not be written by anybody. Whether the server's user may, only that user can tell: it says so at its start. */
export async function logFileProblem(target: LogTarget): Promise<string | undefined> {
  if (target.kind !== "file") return undefined;
  const folder = dirname(target.path);
  try {
    if (!(await stat(folder)).isDirectory()) return `${folder} is no folder: the log could not be written`;
  } catch (thrown) {
    if (systemCodeOf(thrown) === "EACCES") return undefined;
    return systemCodeOf(thrown) === "ENOENT"
      ? `there is no folder ${folder}: the log could not be written; make it, for the user that the server runs as`
      : `the log could not be written: ${messageOf(thrown)}`;
  }
  const found = await stat(target.path).catch(() => undefined);
  return found?.isDirectory() === true ? `${target.path} is a folder: name a file in it` : undefined;
}
