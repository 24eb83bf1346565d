import { connect } from "node:net";
import { join } from "node:path";
import { systemClock } from "../foundation/clock.io.ts";
import { messageOf, PosthornError } from "../foundation/error.ts";
import type { Emit } from "../foundation/events.ts";
import { createEmitter, type Emitter } from "../mail/log/emitter.ts";
import { encodeRecords } from "../mail/log/record.ts";
import { keepConnected, type Channel } from "./channel.ts";
import { localMethods, networkMethods, type FromWorker, type ToWorker, type WorkerStart } from "./roles.ts";
import { SettingsRefused } from "./settings-refused.ts";
import { MOST_LOG_BACKLOG_BYTES, RECONNECT_MS, roleParts, type RunningRole } from "./worker-role.ts";

/**
 * A worker process of a split server: one role behind channels. It begins when the supervisor has told it what to be,
 * and ends when told to, when its role ends, or when the supervisor is gone.
 *
 *     ingress, egress, delivery ──▶ channels/scheduler.sock ◀── supervisor (queries and commands)
 *     ingress, egress, acme ──▶ keeper/keeper-1.sock ◀── supervisor (what is shown, without keys)
 *     all ──▶ channels/log.sock
 *
 * Whoever connects to the scheduler says which role it is; what each may call is fixed by that. The sockets are in a
 * directory that only the workers' user and root can enter.
 */
/** A delivery process that is to go lets its transactions end: the longest that SMTP allows a next host to take. */
const LEAVE_DEADLINE_MS = 3_600_000;

export function runWorker(): void {
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
    await (await running)?.leave?.();
    await end(LEAVE_DEADLINE_MS);
  };
  process.on("message", (received) => {
    // Only the supervisor, of this same version, is at the other end.
    const message = received as ToWorker;
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
    } else if (message.kind === "stop") void end(message.deadlineMs);
    else if (message.kind === "leave") void leave();
    else void running?.then((role) => role.onMessage?.(message));
  });
  // Without a supervisor nobody restarts or stops us: finish what runs, and go.
  process.on("disconnect", () => void end(5000));
  // A terminal's Ctrl-C reaches the whole group; the supervisor is the one to answer it.
  for (const signal of ["SIGINT", "SIGHUP", "SIGTERM"] as const) process.on(signal, () => {});
}

async function startRole(start: WorkerStart, say: (message: FromWorker) => void): Promise<RunningRole> {
  if (start.role === "log") return (await import("./worker-log.ts")).logRole(start);
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
    level: start.isVerbose ? "debug" : start.loaded.settings.log.level,
    hand: (records) => {
      const channel = log.current();
      if (channel === undefined || !channel.isOpen || channel.backlogBytes() > MOST_LOG_BACKLOG_BYTES) return false;
      channel.note("write", [encodeRecords(records)]);
      return true;
    },
  });
  const role = await roleOf(start, emitter.emit, log.current, say);
  return {
    ...role,
    onMessage(message) {
      if (message.kind === "settings") emitter.setLevel(start.isVerbose ? "debug" : message.loaded.settings.log.level);
      role.onMessage?.(message);
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
async function roleOf(
  start: WorkerStart,
  emit: Emit,
  log: () => Channel | undefined,
  say: (message: FromWorker) => void,
): Promise<RunningRole> {
  switch (start.role) {
    case "scheduler":
      return (await import("./worker-scheduler.ts")).schedulerRole(start, emit, log, say);
    case "ingress":
      return (await import("./worker-ingress.ts")).ingressRole(start, emit, say);
    case "egress": {
      const { startEgress } = await import("./egress-role.ts");
      const { servedToScheduler } = await import("./worker-delivery.ts");
      const { remoteKeeper } = await import("./remote-keeper.ts");
      const keeper = await remoteKeeper(start, "egress");
      const { makeTracer } = await import("./make-tracer.ts");
      const tracer = makeTracer(start.loaded, systemClock, (file, text) => say({ kind: "dump", file, text }));
      const { Topics } = await import("./topics.ts");
      const topics = new Topics(systemClock, emit);
      const role = startEgress({ ...roleParts(start, emit), keeper: keeper.keeper, tracer, topics });
      say({ kind: "ask-traces" });
      return {
        ...(await servedToScheduler(start, role, networkMethods, () => keeper.close())),
        onMessage(message) {
          if (message.kind === "traces") tracer.take(message.switches);
          if (message.kind === "topics") topics.take(message.switches);
        },
      };
    }
    case "delivery": {
      const { startDelivery } = await import("./delivery-role.ts");
      const { servedToScheduler } = await import("./worker-delivery.ts");
      return servedToScheduler(start, startDelivery(roleParts(start, emit)), localMethods);
    }
    case "acme":
      return (await import("./worker-acme.ts")).acmeRole(start, emit, say);
    case "keeper":
      return (await import("./worker-keeper.ts")).keeperRole(start, emit);
    case "log":
      return (await import("./worker-log.ts")).logRole(start);
  }
}
