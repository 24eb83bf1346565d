import { systemClock } from "../foundation/clock.io.ts";
import type { Timer } from "../foundation/clock.ts";
import type { Emit } from "../foundation/events.ts";
import type { DomainWaker, QueuePort } from "../mail/queue/queue.ts";
import { remote } from "./channel.ts";
import { startIngress } from "./ingress-role.ts";
import { makeTracer } from "./make-tracer.ts";
import { remoteKeeper } from "./remote-keeper.ts";
import { queueMethods, wakerMethods, type FromWorker, type WorkerStart } from "./roles.ts";
import { Topics } from "./topics.ts";
import { connectToScheduler, roleParts, type RunningRole } from "./worker-role.ts";

/** How long what was counted may wait to be told: limits are as exact as that. */
const TELL_COUNTS_MS = 50;

/** Reception in a process of its own, on sockets that the supervisor bound. */
export async function ingressRole(
  start: WorkerStart,
  emit: Emit,
  say: (message: FromWorker) => void,
): Promise<RunningRole> {
  const scheduler = connectToScheduler(start, "ingress", {});
  const keeper = await remoteKeeper(start, "ingress");
  const queue = remote<QueuePort>(scheduler.current, queueMethods, "scheduler");
  const tracer = makeTracer(start.loaded, systemClock, (file, text) => say({ kind: "dump", file, text }));
  const topics = new Topics(systemClock, emit);
  const ingress = await startIngress({
    ...roleParts(start, emit),
    queue,
    waker: remote<DomainWaker>(scheduler.current, wakerMethods, "scheduler"),
    keeper: keeper.keeper,
    tracer,
    topics,
    maker: start.maker,
    sessionPrefix: `${start.name.replace("ingress-", "i")}-`,
    inherited: new Map(start.listening.map(({ listener, fd }) => [listener, fd])),
  });
  let telling: Timer | undefined;
  ingress.shareCounts(() => {
    telling ??= systemClock.after(TELL_COUNTS_MS, () => {
      telling = undefined;
      const counts = ingress.counts();
      if (counts !== undefined) say({ kind: "counts", counts });
    });
  });
  say({ kind: "ask-counts" });
  say({ kind: "ask-traces" });
  return {
    listening: ingress.listening,
    leave: () => ingress.leave(),
    onMessage(message) {
      if (message.kind === "reception") ingress.setPaused(message.isPaused, message.because);
      if (message.kind === "traces") tracer.take(message.switches);
      if (message.kind === "topics") topics.take(message.switches);
      if (message.kind === "counts") ingress.learnCounts(message.from, message.counts);
      if (message.kind === "counts-gone") ingress.forgetCounts(message.from);
      if (message.kind === "tell-all-counts") ingress.tellAllCounts();
    },
    async stop(deadlineMs) {
      await ingress.stop(deadlineMs);
      telling?.cancel();
      topics.close();
      scheduler.close();
      keeper.close();
    },
  };
}
