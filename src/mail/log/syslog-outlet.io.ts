import { requireFfi } from "../../foundation/ffi/ffi.io.ts";
import type { Outlet } from "./sink.ts";
import { severityOf } from "./syslog.ts";
import type { SyslogAnswer, SyslogBatch } from "./syslog-worker.io.ts";
import { createThread } from "./thread.io.ts";

/**
 * The system's log through syslog(3), called in a thread of its own. Throws `LIBRARY_UNAVAILABLE` at once when the C
 * library cannot be called here.
 */
export function syslogOutlet(): Outlet {
  requireFfi("writing to the system's log");
  const thread = createThread<SyslogBatch, SyslogAnswer>("syslog-worker.io", undefined);
  return {
    batchCharacters: 32 * 1024,
    async send(lines) {
      const answer = await thread.ask(
        lines.map((line) => [severityOf(line.level), `posthorn/${line.speaker}[${line.number}]`, line.text]),
      );
      if (!answer.ok) throw new Error(answer.problem);
    },
    // syslog(3) connects anew by itself when the system's log was restarted.
    reopen: () => {},
    close: () => thread.end(),
  };
}
