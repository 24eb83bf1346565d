import { parentPort } from "node:worker_threads";
import { requireFfi } from "../../foundation/ffi/ffi.io.ts";
import { messageOf } from "../../foundation/error.ts";
import { FACILITY_MAIL, SYSLOG_SOCKET } from "./syslog.ts";

/**
 * The thread in which syslog(3) is called. It blocks when the system's log is stuck, and then nothing but this thread
 * waits. Takes batches of `[severity, ident, text]`, answers each when it is out.
 */
export type SyslogBatch = readonly (readonly [severity: number, ident: string, text: string])[];
export type SyslogAnswer = { readonly ok: true } | { readonly ok: false; readonly problem: string };

const LOG_NDELAY = 0x08;
const LONGEST_IDENT = 63;

interface SystemLog {
  write(severity: number, ident: string, text: string): void;
  /** Whether anybody could listen: syslog(3) says nothing, and drops the line, where nobody does. */
  isThere(): boolean;
}

function openLog(): SystemLog {
  const ffi = requireFfi("writing to the system's log");
  const openlog = ffi.declare("void openlog(const void *ident, int option, int facility)");
  const syslog = ffi.declare("void syslog(int priority, const char *format, const char *text)");
  // openlog(3) keeps the pointer, not the text. The bytes behind it are written anew for each line, so that one
  // connection serves every speaker; this thread alone uses them.
  const ident = Buffer.alloc(LONGEST_IDENT + 1);
  const access = ffi.declare("int access(const char *path, int mode)");
  openlog(ident, LOG_NDELAY, FACILITY_MAIL << 3);
  return {
    write(severity, tag, text) {
      ident.fill(0);
      ident.write(tag, 0, LONGEST_IDENT, "latin1");
      syslog(severity, "%s", text);
    },
    isThere() {
      // Asked of the system itself, for Node's permissions leave this process no file of that kind to look at.
      return process.platform !== "linux" || access(SYSLOG_SOCKET, 0) === 0 || ffi.lastError() !== "ENOENT";
    },
  };
}

if (parentPort !== null) {
  const port = parentPort;
  let log: SystemLog | undefined;
  port.on("message", (batch: SyslogBatch) => {
    let answer: SyslogAnswer = { ok: true };
    try {
      log ??= openLog();
      if (!log.isThere()) throw new Error(`there is no ${SYSLOG_SOCKET}: the system's log does not run`);
      for (const [severity, ident, text] of batch) log.write(severity, ident, text);
    } catch (thrown) {
      answer = { ok: false, problem: messageOf(thrown) };
    }
    port.postMessage(answer);
  });
}
