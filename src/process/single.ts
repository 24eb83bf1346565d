import { dropIntake } from "./role/drop-intake.ts";
import { followedDrop } from "./role/drop-watch.ts";
import { userNames } from "./user-names.ts";
import type { Clock } from "../foundation/clock.ts";
import { withDeadline } from "../foundation/deadline.ts";
import { messageOf } from "../foundation/error.ts";
import { systemRandom } from "../foundation/random.io.ts";
import { RunningCommands } from "../mail/delivery/command/running-commands.ts";
import { createEmitter, recordedLevel } from "../mail/log/emitter.ts";
import { loginSecret } from "../service/account/login-secret.io.ts";
import { systemPasswords } from "../service/account/system-passwords.io.ts";
import type { Keeper } from "../service/tls/keeper/keeper.ts";
import { startDelivery, type DeliveryRole } from "./role/delivery-role.ts";
import { egressPool, type EgressMember } from "./role/egress-pool.ts";
import { startAcmeRole } from "./role/acme-role.ts";
import { startEgress, type EgressRole } from "./role/egress-role.ts";
import * as events from "./events.ts";
import { loginSecretOf, type Folders } from "./folders.ts";
import { startIngress } from "./role/ingress-role.ts";
import { startKeeperRole } from "./role/keeper-role.ts";
import type { LoadedSettings } from "./settings/load-settings.ts";
import { followingPort } from "./role/lookup.ts";
import { releaseClaims } from "../mail/connection/drop-folder.io.ts";
import { mailNameOf } from "../mail/envelope/mail-name.ts";
import { Rates } from "../mail/envelope/restrictions/rates.ts";
import { SendingLimits } from "../service/account/sending-limits.ts";
import { loginsFor, startLookup, type LookupRole } from "./role/lookup-role.ts";
import { startLog } from "./role/log-role.ts";
import { startScheduler } from "./role/scheduler-role.ts";
import { makeTracer } from "./role/make-tracer.ts";
import { keepingInherited } from "./split/bound-sockets.ts";
import { Topics, TopicTraces } from "./topics.ts";
import { Traces } from "./traces.ts";
import { STOP_DEADLINE_MS, stopTime, type Server } from "./server.ts";

/** The longest that a lookup may take by its settings, and a moment more. */
const LOOKUPS_END_MS = 330_000;

/** All roles in one process: for a machine of one user, for tests, and for the library. */
export async function startSingle(parts: {
  loaded: LoadedSettings;
  folders: Folders;
  clock: Clock;
  isVerbose: boolean;
  isForeground: boolean;
  inherited: ReadonlyMap<string, number>;
  /** The log has a thread that waits for ever; an ordinary end of the process would wait with it. */
  onStuck: () => void;
}): Promise<Server> {
  const { clock, folders } = parts;
  const startedAt = clock.now();
  let { loaded } = parts;
  const log = startLog({ ...parts, mergeMs: 0 });
  const logOpened = log.open();
  const emitter = createEmitter({
    clock,
    process: { role: "server", pid: process.pid },
    level: recordedLevel(parts.isVerbose, loaded.settings.log),
    hand: (records) => log.write(records),
  });
  const { emit } = emitter;

  const tracer = makeTracer(loaded, clock, (file, text) => traces.dump(file, text));
  const traces = new Traces({
    clock,
    emit,
    directory: folders.traces,
    tell: (switches) => tracer.take(switches),
  });

  const topics = new Topics(clock, emit);
  const topicTraces = new TopicTraces({ clock, emit, tell: (switches) => topics.take(switches) });

  const closeLog = async (): Promise<void> => {
    traces.close();
    topics.close();
    emitter.flush();
    const { isStuck } = await log.close(5000);
    if (isStuck) parts.onStuck();
  };
  const pool = egressPool({ clock, patienceMs: 5000, version: 0 });
  let keeping = await startKeeperRole({ loaded, folders, clock, emit }).catch(async (thrown: unknown) => {
    await closeLog();
    throw thrown;
  });
  const system = systemPasswords({ clock, atOnce: () => loaded.settings.accounts?.checksAtOnce ?? 1 });
  const lookupOf = (from: LoadedSettings, keeper: Keeper): Promise<LookupRole> =>
    startLookup({
      loaded: from,
      clock,
      emit,
      random: systemRandom,
      system,
      keeper,
      logins,
      sending,
      rates,
      greylistFile: folders.greylistFile,
      dmarcFile: folders.dmarcFile,
      loginSecret: secret,
    });
  const secret = await loginSecret(loginSecretOf(folders));
  const logins = loginsFor(loaded.settings.accounts, clock, secret);
  const sending = new SendingLimits(clock);
  const rates = new Rates(clock);
  let looking = await lookupOf(loaded, keeping.keeper);
  looking.takeLogins();
  /** Always of the settings in force: sessions that began under earlier ones ask there, too. */
  const lookup = followingPort(() => looking.port);
  let egress: EgressRole & EgressMember = startEgress({
    loaded,
    folders,
    clock,
    emit,
    keeper: keeping.keeper,
    lookup,
    tracer,
    topics,
  });
  const closeKeeping = (): void => {
    keeping.close();
    keeping.tickets.close();
  };
  // There is one at a time for new sessions: with other settings it changes in the same turn as the scheduler.
  pool.add(egress, 0);
  const running = new RunningCommands(clock);
  let delivery: DeliveryRole = startDelivery({ loaded, folders, clock, emit, lookup, running });
  /** Deliveries of earlier settings that still work. */
  const leaving = new Set<Promise<void>>();
  const retire = (role: AsyncDisposable): void => {
    const left: Promise<void> = Promise.resolve(role[Symbol.asyncDispose]())
      .catch((thrown: unknown) => emit(events.roleTrouble, { role: "delivery", problem: messageOf(thrown) }))
      .finally(() => leaving.delete(left));
    leaving.add(left);
  };

  try {
    let setPaused = (_isPaused: boolean, _because: string): void => {};
    const scheduler = await startScheduler({
      loaded,
      folders,
      clock,
      emit,
      maker: 0,
      network: pool,
      local: {
        deliver: (request) => delivery.port.deliver(request),
        finish: async (withinMs) => running.finish(withinMs),
      },
      lookup,
      inputs: log,
      topics,
      onReception: (isPaused, because) => setPaused(isPaused, because),
    });
    const ingress = await startIngress({
      loaded,
      folders,
      clock,
      emit,
      queue: scheduler.queue,
      waker: scheduler.waker,
      callouts: scheduler.callouts,
      keeper: keeping.keeper,
      lookup,
      tracer,
      topics,
      maker: 1,
      sessionPrefix: "",
      inherited: (listener) => {
        const fd = parts.inherited.get(listener);
        return fd === undefined ? undefined : keepingInherited(fd);
      },
      isInherited: (listener) => parts.inherited.has(listener),
    }).catch(async (thrown: unknown) => {
      // Mail of the queue may be on its way already.
      await scheduler.stop(STOP_DEADLINE_MS);
      throw thrown;
    });
    setPaused = (isPaused, because) => ingress.setPaused(isPaused, because);
    const acme = await startAcmeRole({
      loaded,
      store: keeping.keeper,
      clock,
      random: systemRandom,
      emit,
      inherited: parts.inherited,
    }).catch(async (thrown: unknown) => {
      const left = stopTime(clock, STOP_DEADLINE_MS);
      await ingress.stop(left());
      await scheduler.stop(left());
      throw thrown;
    });

    await logOpened;

    const names = userNames(clock);
    try {
      releaseClaims(folders.drop);
    } catch (thrown) {
      emit(events.roleTrouble, { role: "server", problem: messageOf(thrown) });
    }
    const dropped = followedDrop(folders.drop, emit, (claimer) =>
      dropIntake({
        folder: folders.drop,
        claimer,
        clock,
        emit,
        mostBytes: () => loaded.settings.localSubmission.dropSize,
        hostname: () => loaded.settings.hostname,
        mailName: () => mailNameOf(loaded.settings.local, loaded.settings.hostname),
        accountOf: (uid) => names.of(uid),
        accept: (socket, known) => ingress.acceptLocal(socket, known),
      }),
    );
    dropped.take(loaded.settings.localSubmission);
    return {
      layout: "single",
      get listening() {
        return ingress.listening;
      },
      admin: scheduler.admin,
      filters: () => ingress.filters(),
      subscribe: (listener) => log.subscribe(listener),
      emit,
      traces,
      topics: topicTraces,
      get loaded() {
        return loaded;
      },
      async reload(next) {
        const { tickets } = keeping;
        const nextKeeping = await startKeeperRole({ loaded: next, folders, clock, emit, tickets });
        const { keeper } = nextKeeping;
        const nextAcme = await acme.prepare(next, keeper, ingress.listenersWith(next)).catch((thrown: unknown) => {
          nextKeeping.close();
          throw thrown;
        });
        const nextLooking = await lookupOf(next, keeper).catch(async (thrown: unknown) => {
          await nextAcme.discard();
          nextKeeping.close();
          throw thrown;
        });
        await ingress.reload(next, keeper, nextAcme.going).catch(async (thrown: unknown) => {
          await nextAcme.discard();
          await nextLooking.close();
          nextKeeping.close();
          throw thrown;
        });
        // From here to the end at once: what is received by these settings is sent and delivered by them, too.
        const keepingBefore = keeping;
        keeping = nextKeeping;
        const before = looking;
        // What it was asked before has an answer by then.
        clock.after(LOOKUPS_END_MS, () => void before.close());
        looking = nextLooking;
        looking.takeLogins();
        const freshEgress = startEgress({ loaded: next, folders, clock, emit, keeper, lookup, tracer, topics });
        pool.add(freshEgress, 0);
        pool.retire(egress);
        retireWhenIdle(egress, pool, clock, retire);
        egress = freshEgress;
        const oldDelivery = delivery;
        delivery = startDelivery({ loaded: next, folders, clock, emit, lookup, running });
        retire(oldDelivery);
        scheduler.reload(next);
        tracer.settings(next.settings.tls.trace);
        emitter.setLevel(recordedLevel(parts.isVerbose, next.settings.log));
        log.reload(next);
        loaded = next;
        dropped.take(next.settings.localSubmission);
        // It may have to wait for the authority's answer.
        await nextAcme.commit();
        keepingBefore.close();
      },
      logTroubles: () => log.troubles(),
      certificates: async () => ({ shown: await keeping.keeper.listing(), acme: acme.status() }),
      renewCertificates: (label) => acme.renew(label),
      acceptLocal(socket, known, onEnd) {
        socket.once("close", onEnd);
        ingress.acceptLocal(socket, known);
        return true;
      },
      askLookup: (ask) => ask(lookup),
      reopen: () => log.reopen(),
      async stop(because) {
        const startedAtMs = clock.monotonicMs();
        const left = stopTime(clock, STOP_DEADLINE_MS);
        emit(events.serverStopping, { because, deadlineMs: STOP_DEADLINE_MS });
        emitter.flush();
        // Its mail is handed to reception, which ends what is too slow.
        const dropEnd = dropped.close();
        await acme.close();
        await ingress.stop(left());
        await withDeadline(clock, left(), "the end of the drop folder's mail", () => dropEnd).catch(
          (thrown: unknown) => {
            emit(events.roleTrouble, { role: "server", problem: messageOf(thrown) });
          },
        );
        await scheduler.stop(left());
        const rest = async (): Promise<void> => {
          // A next host that answers nothing to QUIT keeps nobody else from an end in good order.
          await Promise.all([egress[Symbol.asyncDispose](), delivery[Symbol.asyncDispose](), ...leaving]);
        };
        // What hangs on a disk beyond that ends with the process, and is tried again after the next start.
        await withDeadline(clock, left(), "the end of deliveries", rest).catch((thrown: unknown) => {
          emit(events.roleTrouble, { role: "server", problem: messageOf(thrown) });
        });
        closeKeeping();
        await looking.close();
        await system.close();
        emit(events.serverStopped, { tookMs: Math.round(clock.monotonicMs() - startedAtMs) });
        await closeLog();
      },
      processes: () => [{ role: "server", pid: process.pid, startedAt, restarts: 0 }],
    };
  } catch (thrown) {
    await egress[Symbol.asyncDispose]();
    await delivery[Symbol.asyncDispose]();
    closeKeeping();
    await looking.close();
    await system.close();
    await closeLog();
    throw thrown;
  }
}

/** Sessions of earlier settings end by themselves; the sockets behind them are closed when the last one has. */
function retireWhenIdle(
  egress: EgressRole & EgressMember,
  pool: ReturnType<typeof egressPool>,
  clock: Clock,
  retire: (role: AsyncDisposable) => void,
): void {
  const look = (): void => {
    if (pool.sessionsOf(egress) === 0) retire(egress);
    else clock.after(1000, look);
  };
  look();
}
