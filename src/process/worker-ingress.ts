import type { Emit } from "../foundation/events.ts";
import type { QueuePort } from "../mail/queue/queue.ts";
import { remote } from "./channel.ts";
import { startIngress } from "./ingress-role.ts";
import { queueMethods, type WorkerStart } from "./roles.ts";
import { connectToScheduler, roleParts, type RunningRole } from "./worker-role.ts";

/** Reception in a process of its own, on sockets that the supervisor bound. */
export async function ingressRole(start: WorkerStart, emit: Emit): Promise<RunningRole> {
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
