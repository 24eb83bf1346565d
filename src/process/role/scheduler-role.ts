import { randomInt } from "node:crypto";
import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { messageIdMaker } from "../../foundation/ids.ts";
import type { Profiling } from "../../foundation/profiler.ts";
import type { LocalDelivery, NetworkDelivery } from "../../mail/delivery/delivery.ts";
import { createNotices } from "../../mail/delivery/bounce/bounce.ts";
import { RememberingDelivery } from "../../mail/delivery/tls-policy/remembering-delivery.ts";
import type { TlsHostsSettings } from "../../mail/delivery/tls-policy/tls-hosts.ts";
import { postmasterAt } from "../../mail/envelope/mail-name.ts";
import { rulesPolicy, type RulesPolicy } from "../../mail/envelope/rules.ts";
import { ownActions } from "../../mail/envelope/default-rules.ts";
import type { DomainWaker, QueuePort } from "../../mail/queue/queue.ts";
import { selfHealingStore } from "../../mail/queue/self-healing-store.ts";
import { openQueueStore } from "../../mail/queue/open-queue-store.io.ts";
import type { SchedulerAdmin } from "../../mail/scheduler/admin/admin.ts";
import { createSchedulerAdmin } from "../../mail/scheduler/admin/admin.io.ts";
import type { InputJournal } from "../../mail/scheduler/replay/replay.ts";
import type { Notices } from "../../mail/scheduler/notices.ts";
import { planAll } from "../../mail/scheduler/plan.ts";
import { Scheduler } from "../../mail/scheduler/scheduler.io.ts";
import type { CoreSettings } from "../../mail/scheduler/state.ts";
import { createCallouts, type Callouts } from "../../mail/scheduler/callouts.ts";
import { bodyOpener } from "./open-body.ts";
import type { Folders } from "../folders.ts";
import { tablesOf } from "./tables-of-settings.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import { policySettingsOf } from "../settings/policy-settings.ts";
import { remotePolicyParts, type LookupPort } from "./lookup.ts";
import type { Topics } from "../topics.ts";

/** The queue and all decisions about it: owner of the store. */
export interface SchedulerRole {
  readonly queue: QueuePort;
  readonly waker: DomainWaker;
  readonly callouts: Callouts;
  readonly admin: SchedulerAdmin;
  reload(loaded: LoadedSettings, lookup?: LookupPort): void;
  /** Lets what runs end within the deadline, then closes the store. */
  stop(deadlineMs: number): Promise<void>;
}

export interface SchedulerRoleParts {
  readonly loaded: LoadedSettings;
  readonly folders: Folders;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly maker: number;
  readonly network: NetworkDelivery;
  readonly local: LocalDelivery;
  readonly lookup: LookupPort;
  /** Where the scheduler's inputs are recorded. */
  readonly inputs: InputJournal;
  readonly topics: Topics;
  readonly onReception: (isPaused: boolean, because: string) => void;
}

export async function startScheduler(parts: SchedulerRoleParts): Promise<SchedulerRole> {
  const { clock, emit, folders } = parts;
  const directory = folders.queue;
  const newMessageId = messageIdMaker(clock, parts.maker);
  const open = bodyOpener(folders);
  let loaded = parts.loaded;
  let policy: RulesPolicy;
  let notices = noticesOf(loaded, parts.lookup);

  function noticesOf(from: LoadedSettings, lookup: LookupPort): Notices {
    const { settings } = from;
    policy = rulesPolicy(policySettingsOf(from, clock), tablesOf(from, clock, emit, lookup), remotePolicyParts(lookup));
    return createNotices({
      hostname: settings.hostname,
      postmaster: postmasterAt(settings.local, settings.hostname),
      clock,
      emit,
      newMessageId,
      openBody: async (body) => open(body),
      chooseTargets: (recipient) => policy.chooseTargets(recipient),
      settings: settings.bounce,
    });
  }

  const profiling: Profiling = { profiler: undefined };
  // Who keeps the queue is not changed under way: the mail would be left with the one before.
  const { store: keeper } = parts.loaded.settings.queue;
  const store = await selfHealingStore(
    () => openQueueStore({ directory, settings: { ...loaded.settings.queue, store: keeper }, clock, emit, profiling }),
    {
      directory,
      clock,
      emit,
    },
  );
  const network = new RememberingDelivery(parts.network, { clock, emit, settings: tlsHostsSettings(loaded) });
  const scheduler = new Scheduler({
    store,
    network,
    local: parts.local,
    notices: { make: (request) => notices.make(request) },
    forwards: {
      expand: (message, envelope, { user, relay, targets }) =>
        policy.expandForward({ message, envelope, user, where: relay.replace(/^forward:/, ""), targets }),
      place: (message, envelope) => policy.placeUnfiltered(message, envelope),
    },
    clock,
    emit,
    seed: randomInt(2 ** 32),
    settings: coreSettings(loaded),
    journal: parts.inputs,
    trace: parts.topics.of("scheduler"),
    onReception: parts.onReception,
  });
  scheduler.start();
  const callouts = createCallouts({
    network,
    clock,
    actions: () => ({ ...ownActions, ...loaded.settings.actions }),
    helo: () => loaded.settings.hostname,
  });
  return {
    callouts,
    queue: scheduler,
    waker: scheduler,
    admin: createSchedulerAdmin({ scheduler, store, clock, network, origins: () => loaded.origins, profiling }),
    reload(next, lookup = parts.lookup) {
      loaded = next;
      notices = noticesOf(next, lookup);
      network.reload(tlsHostsSettings(next));
      scheduler.reload(coreSettings(next));
    },
    async stop(deadlineMs) {
      network.close();
      await scheduler.stop(deadlineMs);
      await store[Symbol.asyncDispose]();
    },
  };
}

function tlsHostsSettings({ settings }: LoadedSettings): TlsHostsSettings {
  const { tlsFailuresKept, tls } = settings.delivery;
  return { brokenKeptMs: tlsFailuresKept, variantKeptMs: tls.variantsKept, triesVariants: tls.variants };
}

function coreSettings({ settings }: LoadedSettings): CoreSettings {
  return {
    scheduler: settings.scheduler,
    route: settings.route,
    plans: planAll(settings.actions, settings.hostname),
    postmaster: postmasterAt(settings.local, settings.hostname),
  };
}
