import { closeSync, fsyncSync, openSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf, PosthornError, systemCodeOf } from "../foundation/error.ts";
import { makeDirectories } from "../foundation/make-directories.io.ts";

/** Linux counts in hundredths of a second towards user space, whatever its own clock does. */
const MS_PER_TICK = 10;
const CLOCK_SLACK_MS = 5000;

/** The file that holds the number of the running server's first process. */
export interface PidFile {
  remove(): void;
}

/**
 * Writes the file; one left by a server that is gone is replaced. Throws `SPOOL_IN_USE` when the process it names runs.
 */
export function writePidFile(path: string, pid: number): PidFile {
  makeDirectories(dirname(path));
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
  if (pid === undefined || isYounger(pid, path)) return undefined;
  try {
    process.kill(pid, 0);
    return pid;
  } catch (thrown) {
    // EPERM: it runs, as somebody else.
    return systemCodeOf(thrown) === "EPERM" ? pid : undefined;
  }
}

/**
 * Whether the process began after the file was written: after a reboot, or in a container, the number is soon somebody
 * else's. In doubt no; and were it ours after all (the clock was set), the queue's own lock still says so.
 */
function isYounger(pid: number, path: string): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // proc(5): the command may hold anything, so fields count from behind it; starttime is the 22nd.
    const startTicks = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
    const bootedAt = Number(/^btime (\d+)$/m.exec(readFileSync("/proc/stat", "latin1"))?.[1]) * 1000;
    return bootedAt + startTicks * MS_PER_TICK > statSync(path).mtimeMs + CLOCK_SLACK_MS;
  } catch {
    return false;
  }
}
