import { connect } from "node:net";
import { join } from "node:path";
import { systemClock } from "../../foundation/clock.io.ts";
import type { Emit } from "../../foundation/events.ts";
import { keepConnected, type Handlers } from "./channel.ts";
import { foldersOf } from "../folders.ts";
import type { ToWorker, WorkerStart } from "./roles.ts";

/** What the roles in worker processes share: how a role is told things, and its connection to the scheduler. */
export interface RunningRole {
  readonly listening?: readonly string[];
  /** Takes nothing new, from the call on; resolves when the last session has ended. */
  leave?(): Promise<void>;
  /** `handle`: a connection that came with it. */
  onMessage?(message: ToWorker, handle?: unknown): void;
  stop(deadlineMs: number): Promise<void>;
}

export const RECONNECT_MS = 100;
/** Records that wait for the log process beyond this many bytes stay with their emitter, which bounds them. */
export const MOST_LOG_BACKLOG_BYTES = 16 * 1024 * 1024;

export function roleParts(start: WorkerStart, emit: Emit) {
  return { loaded: start.loaded, folders: foldersOf(start.loaded.settings.state), clock: systemClock, emit };
}

/** It is there before we are started, and back within a second or two when it was lost. */
const FIRST_WAIT_MS = 10_000;

/** `reached` settles when the scheduler knows us for the first time; one that is away is waited for, but not for ever. */
export function connectToScheduler(start: WorkerStart, role: string, handlers: Handlers, onGone?: () => void) {
  const reached = Promise.withResolvers<void>();
  const timer = systemClock.after(FIRST_WAIT_MS, reached.resolve);
  void reached.promise.then(() => timer.cancel());
  const connection = keepConnected({
    connect: () => connect(join(start.channels, "scheduler.sock")),
    peer: "scheduler",
    handlers,
    clock: systemClock,
    retryMs: RECONNECT_MS,
    onOpen: (channel) => {
      void channel.call("iAm", [role, start.version]).then(
        () => reached.resolve(),
        () => {},
      );
      if (onGone !== undefined) void channel.ended.then(onGone);
    },
  });
  return { ...connection, reached: reached.promise };
}
