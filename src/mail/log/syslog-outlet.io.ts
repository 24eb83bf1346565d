import type { Worker } from "node:worker_threads";
import { requireFfi } from "../../foundation/ffi/ffi.io.ts";
import type { Outlet } from "./sink.ts";
import { severityOf } from "./syslog.ts";
import type { SyslogAnswer, SyslogBatch } from "./syslog-worker.io.ts";
import { startThread } from "./thread.io.ts";

/**
 * The system's log through syslog(3), called in a thread of its own. Throws `LIBRARY_UNAVAILABLE` at once when the C
 * library cannot be called here.
 */
export function syslogOutlet(): Outlet {
  requireFfi("writing to the system's log");
  let worker: Worker | undefined;
  let answered: { resolve(): void; reject(error: Error): void } | undefined;

  const started = (): Worker => {
    if (worker !== undefined) return worker;
    const fresh = startThread("syslog-worker.io", undefined);
    worker = fresh;
    fresh.unref();
    fresh.on("message", (answer: SyslogAnswer) => {
      const waiting = answered;
      answered = undefined;
      if (answer.ok) waiting?.resolve();
      else waiting?.reject(new Error(answer.problem));
    });
    const onEnd = (error: Error): void => {
      if (worker === fresh) worker = undefined;
      const waiting = answered;
      answered = undefined;
      waiting?.reject(error);
    };
    fresh.on("error", onEnd);
    fresh.on("exit", () => onEnd(new Error("the thread that calls syslog(3) ended")));
    return fresh;
  };
  return {
    batchCharacters: 32 * 1024,
    send: (lines) =>
      new Promise((resolve, reject) => {
        answered = { resolve, reject };
        const batch: SyslogBatch = lines.map((line) => [
          severityOf(line.level),
          `posthorn/${line.speaker}[${line.number}]`,
          line.text,
        ]);
        started().postMessage(batch);
      }),
    // syslog(3) connects anew by itself when the system's log was restarted.
    reopen: () => {},
    async close() {
      const old = worker;
      worker = undefined;
      await old?.terminate();
    },
  };
}
