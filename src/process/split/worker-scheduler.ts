import { join } from "node:path";
import { systemClock } from "../../foundation/clock.io.ts";
import type { Emit } from "../../foundation/events.ts";
import type { LocalDelivery, NetworkDelivery } from "../../mail/delivery/delivery.ts";
import type { CalloutAsk } from "../../mail/envelope/restrictions/callout.ts";
import type { CommitRequest, WakeRequest } from "../../mail/queue/queue.ts";
import type { SchedulerAdmin } from "../../mail/scheduler/admin/admin.ts";
import { remote, type Channel, type Handlers } from "./channel.ts";
import { egressPool, type EgressMember } from "../role/egress-pool.ts";
import { localPool } from "./local-pool.ts";
import { adminMethods, localMethods, networkMethods, type FromWorker, type WorkerStart } from "./roles.ts";
import { remoteInputs } from "./remote-inputs.ts";
import { remoteLookup } from "./remote-lookup.ts";
import { startScheduler } from "../role/scheduler-role.ts";
import { serveChannels } from "./served-channels.ts";
import { Topics } from "../topics.ts";
import { roleParts, type RunningRole } from "./worker-role.ts";

/** A process that was lost is back within a second or two; on a start, the others come after the scheduler. */
const PATIENCE_MS = 10_000;

/** The scheduler in a process of its own: everybody else's channel leads here. */
export async function schedulerRole(
  start: WorkerStart,
  emit: Emit,
  log: () => Channel | undefined,
  say: (message: FromWorker) => void,
): Promise<RunningRole> {
  const { version } = start;
  const pool = egressPool({ clock: systemClock, patienceMs: PATIENCE_MS, version });
  const inputs = remoteInputs(log, start.loaded.settings.journal, systemClock);
  const locals = localPool({ clock: systemClock, patienceMs: PATIENCE_MS, version });
  const topics = new Topics(systemClock, emit);
  let lookup = remoteLookup(start.lookup, "scheduler");
  const scheduler = await startScheduler({
    ...roleParts(start, emit),
    maker: start.maker,
    network: pool,
    local: locals,
    lookup: lookup.port,
    inputs,
    topics,
    onReception: (isPaused, because) => say({ kind: "reception", isPaused, because }),
  });
  const { queue, waker, callouts, admin } = scheduler;
  const server = await serveChannels(join(start.channels, "scheduler.sock"), (role, channel, itsVersion) => {
    switch (role) {
      case "ingress":
        return {
          handlers: {
            commit: (request: CommitRequest) => queue.commit(request),
            wake: (request: WakeRequest) => waker.wake(request),
            callOut: (ask: CalloutAsk) => callouts.callOut(ask),
          },
        };
      case "supervisor":
        return { handlers: adminHandlers(admin) };
      case "egress": {
        const member: EgressMember = { port: remote<NetworkDelivery>(() => channel, networkMethods, "egress") };
        pool.add(member, itsVersion);
        return { handlers: { retire: () => pool.retire(member) }, onEnd: () => pool.remove(member) };
      }
      case "delivery": {
        const local = remote<LocalDelivery>(() => channel, localMethods, "delivery");
        locals.add(local, itsVersion);
        return { handlers: { retire: () => locals.retire(local) }, onEnd: () => locals.remove(local) };
      }
      default:
        return { handlers: {} };
    }
  });
  say({ kind: "ask-traces" });
  // It knows of no pause: one that was set before this process came in the place of another is over.
  say({ kind: "reception", isPaused: false, because: "" });
  say({ kind: "serving", version });
  return {
    onMessage(message) {
      if (message.kind === "settings") {
        const before = lookup;
        lookup = remoteLookup(message.lookup, "scheduler");
        // All in one turn: what is decided by these settings is sent and delivered by them.
        pool.serve(message.version);
        locals.serve(message.version);
        scheduler.reload(message.loaded, lookup.port);
        before.close();
        say({ kind: "serving", version: message.version });
      }
      if (message.kind === "topics") topics.take(message.switches);
    },
    async stop(deadlineMs) {
      await scheduler.stop(deadlineMs);
      inputs.send();
      server.close();
      lookup.close();
    },
  };
}

/** The operator's side as calls; both ends have the same contract. */
function adminHandlers(admin: SchedulerAdmin): Handlers {
  return Object.fromEntries(
    adminMethods.map((method) => [method, (...args: never[]) => Reflect.apply(admin[method], admin, args) as unknown]),
  );
}
