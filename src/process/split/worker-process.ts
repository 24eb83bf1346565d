import { fork, type ChildProcess, type StdioOptions } from "node:child_process";
import type { Socket } from "node:net";
import type { ProcessStatus } from "../../admin/control/admin.ts";
import type { Clock, Timer } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { messageOf } from "../../foundation/error.ts";
import * as events from "../events.ts";
import type { FromWorker, Role, ToWorker, WorkerStart } from "./roles.ts";
import { SettingsRefused } from "../settings/settings-refused.ts";

/**
 * One worker process, kept alive: started, watched, started again with growing pauses when it ends unasked, and
 * stopped in good order within a deadline. What it does is in `worker.ts`; what it is told is a `WorkerStart`.
 */
export interface WorkerProcess {
  readonly name: string;
  readonly role: Role;
  pid(): number | undefined;
  /** Settles when the first start has worked; rejects when the process ends or complains before it was ever ready. */
  readonly ready: Promise<void>;
  /** Replaces what the next start (after a crash) is told. */
  setStart(start: WorkerStart): void;
  /** Tells the running process something; lost when it is just being started again. */
  tell(message: ToWorker): void;
  /** Gives it a connection with the message; false when it is not there to take it. `onLost`: it failed on the way. */
  hand(message: ToWorker, socket: Socket, onLost: () => void): boolean;
  /** What it said when it was ready last: where it listens. */
  listening(): readonly string[];
  /** Of the process that is there. */
  status(): Omit<ProcessStatus, "memoryBytes"> | undefined;
  /** Asks it to take nothing new and to go when its last session has ended, however long that takes. */
  leave(): Promise<void>;
  /** Settles when one that was asked to leave takes nothing new any more, or has ended. */
  readonly closed: Promise<void>;
  /** Asks it to finish and leave; kills it at the deadline. Never starts it again. */
  stop(deadlineMs: number): Promise<void>;
}

const FIRST_RESTART_MS = 500;
const LONGEST_RESTART_MS = 30_000;
/** A process that lived this long has recovered; its next restart is quick again. */
const RECOVERED_AFTER_MS = 60_000;
const READY_WITHIN_MS = 60_000;
/** Connections that are on their way to a process; each is a descriptor of ours until it has taken it. */
const MOST_HANDED = 256;
/** How often a process is asked whether it still turns, and how many questions in a row may go without an answer. */
const ASK_EVERY_MS = 10_000;
const MOST_UNANSWERED = 6;

export interface WorkerOptions {
  readonly name: string;
  readonly role: Role;
  /** The module that a worker runs. */
  readonly entry: string;
  /** Node's own options: the permission model's among them. */
  readonly nodeOptions: readonly string[];
  /** Inherited from descriptor 4 on (3 is the process channel). */
  readonly descriptors: readonly number[];
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  /** Beside our own environment. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly start: WorkerStart;
  /**
   * Whom the role needs at its first start. The process is there before that and loads its code meanwhile: on a machine with
   * several cores that is most of the time that a start takes. When it rejects, nothing is started; whoever asked stops it.
   */
  readonly after?: Promise<unknown> | undefined;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly onMessage?: (message: FromWorker) => void;
  /** A process that was there has ended, in whatever way. */
  readonly onEnd?: () => void;
}

export function startWorker(options: WorkerOptions): WorkerProcess {
  const { clock, emit, name, role } = options;
  let start = options.start;
  let child: ChildProcess | undefined;
  /** Settles when there is no process any more, or when there was none to be had. */
  let ended = Promise.resolve();
  /** On their way to it. */
  let handed = new Set<Socket>();
  let isStopping = false;
  let wasReady = false;
  let restartMs = FIRST_RESTART_MS;
  let restart: Timer | undefined;
  let restarts = 0;
  let startedAt = clock.now();
  let listening: readonly string[] = [];
  const first = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  // The supervisor may look at it later than it fails.
  first.promise.catch(() => {});

  const spawn = (): void => {
    startedAt = clock.now();
    let startedAtMs = clock.monotonicMs();
    const over = Promise.withResolvers<void>();
    ended = over.promise;
    const toIt = new Set<Socket>();
    handed = toIt;
    let isReady = false;
    let isOver = false;
    let complaint = "";
    let refusal: SettingsRefused | undefined;
    let readyTimer: Timer | undefined;
    // Counted in questions, not in time: while the machine or we stood still, nothing was asked.
    let unanswered = 0;
    let asking: Timer | undefined;
    /** Once, however Node tells it: `pid` of the process that ended, undefined where none could be started. */
    const gone = (pid: number | undefined, how: string): void => {
      if (isOver) return;
      isOver = true;
      over.resolve();
      readyTimer?.cancel();
      asking?.cancel();
      child = undefined;
      // Nobody tells what became of these, and they would stay open for ever; so does one that was being sent just then, for Node has
      // taken it out of our hands.
      for (const socket of toIt) socket.destroy();
      toIt.clear();
      if (pid !== undefined) options.onEnd?.();
      if (isStopping) {
        closed.resolve();
        return;
      }
      if (!wasReady) {
        first.reject(refusal ?? new Error(`process ${name} did not start: ${how}`));
        return;
      }
      if (clock.monotonicMs() - startedAtMs >= RECOVERED_AFTER_MS) restartMs = FIRST_RESTART_MS;
      if (pid === undefined) emit(events.workerNotStarted, { role, worker: name, how, againInMs: restartMs });
      else emit(events.workerLost, { role, worker: name, pid, how, restartInMs: restartMs });
      restarts++;
      restart = clock.after(restartMs, spawn);
      restartMs = Math.min(restartMs * 2, LONGEST_RESTART_MS);
    };
    let started: ChildProcess;
    try {
      const stdio: StdioOptions = ["ignore", "inherit", "inherit", "ipc", ...options.descriptors];
      started = fork(options.entry, [name, role], {
        execArgv: [...options.nodeOptions],
        serialization: "advanced",
        stdio,
        ...(options.env === undefined ? {} : { env: { ...process.env, ...options.env } }),
        ...(options.user === undefined ? {} : { uid: options.user.uid, gid: options.user.gid }),
      });
    } catch (thrown) {
      // Of what the system may answer Node tells some by an event, and throws the rest (no memory, for one).
      gone(undefined, messageOf(thrown));
      return;
    }
    child = started;
    const ask = (): void => {
      if (unanswered >= MOST_UNANSWERED) {
        emit(events.workerHangs, {
          role,
          worker: name,
          pid: started.pid ?? 0,
          forMs: MOST_UNANSWERED * ASK_EVERY_MS,
        });
        started.kill("SIGKILL");
        return;
      }
      unanswered++;
      if (started.connected) started.send({ kind: "alive?" } satisfies ToWorker, () => {});
      asking = clock.after(ASK_EVERY_MS, ask);
    };
    readyTimer = clock.after(READY_WITHIN_MS, () => {
      if (!isReady) started.kill("SIGKILL");
    });
    started.on("message", (message) => {
      // Our own worker of our own version speaks here.
      const said = message as FromWorker;
      if (said.kind === "alive") unanswered = 0;
      else if (said.kind === "closed") closed.resolve();
      else if (said.kind === "ready") {
        asking = clock.after(ASK_EVERY_MS, ask);
        isReady = true;
        wasReady = true;
        readyTimer?.cancel();
        emit(events.workerStarted, {
          role,
          worker: name,
          pid: started.pid ?? 0,
          tookMs: Math.round(clock.monotonicMs() - startedAtMs),
        });
        listening = said.listening;
        first.resolve();
      } else if (said.kind === "failed") {
        complaint = said.text;
        if (said.problems !== undefined) refusal = new SettingsRefused(said.problems);
      } else options.onMessage?.(said);
    });
    started.on("error", (error) => {
      complaint = messageOf(error);
      // Of a process that never was Node tells no end.
      if (started.pid === undefined) gone(undefined, complaint);
    });
    started.on("exit", (code, signal) => {
      const how = complaint !== "" ? complaint : signal !== null ? `signal ${signal}` : `exit status ${code}`;
      gone(started.pid ?? 0, how);
    });
    const begin = (): void => {
      startedAtMs = clock.monotonicMs();
      if (started.connected) started.send({ kind: "start", start } satisfies ToWorker, () => {});
    };
    if (wasReady || options.after === undefined) begin();
    else void options.after.then(begin, () => {});
  };
  spawn();

  return {
    name,
    role,
    pid: () => child?.pid,
    ready: first.promise,
    setStart(next) {
      start = next;
    },
    tell(message) {
      if (child?.connected === true) child.send(message, () => {});
    },
    hand(message, socket, onLost) {
      if (child?.connected !== true || handed.size >= MOST_HANDED) return false;
      const onTheWay = handed;
      onTheWay.add(socket);
      // Ours is closed as soon as theirs is open; what fails on the way closes both.
      child.send(message, socket, { keepOpen: false }, (error) => {
        onTheWay.delete(socket);
        socket.destroy();
        if (error !== null) onLost();
      });
      return true;
    },
    listening: () => listening,
    status: () => (child?.pid === undefined ? undefined : { role: name, pid: child.pid, startedAt, restarts }),
    async leave() {
      isStopping = true;
      restart?.cancel();
      if (child?.connected === true) child.send({ kind: "leave" } satisfies ToWorker, () => {});
      await ended;
      closed.resolve();
    },
    closed: closed.promise,
    async stop(givenMs) {
      // One that was never ready has no work to end.
      const deadlineMs = wasReady ? givenMs : 0;
      isStopping = true;
      restart?.cancel();
      const running = child;
      if (running === undefined) return;
      if (running.connected) running.send({ kind: "stop", deadlineMs } satisfies ToWorker, () => {});
      else running.kill("SIGTERM");
      // The worker has the deadline for its work, and a moment more to leave.
      const kill = clock.after(deadlineMs + 2000, () => {
        emit(events.workerUnresponsive, { role, worker: name, pid: running.pid ?? 0, deadlineMs });
        running.kill("SIGKILL");
      });
      await ended;
      kill.cancel();
    },
  };
}
