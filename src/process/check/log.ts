import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import type { LogTarget } from "../../mail/log/settings.ts";
import { SYSLOG_SOCKET } from "../../mail/log/syslog.ts";

/** Why the log could not be written by anybody. Whether the server's user may, only that user can tell: it says so at its start. */
export async function logProblem(target: LogTarget): Promise<string | undefined> {
  if (target.kind === "syslog" && process.platform === "linux") {
    const isThere = await stat(SYSLOG_SOCKET).catch((thrown: unknown) => systemCodeOf(thrown) !== "ENOENT");
    return isThere === false
      ? `there is no ${SYSLOG_SOCKET}: the system's log does not run, and lines wait for it within log.buffer`
      : undefined;
  }
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
