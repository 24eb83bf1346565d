import { join } from "node:path";
import { systemClock } from "../../foundation/clock.io.ts";
import { exitAtOnce } from "../../foundation/ffi/exit.io.ts";
import { decodeRecords, encodeRecords } from "../../mail/log/record.ts";
import { foldersOf } from "../folders.ts";
import { startLog } from "../role/log-role.ts";
import type { FromWorker, WorkerStart } from "./roles.ts";
import { serveChannels } from "./served-channels.ts";
import { MOST_LOG_BACKLOG_BYTES, type RunningRole } from "./worker-role.ts";

/** The log in a process of its own. */
export async function logRole(start: WorkerStart, say: (message: FromWorker) => void): Promise<RunningRole> {
  const log = startLog({
    ...start,
    folders: foldersOf(start.loaded.settings.state),
    clock: systemClock,
    mergeMs: 100,
    mayWrite: (path) => process.permission.has("fs.write", path),
    onTroubles: (troubles) => say({ kind: "log-troubles", troubles }),
  });
  // The supervisor may still know those of a process before this one.
  say({ kind: "log-troubles", troubles: [] });
  await log.open();
  const server = await serveChannels(join(start.channels, "log.sock"), (_role, channel) => {
    let forget: (() => void) | undefined;
    const unsubscribe = (): void => {
      forget?.();
      forget = undefined;
    };
    return {
      handlers: {
        write: (batch: string) => log.write(decodeRecords(batch)),
        recordInputs: (inputs: readonly (readonly [at: number, json: string, isStart: boolean])[]) => {
          for (const [at, json, isStart] of inputs) log.recordInput(at, json, isStart);
        },
        unsubscribe,
        subscribe: () => {
          forget ??= log.subscribe((records) => {
            // A reader that is too slow misses events rather than making the log wait.
            if (channel.backlogBytes() < MOST_LOG_BACKLOG_BYTES) channel.note("events", [encodeRecords(records)]);
          });
        },
      },
      onEnd: unsubscribe,
    };
  });
  return {
    onMessage(message) {
      if (message.kind === "reopen") log.reopen();
      if (message.kind === "settings") log.reload(message.loaded);
    },
    async stop() {
      server.close();
      const { isStuck } = await log.close(3000);
      if (isStuck) exitAtOnce(0);
    },
  };
}
