import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf, PosthornError, systemCodeOf } from "../foundation/error.ts";

/** The file that holds the number of the running server's first process. */
export interface PidFile {
  remove(): void;
}

/**
 * Writes the file; one left by a server that is gone is replaced. Throws `SPOOL_IN_USE` when the process it names runs.
 */
export function writePidFile(path: string, pid: number): PidFile {
  mkdirSync(dirname(path), { recursive: true });
  const running = runningPid(path);
  if (running !== undefined && running !== pid) {
    throw new PosthornError("SPOOL_IN_USE", {
      message: `${path} names process ${running}, which is running`,
      advice: `stop that server first (kill ${running}), or give this one another state directory`,
    });
  }
  try {
    rmSync(path, { force: true });
    // "wx" follows no link that somebody put there meanwhile.
    const fd = openSync(path, "wx", 0o644);
    writeSync(fd, `${pid}\n`);
    fsyncSync(fd);
    closeSync(fd);
  } catch (cause) {
    throw new PosthornError("PRIVILEGES", {
      message: `cannot write the pid file ${path}: ${messageOf(cause)}`,
      advice: "choose a directory that the user who starts the server may write to",
      cause,
    });
  }
  return {
    remove() {
      if (readPid(path) === pid) rmSync(path, { force: true });
    },
  };
}

function readPid(path: string): number | undefined {
  try {
    const pid = Number(readFileSync(path, "utf8").trim());
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** The process that a pid file names, when it runs. */
export function runningPid(path: string): number | undefined {
  const pid = readPid(path);
  if (pid === undefined) return undefined;
  try {
    process.kill(pid, 0);
    return pid;
  } catch (thrown) {
    // EPERM: it runs, as somebody else.
    return systemCodeOf(thrown) === "EPERM" ? pid : undefined;
  }
}
