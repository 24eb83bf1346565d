import { connect } from "node:net";
import { join } from "node:path";
import { systemClock } from "../foundation/clock.io.ts";
import { messageOf, PosthornError } from "../foundation/error.ts";
import type { Emit } from "../foundation/events.ts";
import type { LocalDelivery, NetworkDelivery } from "../mail/delivery/delivery.ts";
import { createEmitter, type Emitter } from "../mail/log/emitter.ts";
import { decodeRecords, encodeRecords } from "../mail/log/record.ts";
import type { CommitRequest, QueuePort } from "../mail/queue/queue.ts";
import type { SchedulerAdmin } from "../mail/scheduler/admin.ts";
import { keepConnected, remote, type Channel, type Handlers } from "./channel.ts";
import { startDelivery } from "./delivery-role.ts";
import { egressPool, type EgressMember } from "./egress-pool.ts";
import { startEgress } from "./egress-role.ts";
import { foldersOf } from "./folders.ts";
import { startIngress } from "./ingress-role.ts";
import { startLog } from "./log-role.ts";
import type { InputJournal } from "../mail/scheduler/replay.ts";
import {
  adminMethods,
  localMethods,
  networkMethods,
  queueMethods,
  type FromWorker,
  type ToWorker,
  type WorkerStart,
} from "./roles.ts";
import { serveChannels } from "./served-channels.ts";
import { startScheduler } from "./scheduler-role.ts";

/**
 * A worker process of a split server: one role behind channels. It begins when the supervisor has told it what to be,
 * and ends when told to, when its role ends, or when the supervisor is gone.
 *
 *     ingress, egress, delivery ──▶ channels/scheduler.sock ◀── supervisor (queries and commands)
 *     all ──▶ channels/log.sock
 *
 * Whoever connects to the scheduler says which role it is; what each may call is fixed by that. The sockets are in a
 * directory that only the workers' user and root can enter.
 */
const RECONNECT_MS = 100;
/** Records that wait for the log process beyond this many bytes stay with their emitter, which bounds them. */
const MOST_LOG_BACKLOG_BYTES = 16 * 1024 * 1024;
const PATIENCE_MS = 5000;
/** A delivery process that is to go lets its transactions end: the longest that SMTP allows a next host to take. */
const LEAVE_DEADLINE_MS = 3_600_000;

interface RunningRole {
  readonly listening?: readonly string[];
  /** Takes nothing new; resolves when the last session has ended. */
  leave?(): Promise<void>;
  onMessage?(message: ToWorker): void;
  stop(deadlineMs: number): Promise<void>;
}

export function runWorker(): void {
  let running: Promise<RunningRole> | undefined;
  const say = (message: FromWorker): void => {
    process.send?.(message);
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
          say({ kind: "failed", text: `${messageOf(thrown)}${advice}` });
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
  if (start.role === "log") return logRole(start);
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
  const role = await {
    scheduler: () => schedulerRole(start, emitter.emit, log.current, say),
    ingress: () => ingressRole(start, emitter.emit),
    egress: () => servedToScheduler(start, startEgress(roleParts(start, emitter.emit)), networkMethods),
    delivery: () => servedToScheduler(start, startDelivery(roleParts(start, emitter.emit)), localMethods),
  }[start.role]();
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

function roleParts(start: WorkerStart, emit: Emit) {
  return { loaded: start.loaded, folders: foldersOf(start.loaded.settings.state), clock: systemClock, emit };
}

async function logRole(start: WorkerStart): Promise<RunningRole> {
  const log = startLog({
    ...start,
    folders: foldersOf(start.loaded.settings.state),
    clock: systemClock,
    mergeMs: 100,
  });
  const server = await serveChannels(join(start.channels, "log.sock"), (_role, channel) => {
    let forget: (() => void) | undefined;
    return {
      handlers: {
        write: (batch: string) => log.write(decodeRecords(batch)),
        recordInput: (at: number, json: string, isStart: boolean) => log.recordInput(at, json, isStart),
        subscribe: () => {
          forget ??= log.subscribe((records) => {
            // A reader that is too slow misses events rather than making the log wait.
            if (channel.backlogBytes() < MOST_LOG_BACKLOG_BYTES) channel.note("events", [encodeRecords(records)]);
          });
        },
      },
      onEnd: () => forget?.(),
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
      if (isStuck) process.kill(process.pid, "SIGKILL");
    },
  };
}

async function schedulerRole(
  start: WorkerStart,
  emit: Emit,
  log: () => Channel | undefined,
  say: (message: FromWorker) => void,
): Promise<RunningRole> {
  const pool = egressPool({ clock: systemClock, patienceMs: PATIENCE_MS });
  const inputs = inputsOver(log, start.loaded.settings.journal);
  const locals = new Set<LocalDelivery>();
  const scheduler = await startScheduler({
    ...roleParts(start, emit),
    maker: start.maker,
    network: pool,
    local: {
      async deliver(request) {
        // The newest delivery process has the newest settings.
        const newest = [...locals].at(-1);
        if (newest !== undefined) return newest.deliver(request);
        throw new PosthornError("ROLE_UNAVAILABLE", {
          message: "no delivery process is there",
          advice: "the supervisor restarts it; look for its last lines in the log",
        });
      },
    },
    inputs,
    onReception: (isPaused, because) => say({ kind: "reception", isPaused, because }),
  });
  const { queue, admin } = scheduler;
  const server = await serveChannels(join(start.channels, "scheduler.sock"), (role, channel) => {
    switch (role) {
      case "ingress":
        return { handlers: { commit: (request: CommitRequest) => queue.commit(request) } };
      case "supervisor":
        return { handlers: adminHandlers(admin) };
      case "egress": {
        const member: EgressMember = { port: remote<NetworkDelivery>(() => channel, networkMethods, "egress") };
        pool.add(member);
        return { handlers: { retire: () => pool.retire(member) }, onEnd: () => pool.remove(member) };
      }
      case "delivery": {
        const local = remote<LocalDelivery>(() => channel, localMethods, "delivery");
        locals.add(local);
        const retire = (): void => void locals.delete(local);
        return { handlers: { retire }, onEnd: retire };
      }
      default:
        return { handlers: {} };
    }
  });
  return {
    onMessage(message) {
      if (message.kind === "settings") scheduler.reload(message.loaded);
    },
    async stop(deadlineMs) {
      await scheduler.stop(deadlineMs);
      server.close();
    },
  };
}

/**
 * The journal's inputs over a channel: counts by itself when a new start is due. A channel that is new or was away has
 * missed something, so a start is due then, too.
 */
function inputsOver(
  log: () => Channel | undefined,
  { enabled, inputs }: WorkerStart["loaded"]["settings"]["journal"],
): InputJournal {
  let known: Channel | undefined;
  let charactersSinceStart = Number.POSITIVE_INFINITY;
  return {
    get wantsStart() {
      if (!enabled || !inputs.enabled) return false;
      return log() !== known || charactersSinceStart > inputs.size / 4;
    },
    recordInput(at, json, isStart) {
      const channel = log();
      if (!enabled || !inputs.enabled || channel === undefined) return;
      if (isStart) known = channel;
      charactersSinceStart = isStart ? 0 : charactersSinceStart + json.length;
      if (channel.backlogBytes() < MOST_LOG_BACKLOG_BYTES) channel.note("recordInput", [at, json, isStart]);
      else known = undefined;
    },
  };
}

/** The operator's side as calls; both ends have the same contract. */
function adminHandlers(admin: SchedulerAdmin): Handlers {
  return Object.fromEntries(
    adminMethods.map((method) => [method, (...args: never[]) => Reflect.apply(admin[method], admin, args) as unknown]),
  );
}

async function ingressRole(start: WorkerStart, emit: Emit): Promise<RunningRole> {
  const scheduler = connectToScheduler(start, "ingress", {});
  const queue = remote<QueuePort>(scheduler.current, queueMethods, "scheduler");
  const ingress = await startIngress({
    ...roleParts(start, emit),
    queue,
    maker: start.maker,
    sessionPrefix: `${start.name.replace("ingress-", "i")}-`,
    inherited: new Map(start.listening.map(({ listener, fd }) => [listener, fd])),
  });
  return {
    listening: ingress.listening,
    leave: () => ingress.leave(),
    onMessage(message) {
      if (message.kind === "reception") ingress.setPaused(message.isPaused, message.because);
    },
    async stop(deadlineMs) {
      await ingress.stop(deadlineMs);
      scheduler.close();
    },
  };
}

/** Egress and delivery: they serve the scheduler over a connection that they make. */
async function servedToScheduler(
  start: WorkerStart,
  role: AsyncDisposable & { readonly port: object },
  methods: readonly string[],
): Promise<RunningRole> {
  let inCall = 0;
  let isStopping = false;
  let onIdle = (): void => {};
  const sessions = new Set<string>();
  const handlers: Handlers = Object.fromEntries(
    methods.map((method) => [
      method,
      async (...args: never[]): Promise<unknown> => {
        inCall++;
        try {
          const answer: unknown = await Reflect.apply(Reflect.get(role.port, method) as () => unknown, role.port, args);
          noteSession(sessions, method, args[0], answer);
          return answer;
        } finally {
          inCall--;
          if (isStopping && inCall === 0 && sessions.size === 0) onIdle();
        }
      },
    ]),
  );
  const scheduler = connectToScheduler(start, start.role, handlers);
  return {
    async stop(deadlineMs) {
      isStopping = true;
      scheduler.current()?.note("retire", []);
      if (inCall > 0 || sessions.size > 0) {
        await new Promise<void>((resolve) => {
          onIdle = resolve;
          setTimeout(resolve, deadlineMs).unref();
        });
      }
      // The answer to the last call is still to be written.
      await new Promise((resolve) => setTimeout(resolve, 10));
      await role[Symbol.asyncDispose]();
      scheduler.close();
    },
  };
}

/** Which network sessions are open, from the calls that pass: a leaving process waits for them. */
function noteSession(sessions: Set<string>, method: string, request: unknown, answer: unknown): void {
  const sessionOf = (of: unknown): string | undefined =>
    typeof of === "object" && of !== null && "session" in of && typeof of.session === "string" ? of.session : undefined;
  const isTrue = (key: string): boolean =>
    typeof answer === "object" && answer !== null && Reflect.get(answer, key) === true;
  if (method === "connect" && isTrue("ok")) sessions.add(sessionOf(request) ?? "");
  if (method === "transact" && !isTrue("isUsable")) sessions.delete(sessionOf(request) ?? "");
  if (method === "leave" && typeof request === "string") sessions.delete(request);
}

function connectToScheduler(start: WorkerStart, role: string, handlers: Handlers) {
  return keepConnected({
    connect: () => connect(join(start.channels, "scheduler.sock")),
    peer: "scheduler",
    handlers,
    clock: systemClock,
    retryMs: RECONNECT_MS,
    onOpen: (channel) => channel.note("iAm", [role]),
  });
}
