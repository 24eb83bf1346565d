import { userNames } from "../user-names.ts";
import { availableParallelism } from "node:os";
import { connect } from "node:net";
import { join } from "node:path";
import type { Clock } from "../../foundation/clock.ts";
import { withDeadline } from "../../foundation/deadline.ts";
import { messageOf } from "../../foundation/error.ts";
import { createEmitter, recordedLevel } from "../../mail/log/emitter.ts";
import { decodeRecords, type EventRecord } from "../../mail/log/record.ts";
import { releaseClaims } from "../../mail/connection/drop-folder.io.ts";
import type { SchedulerAdmin } from "../../mail/scheduler/admin/admin.ts";
import type { SinkTrouble } from "../../mail/log/sink-troubles.ts";
import type { AcmeStatus } from "../../service/acme/acme.ts";
import { acmeItemsOf } from "../settings/acme-files.ts";
import { accessFor, listingOf, SHOWN_WITHIN_MS, wordsFor, type Accesses } from "./accesses.ts";
import { keepConnected, remote } from "./channel.ts";
import { tellWhatWaits } from "../role/drop-watch.ts";
import * as events from "../events.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import { HandedClients } from "./handed-clients.ts";
import { launchOptions, startOf, type LaunchWorld, type Versioned } from "./launch.ts";
import { ListeningPlaces } from "./listening-places.ts";
import { logHandOver } from "./log-hand-over.ts";
import { canMoveLog, type LogTarget } from "./log-place.ts";
import type { LookupPort } from "../role/lookup.ts";
import { freeMakers, SCHEDULER_MAKER } from "./makers.ts";
import { needsLookup } from "../settings/lookup-needs.ts";
import { processCounts, type ProcessCounts } from "./process-counts.ts";
import { remoteLookup } from "./remote-lookup.ts";
import { adminMethods, type FromWorker, LOOKUP_CALLERS, type KeeperAccess, type Role, type ToWorker } from "./roles.ts";
import { loadedFor } from "./role-settings.ts";
import { STOP_DEADLINE_MS, stopTime, type Server } from "../server.ts";
import { TopicTraces } from "../topics.ts";
import { mergedHealth, type ShownFilter } from "../../mail/filter/merged-health.ts";
import { Traces } from "../traces.ts";
import { startWorker, type WorkerProcess } from "./worker-process.ts";

/**
 * The first process of a split server: binds the ports, starts the workers and starts them again when they end, and puts
 * new settings in force as a whole. It never accepts a connection from the network. Started by root it stays root, and every
 * worker is somebody else.
 *
 * Start: keeper and log → lookup → scheduler → egress and delivery → ingress → acme, each ready before the next. Stop: the other way
 * round. No key is ever in this process: the keeper opens them, and refuses settings whose certificates are wrong.
 * Reload: see docs/decisions/0001-processes.md.
 */
export interface SupervisorParts extends LaunchWorld {
  readonly loaded: LoadedSettings;
  readonly clock: Clock;
  /** Sockets that systemd bound, by listener. */
  readonly inherited: ReadonlyMap<string, number>;
}

/** Together those that ask nothing of each other any more. */
const STOP_ORDER: readonly (readonly Role[])[] = [
  ["acme"],
  ["ingress"],
  ["scheduler"],
  ["egress", "delivery"],
  ["lookup", "keeper"],
];
/** One that is away for longer has the settings that it is to go by from its next start. */
const SCHEDULER_TAKES_WITHIN_MS = 10_000;
/** A process that was told to leave and does not turn is no reason to wait longer. */
const CLOSED_WITHIN_MS = 2_000;

interface Keeping {
  readonly worker: WorkerProcess;
  readonly access: KeeperAccess;
}

export async function startSupervisor(parts: SupervisorParts): Promise<Server> {
  const { clock, folders } = parts;
  const startedAt = clock.now();
  /** Settings that were given so far; those that were refused count. */
  let version = 1;
  let loaded: Versioned = { ...parts.loaded, version };
  const places = new ListeningPlaces(parts.inherited);
  const workers = new Set<WorkerProcess>();
  /** Workers of earlier settings, until their last session has ended. */
  const leaving = new Map<WorkerProcess, Promise<void>>();
  const makers = new Map<WorkerProcess, number>();
  const versions = new Map<WorkerProcess, number>();
  const listeners = new Set<(records: readonly EventRecord[]) => void>();
  let onServing = (_version: number): void => {};
  let reception = { isPaused: false, because: "" };
  let ingressCount = 0;
  let egressCount = 0;
  let keeperCount = 0;
  const localClients = new HandedClients();
  const names = userNames(clock);
  let acmeCount = 0;
  let lookupCount = 0;
  const acmeStatus = new Map<string, readonly AcmeStatus[]>();
  let logTroubles: readonly SinkTrouble[] = [];
  /** By the name of the ingress. */
  const filterHealth = new Map<string, readonly ShownFilter[]>();

  const log = keepConnected({
    connect: () => connect(join(folders.channels, "log.sock")),
    peer: "log",
    handlers: {
      events: (batch: string) => {
        const records = decodeRecords(batch);
        for (const listener of listeners) listener(records);
      },
    },
    clock,
    retryMs: 100,
    onOpen: (channel) => {
      channel.note("iAm", ["supervisor"]);
      if (listeners.size > 0) channel.note("subscribe", []);
      emitter.flush();
    },
  });
  const emitter = createEmitter({
    clock,
    process: { role: "supervisor", pid: process.pid },
    level: recordedLevel(parts.isVerbose, loaded.settings.log),
    hand: logHandOver(log.current),
  });
  const { emit } = emitter;
  const scheduler = keepConnected({
    connect: () => connect(join(folders.channels, "scheduler.sock")),
    peer: "scheduler",
    handlers: {},
    clock,
    retryMs: 100,
    onOpen: (channel) => channel.note("iAm", ["supervisor"]),
  });
  const admin = remote<SchedulerAdmin>(scheduler.current, adminMethods, "scheduler");

  const tellOtherIngress = (name: string, message: ToWorker): void => {
    for (const worker of new Set([...workers, ...leaving.keys()]))
      if (worker.role === "ingress" && worker.name !== name) worker.tell(message);
  };
  const tellTraces = (isMeant: (worker: WorkerProcess) => boolean): void => {
    for (const worker of new Set([...workers, ...leaving.keys()]))
      if (isMeant(worker)) worker.tell({ kind: "traces", switches: traces.switches });
  };
  const traces = new Traces({
    clock,
    emit,
    directory: folders.traces,
    tell: () => tellTraces(({ role }) => role === "ingress" || role === "egress"),
  });
  const tellTopics = (isMeant: (worker: WorkerProcess) => boolean): void => {
    for (const worker of new Set([...workers, ...leaving.keys()]))
      if (isMeant(worker)) worker.tell({ kind: "topics", switches: topics.switches });
  };
  const topics = new TopicTraces({
    clock,
    emit,
    tell: () => tellTopics(({ role }) => role === "ingress" || role === "egress" || role === "scheduler"),
  });
  const onMessage = (message: FromWorker, name: string): void => {
    if (message.kind === "counts") tellOtherIngress(name, { kind: "counts", from: name, counts: message.counts });
    if (message.kind === "ask-counts") {
      tellOtherIngress(name, { kind: "tell-all-counts" });
      // It may have come in the place of one that had been told.
      for (const worker of workers) if (worker.name === name) worker.tell({ kind: "reception", ...reception });
    }
    if (message.kind === "who") {
      const { uid } = message;
      void names.of(uid).then((account) => {
        for (const worker of new Set([...workers, ...leaving.keys()]))
          if (worker.name === name) worker.tell({ kind: "who", uid, account });
      });
    }
    if (message.kind === "local-gone") localClients.end(name, message.client);
    if (message.kind === "serving") onServing(message.version);
    if (message.kind === "acme") acmeStatus.set(name, message.status);
    if (message.kind === "log-troubles") logTroubles = message.troubles;
    if (message.kind === "filters") filterHealth.set(name, message.filters);
    if (message.kind === "dump") traces.dump(message.file, message.text);
    if (message.kind === "ask-traces") {
      tellTraces((worker) => worker.name === name);
      tellTopics((worker) => worker.name === name);
    }
    if (message.kind !== "reception") return;
    reception = { isPaused: message.isPaused, because: message.because };
    // Those of earlier settings, too: their sessions may go on for hours.
    tellOtherIngress(name, { kind: "reception", ...reception });
  };

  /** Mail of this host's users that an ingress which is no more had taken in hand. */
  const freeDropped = (claimer?: string): void => {
    try {
      releaseClaims(folders.drop, claimer);
    } catch (thrown) {
      emit(events.roleTrouble, { role: "supervisor", problem: messageOf(thrown) });
    }
  };

  const start = (
    role: Role,
    name: string,
    from: Versioned,
    maker: number,
    access: Accesses = {},
    after?: Promise<unknown>,
  ): WorkerProcess => {
    const worker = startWorker({
      ...launchOptions(parts, { role, name, from, maker, access, bound: places.of(role, from) }),
      after,
      clock,
      emit,
      onMessage: (message) => onMessage(message, name),
      onEnd: () => {
        if (role !== "ingress") return;
        tellOtherIngress(name, { kind: "counts-gone", from: name });
        freeDropped(name);
        localClients.endAll(name);
      },
    });
    workers.add(worker);
    makers.set(worker, maker);
    versions.set(worker, from.version);
    return worker;
  };
  const stopped = (worker: WorkerProcess): void => {
    acmeStatus.delete(worker.name);
    filterHealth.delete(worker.name);
    workers.delete(worker);
    leaving.delete(worker);
    makers.delete(worker);
    versions.delete(worker);
  };

  /** Each version of the settings has a keeper of its own: what it may read is fixed when it starts. */
  const startKeeper = (from: Versioned): Keeping => {
    const name = `keeper-${++keeperCount}`;
    const access = {
      path: join(folders.keeper, `${name}.sock`),
      words: wordsFor(["ingress", "egress", "acme", "lookup", "supervisor"]),
    };
    return { access, worker: start("keeper", name, from, SCHEDULER_MAKER, { keeper: access }) };
  };
  /** Likewise, for its permissions depend on the tables; none where there is nothing to look up. */
  const startLookup = (from: Versioned, keeper: KeeperAccess, after: Promise<unknown>): Keeping | undefined => {
    if (!needsLookup(from.settings)) return undefined;
    const name = `lookup-${++lookupCount}`;
    const access = { path: join(folders.channels, `${name}.sock`), words: wordsFor(LOOKUP_CALLERS) };
    return { access, worker: start("lookup", name, from, SCHEDULER_MAKER, { keeper, lookup: access }, after) };
  };

  const askLookup = async <Value>(ask: (port: LookupPort) => Promise<Value>): Promise<Value | undefined> => {
    if (lookedUp === undefined) return undefined;
    const connection = remoteLookup(lookedUp.access, "supervisor");
    try {
      return await withDeadline(clock, SHOWN_WITHIN_MS, "the answer of the lookup process", () =>
        connection.reached.then(() => ask(connection.port)),
      );
    } finally {
      connection.close();
    }
  };

  const countsFor = (next: Versioned): ProcessCounts => processCounts(next.settings.processes, availableParallelism());
  /** For those that will receive; refuses, so it comes before anything is started. */
  const makersFor = (next: Versioned): readonly number[] => freeMakers(makers.values(), countsFor(next).ingress);
  /** The processes that change with the settings, all of them ready. */
  const startChanging = async (
    next: Versioned,
    keeping: Keeping,
    lookup: Keeping | undefined,
    after: Promise<unknown>,
    receiving: readonly number[],
    beforeReception: () => Promise<void> = async () => {},
  ): Promise<readonly WorkerProcess[]> => {
    const { egress } = countsFor(next);
    const access: Accesses = { keeper: keeping.access, lookup: lookup?.access };
    const lookups: Accesses = { lookup: lookup?.access };
    const deliveries = [start("delivery", "delivery", next, SCHEDULER_MAKER, lookups, after)];
    for (let index = 0; index < egress; index++)
      deliveries.push(start("egress", `egress-${++egressCount}`, next, SCHEDULER_MAKER, access, after));
    const delivering = Promise.all(deliveries.map((worker) => worker.ready)).then(beforeReception);
    const started = [keeping.worker, ...(lookup === undefined ? [] : [lookup.worker]), ...deliveries];
    // It is looked at below, but perhaps not before it has failed.
    delivering.catch(() => {});
    for (const maker of receiving)
      started.push(start("ingress", `ingress-${++ingressCount}`, next, maker, access, delivering));
    await after;
    await delivering;
    await Promise.all(started.map((worker) => worker.ready));
    // Last, for the one before goes on until all are ready: two at once would answer for each other.
    if (acmeItemsOf(next.settings).length > 0) {
      const worker = start("acme", `acme-${++acmeCount}`, next, SCHEDULER_MAKER, { keeper: keeping.access });
      started.push(worker);
      await worker.ready;
    }
    if (reception.isPaused) onMessage({ kind: "reception", ...reception }, "supervisor");
    return started;
  };
  const letGo = (worker: WorkerProcess): void => {
    workers.delete(worker);
    leaving.set(
      worker,
      worker.leave().finally(() => stopped(worker)),
    );
  };
  /**
   * Ends what was started for settings that are not to be. First nobody receives by them any more, then (`back`) the scheduler hands
   * nothing out by them; what is being sent and delivered goes on to its end, for mail that is cut off arrives twice.
   */
  const giveUp = async (refused: Versioned, back: () => Promise<void>): Promise<void> => {
    const theirs = [...workers].filter((worker) => versions.get(worker) === refused.version);
    const [receiving, sending] = [theirs.filter(mayReceive), theirs.filter((worker) => !mayReceive(worker))];
    await Promise.all(receiving.map((worker) => worker.stop(STOP_DEADLINE_MS).finally(() => stopped(worker))));
    await back();
    for (const worker of sending) letGo(worker);
  };

  const stopAll = async (deadlineMs: number): Promise<void> => {
    const left = stopTime(clock, deadlineMs);
    // Receivers first; the deliveries after the scheduler, which lets what it handed out come back.
    for (const roles of STOP_ORDER) {
      const ofRoles = [...workers, ...leaving.keys()].filter(({ role }) => roles.includes(role));
      await Promise.all(ofRoles.map((worker) => worker.stop(left()).finally(() => stopped(worker))));
    }
    scheduler.close();
  };
  const stopLog = async (): Promise<void> => {
    traces.close();
    emitter.flush();
    await new Promise((done) => setTimeout(done, 50));
    log.close();
    await Promise.all([...workers].map((worker) => worker.stop(5000).finally(() => stopped(worker))));
    places.releaseAll();
  };

  /** Other settings for a process that lives on. */
  const tellStaying = (worker: WorkerProcess, from: Versioned, lookup: Keeping | undefined): void => {
    const theirs = lookup === undefined ? {} : { lookup: accessFor("scheduler", "lookup", lookup.access) };
    worker.setStart({ ...startOf(parts, worker.role, from), ...theirs, name: worker.name });
    worker.tell({ kind: "settings", version: from.version, loaded: loadedFor(worker.role, from), ...theirs });
  };
  /** Resolves when the scheduler goes by these settings, and so do those that it hands out to. */
  const tellScheduler = async (from: Versioned, lookup: Keeping | undefined): Promise<void> => {
    const served = new Promise<void>((resolve) => {
      onServing = (now) => (now === from.version ? resolve() : undefined);
    });
    tellStaying(schedulerWorker, from, lookup);
    await withDeadline(clock, SCHEDULER_TAKES_WITHIN_MS, "the scheduler's word", () => served).catch(() => {});
  };

  let changing: readonly WorkerProcess[];
  let kept: Keeping;
  let lookedUp: Keeping | undefined;
  let logWorker: WorkerProcess;
  /** Where it may write stays as it is, whatever later settings say; so does what it is told when it is started anew. */
  const logAtStart = loaded.settings.log.to;
  let logAt = logAtStart;
  let schedulerWorker: WorkerProcess;
  try {
    await places.bind(loaded);
    freeDropped();
    const keeping = startKeeper(loaded);
    kept = keeping;
    logWorker = start("log", "log", loaded, SCHEDULER_MAKER);
    // All of them load their code at once, and begin one after the other, each when those are there whom it asks.
    const asked = Promise.all([logWorker.ready, keeping.worker.ready]);
    lookedUp = startLookup(loaded, keeping.access, asked);
    const known = Promise.all([asked, lookedUp?.worker.ready]);
    schedulerWorker = start("scheduler", "scheduler", loaded, SCHEDULER_MAKER, { lookup: lookedUp?.access }, known);
    const all = Promise.all([known, schedulerWorker.ready]);
    changing = await startChanging(loaded, keeping, lookedUp, all, makersFor(loaded));
  } catch (thrown) {
    // Mail of the queue may be on its way already.
    await stopAll(STOP_DEADLINE_MS);
    await stopLog();
    throw thrown;
  }

  tellWhatWaits(folders.drop, loaded.settings.localSubmission, emit);
  const acmeNow = (): readonly AcmeStatus[] =>
    changing.flatMap(({ role, name }) => (role === "acme" ? (acmeStatus.get(name) ?? []) : []));
  return {
    layout: "split",
    get listening() {
      return changing.find((worker) => worker.role === "ingress")?.listening() ?? [];
    },
    admin,
    filters: () => mergedHealth(changing.flatMap(({ name }) => [filterHealth.get(name) ?? []])),
    emit,
    traces,
    topics,
    get loaded() {
      return loaded;
    },
    subscribe(listener) {
      // Events come to us only while somebody listens: each of them would cost this process as much as the log's.
      if (listeners.size === 0) log.current()?.note("subscribe", []);
      listeners.add(listener);
      return () => {
        if (listeners.delete(listener) && listeners.size === 0) log.current()?.note("unsubscribe", []);
      };
    },
    async reload(given) {
      const next: Versioned = { ...given, version: ++version };
      const receiving = makersFor(next);
      const fresh = await places.bind(next);
      const keeping = startKeeper(next);
      let lookup: Keeping | undefined;
      let started: readonly WorkerProcess[];
      let isSchedulerTold = false;
      let isGivenUp = false;
      try {
        lookup = startLookup(next, keeping.access, keeping.worker.ready);
        const asked = Promise.all([keeping.worker.ready, lookup?.worker.ready]);
        // Before the first of the new ones receives: what that accepts goes the way of the settings it was accepted by.
        const tellNext = async (): Promise<void> => {
          // Processes that were starting then may still say that they are ready; nobody would take it back.
          if (isGivenUp) throw new Error("the reload was given up");
          isSchedulerTold = true;
          await tellScheduler(next, lookup);
        };
        started = await startChanging(next, keeping, lookup, asked, receiving, tellNext);
      } catch (thrown) {
        isGivenUp = true;
        await giveUp(next, async () => {
          if (isSchedulerTold) await tellScheduler(loaded, lookedUp);
        });
        places.release(fresh);
        throw thrown;
      }
      if (canMoveLog(logAtStart, next.settings.log.to)) logAt = next.settings.log.to;
      tellStaying(logWorker, next, undefined);
      logWorker.setStart({ ...startOf(parts, "log", withLogAt(next, logAt)), name: logWorker.name });
      const before = changing;
      for (const old of before) letGo(old);
      kept = keeping;
      lookedUp = lookup;
      for (const problem of places.adjust(loaded.settings.listeners, next.settings.listeners))
        emit(events.roleTrouble, { role: "supervisor", problem });
      places.keepOnly(next);
      changing = started;
      emitter.setLevel(recordedLevel(parts.isVerbose, next.settings.log));
      loaded = next;
      tellWhatWaits(folders.drop, next.settings.localSubmission, emit);
      // Whoever hears that the reload is done is served by these settings from then on. Until then those before may accept, too.
      await withDeadline(clock, CLOSED_WITHIN_MS, "the end of accepting", () =>
        Promise.all(before.filter(mayReceive).map((worker) => worker.closed)),
      ).catch(() => {});
    },
    logTroubles: () => logTroubles,
    certificates: async () => ({ shown: await listingOf(kept.access, clock), acme: acmeNow() }),
    renewCertificates(label) {
      for (const worker of changing) if (worker.role === "acme") worker.tell({ kind: "renew", label });
      const chosen = acmeNow().filter((one) => label === undefined || one.label === label || one.names.includes(label));
      return [...new Set(chosen.map((one) => one.label))];
    },
    acceptLocal(socket, known, onEnd) {
      return localClients.hand(
        changing.filter(({ role }) => role === "ingress"),
        socket,
        known,
        onEnd,
      );
    },
    askLookup: (ask) => askLookup(ask),
    reopen: () => logWorker.tell({ kind: "reopen" }),
    async stop(because) {
      const startedAtMs = clock.monotonicMs();
      emit(events.serverStopping, { because, deadlineMs: STOP_DEADLINE_MS });
      emitter.flush();
      // As long as anybody holds a listening socket, the system goes on completing connections that nobody would take.
      places.releaseAll();
      await stopAll(STOP_DEADLINE_MS).catch((thrown: unknown) => {
        emit(events.roleTrouble, { role: "supervisor", problem: messageOf(thrown) });
      });
      emit(events.serverStopped, { tookMs: Math.round(clock.monotonicMs() - startedAtMs) });
      await stopLog();
    },
    processes: () => [
      { role: "supervisor", pid: process.pid, startedAt, restarts: 0 },
      ...[...workers, ...leaving.keys()].flatMap((worker) => worker.status() ?? []),
    ],
  };
}

function mayReceive({ role }: WorkerProcess): boolean {
  return role === "ingress" || role === "acme";
}

function withLogAt(loaded: Versioned, to: LogTarget): Versioned {
  return { ...loaded, settings: { ...loaded.settings, log: { ...loaded.settings.log, to } } };
}
