import { parentPort } from "node:worker_threads";
import { requireFfi } from "../../foundation/ffi/ffi.io.ts";
import { messageOf } from "../../foundation/error.ts";
import { FACILITY_MAIL } from "./syslog.ts";

/**
 * The thread in which syslog(3) is called. It blocks when the system's log is stuck, and then nothing but this thread
 * waits. Takes batches of `[severity, ident, text]`, answers each when it is out.
 */
export type SyslogBatch = readonly (readonly [severity: number, ident: string, text: string])[];
export type SyslogAnswer = { readonly ok: true } | { readonly ok: false; readonly problem: string };

const LOG_NDELAY = 0x08;
const LONGEST_IDENT = 63;

function openLog(): (severity: number, ident: string, text: string) => void {
  const ffi = requireFfi("writing to the system's log");
  const openlog = ffi.declare("void openlog(const void *ident, int option, int facility)");
  const syslog = ffi.declare("void syslog(int priority, const char *format, const char *text)");
  // openlog(3) keeps the pointer, not the text. The bytes behind it are written anew for each line, so that one
  // connection serves every speaker; this thread alone uses them.
  const ident = Buffer.alloc(LONGEST_IDENT + 1);
  openlog(ident, LOG_NDELAY, FACILITY_MAIL << 3);
  return (severity, tag, text) => {
    ident.fill(0);
    ident.write(tag, 0, LONGEST_IDENT, "latin1");
    syslog(severity, "%s", text);
  };
}

if (parentPort !== null) {
  const port = parentPort;
  let write: ReturnType<typeof openLog> | undefined;
  port.on("message", (batch: SyslogBatch) => {
    let answer: SyslogAnswer = { ok: true };
    try {
      write ??= openLog();
      for (const [severity, ident, text] of batch) write(severity, ident, text);
    } catch (thrown) {
      answer = { ok: false, problem: messageOf(thrown) };
    }
    port.postMessage(answer);
  });
}
