import { connect, Socket } from "node:net";
import { join } from "node:path";
import { systemClock } from "../../foundation/clock.io.ts";
import { messageOf, PosthornError } from "../../foundation/error.ts";
import type { Emit } from "../../foundation/events.ts";
import { createEmitter, recordedLevel, type Emitter } from "../../mail/log/emitter.ts";
import { keepConnected, type Channel } from "./channel.ts";
import { logHandOver } from "./log-hand-over.ts";
import type { FromWorker, Role, ToWorker, WorkerStart } from "./roles.ts";
import { SettingsRefused } from "../settings/settings-refused.ts";
import { RECONNECT_MS, type RunningRole } from "./worker-role.ts";

/**
 * A worker process of a split server: one role behind channels. It begins when the supervisor has told it what to be,
 * and ends when told to, when its role ends, or when the supervisor is gone.
 *
 *     ingress, egress, delivery ──▶ channels/scheduler.sock ◀── supervisor (queries and commands)
 *     ingress, egress, acme, lookup ──▶ keeper/keeper-1.sock ◀── supervisor (what is shown, without keys)
 *     ingress, scheduler, egress, delivery ──▶ channels/lookup-1.sock ◀── supervisor (how tables do)
 *     all ──▶ channels/log.sock
 *
 * Whoever connects to the scheduler says which role it is; what each may call is fixed by that. The sockets are in a
 * directory that only the workers' user and root can enter.
 */
/** A delivery process that is to go lets its transactions end: the longest that SMTP allows a next host to take. */
const LEAVE_DEADLINE_MS = 3_600_000;

export function runWorker(): void {
  // It may be a while until we are told to begin; what is wrong with the code is told then.
  for (const [role, load] of Object.entries(codeOf)) if (role === process.argv[3]) load().catch(() => {});
  let running: Promise<RunningRole> | undefined;
  const say = (message: FromWorker): void => {
    // A supervisor that has just gone cannot be told; its end is ours, by "disconnect".
    process.send?.(message, undefined, undefined, () => {});
  };
  const end = async (deadlineMs: number): Promise<void> => {
    await (await running)?.stop(deadlineMs);
    process.exit(0);
  };
  const leave = async (): Promise<void> => {
    const role = await running;
    if (role?.leave !== undefined) {
      const left = role.leave();
      say({ kind: "closed" });
      await left;
    }
    await end(LEAVE_DEADLINE_MS);
  };
  process.on("message", (received, handle) => {
    // Only the supervisor, of this same version, is at the other end.
    const message = received as ToWorker;
    // It is read from the moment it came, and may be lost before its role is there to listen.
    if (handle instanceof Socket) handle.on("error", () => {});
    if (message.kind === "start") {
      process.title = `posthorn: ${message.start.name}`;
      running = startRole(message.start, say);
      running.then(
        (role) => say({ kind: "ready", listening: role.listening ?? [] }),
        (thrown: unknown) => {
          const advice = thrown instanceof PosthornError ? `; ${thrown.advice}` : "";
          const problems = thrown instanceof SettingsRefused ? thrown.problems : undefined;
          say({ kind: "failed", text: `${messageOf(thrown)}${advice}`, problems });
          setTimeout(() => process.exit(70), 100);
        },
      );
    } else if (message.kind === "alive?") say({ kind: "alive" });
    else if (message.kind === "stop") void end(message.deadlineMs);
    else if (message.kind === "leave") void leave();
    else void running?.then((role) => role.onMessage?.(message, handle));
  });
  // Without a supervisor nobody restarts or stops us: finish what runs, and go.
  process.on("disconnect", () => void end(5000));
  // A terminal's Ctrl-C reaches the whole group; the supervisor is the one to answer it.
  for (const signal of ["SIGINT", "SIGHUP", "SIGTERM"] as const) process.on(signal, () => {});
}

async function startRole(start: WorkerStart, say: (message: FromWorker) => void): Promise<RunningRole> {
  if (start.role === "log") return (await codeOf.log()).logRole(start, say);
  const log = keepConnected({
    connect: () => connect(join(start.channels, "log.sock")),
    peer: "log",
    handlers: {},
    clock: systemClock,
    retryMs: RECONNECT_MS,
    onOpen: (channel) => {
      channel.note("iAm", [start.role]);
      emitter.flush();
    },
  });
  const emitter: Emitter = createEmitter({
    clock: systemClock,
    process: { role: start.name, pid: process.pid },
    level: recordedLevel(start.isVerbose, start.loaded.settings.log),
    hand: logHandOver(log.current),
  });
  const role = await roleOf(start, emitter.emit, log.current, say);
  return {
    ...role,
    onMessage(message, handle) {
      if (message.kind === "settings") emitter.setLevel(recordedLevel(start.isVerbose, message.loaded.settings.log));
      role.onMessage?.(message, handle);
    },
    async stop(deadlineMs) {
      await role.stop(deadlineMs);
      emitter.flush();
      // What was handed over leaves with the next turn of the event loop, and the channel flushes as it closes.
      await new Promise((resolve) => setImmediate(resolve));
      log.close();
      await new Promise((resolve) => setTimeout(resolve, 20));
    },
  };
}

/** Only the code of its own role is loaded into a process. */
const codeOf = {
  scheduler: () => import("./worker-scheduler.ts"),
  ingress: () => import("./worker-ingress.ts"),
  egress: () => import("./worker-egress.ts"),
  delivery: () => import("./worker-local.ts"),
  acme: () => import("./worker-acme.ts"),
  lookup: () => import("./worker-lookup.ts"),
  keeper: () => import("./worker-keeper.ts"),
  log: () => import("./worker-log.ts"),
} satisfies Record<Role, () => Promise<unknown>>;

async function roleOf(
  start: WorkerStart,
  emit: Emit,
  log: () => Channel | undefined,
  say: (message: FromWorker) => void,
): Promise<RunningRole> {
  switch (start.role) {
    case "scheduler":
      return (await codeOf.scheduler()).schedulerRole(start, emit, log, say);
    case "ingress":
      return (await codeOf.ingress()).ingressRole(start, emit, say);
    case "egress":
      return (await codeOf.egress()).egressRole(start, emit, say);
    case "delivery":
      return (await codeOf.delivery()).deliveryRole(start, emit);
    case "acme":
      return (await codeOf.acme()).acmeRole(start, emit, say);
    case "lookup":
      return (await codeOf.lookup()).lookupRole(start, emit);
    case "keeper":
      return (await codeOf.keeper()).keeperRole(start, emit);
    case "log":
      return (await codeOf.log()).logRole(start, say);
  }
}
