import { Socket } from "node:net";
import { systemClock } from "../../foundation/clock.io.ts";
import type { Timer } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { mailNameOf } from "../../mail/envelope/mail-name.ts";
import type { DomainWaker, QueuePort } from "../../mail/queue/queue.ts";
import type { Callouts } from "../../mail/scheduler/callouts.ts";
import { remote } from "./channel.ts";
import { dropIntake } from "../role/drop-intake.ts";
import { wantsDrop } from "../role/drop-watch.ts";
import { foldersOf } from "../folders.ts";
import { startIngress } from "../role/ingress-role.ts";
import { makeTracer } from "../role/make-tracer.ts";
import { remoteKeeper } from "./remote-keeper.ts";
import { remoteLookup } from "./remote-lookup.ts";
import { calloutMethods, queueMethods, wakerMethods, type FromWorker, type WorkerStart } from "./roles.ts";
import { Topics } from "../topics.ts";
import { connectToScheduler, roleParts, type RunningRole } from "./worker-role.ts";

/** How long what was counted may wait to be told: limits are as exact as that. */
const TELL_COUNTS_MS = 50;
/** The same of how filters do, which people look at. */
const TELL_FILTERS_MS = 2000;

/** Reception in a process of its own, on sockets that the supervisor bound. */
export async function ingressRole(
  start: WorkerStart,
  emit: Emit,
  say: (message: FromWorker) => void,
): Promise<RunningRole> {
  const scheduler = connectToScheduler(start, "ingress", {});
  const keeper = await remoteKeeper(start, "ingress");
  const lookup = remoteLookup(start.lookup, "ingress");
  await lookup.reached;
  const queue = remote<QueuePort>(scheduler.current, queueMethods, "scheduler");
  const tracer = makeTracer(start.loaded, systemClock, (file, text) => say({ kind: "dump", file, text }));
  const topics = new Topics(systemClock, emit);
  const ingress = await startIngress({
    ...roleParts(start, emit),
    queue,
    waker: remote<DomainWaker>(scheduler.current, wakerMethods, "scheduler"),
    callouts: remote<Callouts>(scheduler.current, calloutMethods, "scheduler"),
    keeper: keeper.keeper,
    lookup: lookup.port,
    tracer,
    topics,
    maker: start.maker,
    sessionPrefix: `${start.name.replace("ingress-", "i")}-`,
    inherited: (name) => start.listening.find(({ listener }) => listener === name)?.fd,
    isInherited: () => true,
  });
  const askedWho = new Map<
    number,
    { readonly promise: Promise<string>; readonly resolve: (account: string) => void }
  >();
  const { hostname, local, localSubmission } = start.loaded.settings;
  const drop = dropIntake({
    folder: foldersOf(start.loaded.settings.state).drop,
    claimer: start.name,
    clock: systemClock,
    emit,
    mostBytes: () => localSubmission.dropSize,
    hostname: () => hostname,
    mailName: () => mailNameOf(local, hostname),
    // The system's directory of users is for the supervisor to ask.
    accountOf: (uid) => {
      let asked = askedWho.get(uid);
      if (asked === undefined) {
        asked = Promise.withResolvers<string>();
        askedWho.set(uid, asked);
        say({ kind: "who", uid });
      }
      return asked.promise;
    },
    accept: (socket, known) => ingress.acceptLocal(socket, known),
  });
  if (wantsDrop(localSubmission)) drop.start();
  let telling: Timer | undefined;
  ingress.shareCounts(() => {
    telling ??= systemClock.after(TELL_COUNTS_MS, () => {
      telling = undefined;
      const counts = ingress.counts();
      if (counts !== undefined) say({ kind: "counts", counts });
    });
  });
  let told = "";
  const tellFilters = (): void => {
    const filters = ingress.filters();
    const text = JSON.stringify(filters);
    if (text !== told) say({ kind: "filters", filters });
    told = text;
    tellingFilters = systemClock.after(TELL_FILTERS_MS, tellFilters);
  };
  let tellingFilters: Timer | undefined;
  // The settings of a worker are those that it began with.
  if (ingress.filters().length > 0) tellFilters();
  say({ kind: "ask-counts" });
  say({ kind: "ask-traces" });
  return {
    listening: ingress.listening,
    async leave() {
      await Promise.all([drop.close(), ingress.leave()]);
    },
    onMessage(message, handle) {
      if (message.kind === "local-client") {
        const { client, known } = message;
        if (handle instanceof Socket && !handle.destroyed) {
          handle.once("close", () => say({ kind: "local-gone", client }));
          ingress.acceptLocal(handle, known);
        } else say({ kind: "local-gone", client });
      }
      if (message.kind === "who") {
        askedWho.get(message.uid)?.resolve(message.account);
        askedWho.delete(message.uid);
      }
      if (message.kind === "reception") ingress.setPaused(message.isPaused, message.because);
      if (message.kind === "traces") tracer.take(message.switches);
      if (message.kind === "topics") topics.take(message.switches);
      if (message.kind === "counts") ingress.learnCounts(message.from, message.counts);
      if (message.kind === "counts-gone") ingress.forgetCounts(message.from);
      if (message.kind === "tell-all-counts") ingress.tellAllCounts();
    },
    async stop(deadlineMs) {
      // Its mail is handed to reception, which ends what is too slow.
      await Promise.all([drop.close(), ingress.stop(deadlineMs)]);
      telling?.cancel();
      tellingFilters?.cancel();
      topics.close();
      scheduler.close();
      keeper.close();
      lookup.close();
    },
  };
}
