import type { AddressInfo, Socket } from "node:net";
import type { Clock } from "../../foundation/clock.ts";
import type { Emit } from "../../foundation/events.ts";
import { systemRandom } from "../../foundation/random.io.ts";
import { messageIdMaker } from "../../foundation/ids.ts";
import { createListener, type Listener, type ListenerWorld } from "../../mail/connection/listener.io.ts";
import type { CountChanges } from "../../mail/connection/shared-counts.ts";
import { clientCertificateOf } from "../../mail/connection/listener-choices.ts";
import { policyClient } from "../../mail/envelope/restrictions/policy-client.io.ts";
import { rulesPolicy } from "../../mail/envelope/rules.ts";
import type { ShownFilter } from "../../mail/filter/merged-health.ts";
import type { Filters } from "../../mail/filter/filters.ts";
import { openIntake } from "../../mail/queue/intake.io.ts";
import type { DomainWaker, QueuePort } from "../../mail/queue/queue.ts";
import type { Callouts } from "../../mail/scheduler/callouts.ts";
import { remoteCallouts } from "../../mail/scheduler/remote-callouts.ts";
import type { KnownClient } from "../../mail/session/services.ts";
import { certificateIdentifier } from "../../service/account/client-certificate.ts";
import { noLogins } from "../../service/account/logins.ts";
import { offeredMechanisms } from "../../service/account/offered-mechanisms.ts";
import { createResolver, type NetworkResolver } from "../../service/dns/resolver.io.ts";
import type { SigningKeeper } from "../../service/signing/signing-keys.ts";
import type { SystemTrust } from "../../service/table/pool/system-trust.ts";
import type { Keeper } from "../../service/tls/keeper/keeper.ts";
import type { Tracer } from "../../service/tls/tracer/tracer.ts";
import { FlightSampler } from "../../service/tls/flight/flight-sampler.ts";
import { listenerProfile, type ListenerProfile } from "../../service/tls/profile.io.ts";
import * as events from "../events.ts";
import { dmarcReporting } from "./dmarc-reporting.ts";
import { filtersOf, rulesAskTags } from "./filtering.ts";
import type { Folders } from "../folders.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import { adjustSockets, boundInPlaceOf, type Listening } from "../split/bound-sockets.ts";
import { placeOf } from "../settings/listener-place.ts";
import { policySettingsOf, submitting } from "../settings/policy-settings.ts";
import { remoteLogins, remoteQuota, remoteMemory, remotePolicyParts, type LookupPort } from "./lookup.ts";
import { restricting } from "./restricting.ts";
import type { Topics } from "../topics.ts";
import { webSourcesOf } from "../settings/web-sources.ts";
import { allowedWaker } from "../../mail/session/allowed-waker.ts";
import { tablesOf } from "./tables-of-settings.ts";
import { keptTrust } from "./trust.ts";
import { termsOf } from "../settings/tls-files.ts";

/**
 * Reception: the listeners of the settings, and the world that their sessions live in. A reload gives new connections a
 * new world; sessions that run keep the one they began with.
 */
export interface IngressRole {
  /** `smtp=127.0.0.1:2525`, for people. */
  readonly listening: readonly string[];
  /** MAIL is answered 452 while paused. */
  setPaused(isPaused: boolean, because: string): void;
  /**
   * Prepares the new settings and, when that worked, gives them to connections that come. Binds what is new. `alsoGoing`: who
   * else in this process leaves its socket with them.
   */
  reload(loaded: LoadedSettings, keeper?: IngressKeeper, alsoGoing?: readonly Listening[]): Promise<void>;
  /** The listeners that such settings do not have, and those that they have, too. */
  listenersWith(loaded: LoadedSettings): {
    readonly going: readonly Listening[];
    readonly staying: readonly Listening[];
  };
  /** Other processes serve the same listeners: `onUntold` when they have something to be told, which `counts` gives. */
  shareCounts(onUntold: () => void): void;
  counts(): SharedCounts | undefined;
  learnCounts(from: string, counts: SharedCounts): void;
  forgetCounts(from: string): void;
  /** Somebody has come who knows nothing yet. */
  tellAllCounts(): void;
  /** How the filters of the settings in force do. */
  filters(): readonly ShownFilter[];
  /** A user of this host, known by whoever accepted the connection. */
  acceptLocal(socket: Socket, known: KnownClient): void;
  /** No new connections; resolves when the last session has ended by itself. */
  leave(): Promise<void>;
  /** No new connections; what runs may end within the deadline. */
  stop(deadlineMs: number): Promise<void>;
}

/** By the listener's place. */
export type SharedCounts = readonly (readonly [place: string, changes: CountChanges])[];

/** What it shows, and what it signs with. */
export type IngressKeeper = Keeper & SigningKeeper;

export interface IngressParts {
  readonly loaded: LoadedSettings;
  readonly folders: Folders;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly queue: QueuePort;
  readonly waker: DomainWaker;
  readonly callouts: Callouts;
  readonly keeper: IngressKeeper;
  readonly lookup: LookupPort;
  readonly maker: number;
  readonly sessionPrefix: string;
  readonly tracer: Tracer;
  readonly topics: Topics;
  /** A descriptor of the socket that somebody else bound for this listener, to be closed with it. */
  readonly inherited: (listener: string) => number | undefined;
  /** Whether how it listens is somebody else's to say. */
  readonly isInherited: (listener: string) => boolean;
}

export async function startIngress(parts: IngressParts): Promise<IngressRole> {
  const { clock, emit } = parts;
  const newMessageId = messageIdMaker(clock, parts.maker);
  const listeners = new Map<string, Listener>();
  /** As the settings in force have them. */
  let present: LoadedSettings["settings"]["listeners"] = [];
  /** Listeners that later settings do not have, until their last session has ended. */
  const leaving = new Set<Listener>();
  /** For users of this host, whose connections others accept. */
  let local: Listener | undefined;
  const own = (): readonly Listener[] => (local === undefined ? [] : [local]);
  const askPolicy = policyClient(clock, systemRandom);
  const asking = { ...remoteMemory(parts.lookup), askPolicy, callOut: remoteCallouts(parts.callouts).callOut };
  let role: IngressRole | undefined;
  const reporting = dmarcReporting({
    lookup: parts.lookup,
    clock,
    emit,
    accept: (socket, known) => role?.acceptLocal(socket, known),
  });
  /** One for all listeners, so that reloads and many listeners keep no more. */
  const flights = new FlightSampler();
  let pausedBecause: string | undefined;
  let onUntold: (() => void) | undefined;

  /** What each listener of the present settings shows. */
  let profiles: ReadonlyMap<string, ListenerProfile> = new Map();
  const closeProfiles = (old: ReadonlyMap<string, ListenerProfile>): void => {
    for (const profile of old.values()) profile.close();
  };

  /** Of the present settings. */
  let filters: Filters | undefined;
  /** Those of settings before, whose sessions have not ended yet, or whose programs have not. */
  const leavingFilters = new Set<Promise<void>>();
  /** Of the present settings. */
  let resolver: NetworkResolver | undefined;
  const letGo = (old: Filters | undefined): void => {
    if (old === undefined) return;
    const gone = old.close().finally(() => leavingFilters.delete(gone));
    leavingFilters.add(gone);
  };
  /** When no session is left. */
  const closeFilters = async (): Promise<void> => {
    letGo(filters);
    await Promise.all(leavingFilters);
  };
  /** A keeper's is gone when the keeper is. */
  const trusts = new WeakMap<Keeper, SystemTrust>();
  const trustOf = (keeper: Keeper): SystemTrust => {
    const trust = trusts.get(keeper) ?? keptTrust(keeper);
    trusts.set(keeper, trust);
    return trust;
  };
  const worldOf = async (
    loaded: LoadedSettings,
    keeper: IngressKeeper,
  ): Promise<
    Omit<ListenerWorld, "tls"> & { readonly filters: Filters | undefined; readonly resolver: NetworkResolver }
  > => {
    const { settings } = loaded;
    const tables = tablesOf(loaded, clock, emit, parts.lookup);
    const resolver = createResolver({ clock, settings: settings.dns, trace: parts.topics.of("dns") });
    const asked = remotePolicyParts(parts.lookup);
    const rules = rulesPolicy(policySettingsOf(loaded, clock), tables, asked);
    const intake = openIntake({ directory: parts.folders.queue, settings: settings.queue, clock, emit });
    return {
      clock,
      emit,
      newMessageId,
      intake: {
        begin: (id, version) => intake.begin(id, version),
        shortage: () => intake.shortage(),
        paused: () => pausedBecause,
      },
      queue: parts.queue,
      filters: await filtersOf(loaded, {
        clock,
        emit,
        resolver,
        tables,
        trust: trustOf(keeper),
        trace: parts.topics.of("filter"),
        signing: keeper,
        observeDmarc: (observation) => reporting.observe(observation),
      }),
      judgeAgain: (facts, recipient) => rules.judgeRecipient(facts, recipient),
      rulesAskTags: rulesAskTags(settings),
      chooseTargets: (recipient) => rules.chooseTargets(recipient),
      waker: allowedWaker(settings.listeners, tables, parts.waker),
      policy: restricting(
        loaded,
        { clock, tables, resolver, rules, asking },
        submitting(loaded, { tables, quota: remoteQuota(parts.lookup), rules, users: asked.users }),
      ),
      certificates: certificateIdentifier(tables),
      logins: settings.accounts === undefined ? noLogins : remoteLogins(parts.lookup),
      resolver,
      flights,
      tracer: parts.tracer,
      trace: parts.topics.of("smtp"),
      web: webSourcesOf(settings, tables),
    };
  };
  const profilesOf = ({ settings }: LoadedSettings, keeper: Keeper): ReadonlyMap<string, ListenerProfile> =>
    new Map(
      settings.listeners
        .filter(({ tls }) => tls !== "off")
        .map((listener) => [
          listener.name,
          listenerProfile({
            keeper,
            terms: termsOf(settings, listener),
            client: { mode: clientCertificateOf(listener), authorities: listener.clientAuthorities },
            clock,
            onTrouble: (problem) => emit(events.certificateTrouble, { source: listener.name, problem }),
          }),
        ]),
    );

  const listenersWith = ({ settings }: LoadedSettings) => {
    const places = new Set(settings.listeners.map(placeOf));
    const partOf = (isStaying: boolean): readonly Listener[] =>
      [...listeners].flatMap(([place, listener]) => (places.has(place) === isStaying ? [listener] : []));
    return { going: partOf(false), staying: partOf(true) };
  };

  const adjust = (before: typeof present, next: typeof present): void => {
    const socketOf = (one: (typeof present)[number]) => listeners.get(placeOf(one))?.socket;
    for (const problem of adjustSockets(before, next, parts.isInherited, socketOf))
      emit(events.roleTrouble, { role: "ingress", problem });
  };

  /** Binds first what is new, so that a port that can't be had leaves everything as it was. */
  const take = async (
    loaded: LoadedSettings,
    keeper: IngressKeeper,
    alsoGoing: readonly Listening[] = [],
  ): Promise<void> => {
    const { settings } = loaded;
    const common = await worldOf(loaded, keeper);
    const nextProfiles = profilesOf(loaded, keeper);
    await Promise.all([...nextProfiles.values()].map(({ ready }) => ready));
    const fresh = new Map<string, Listener>();
    const ownNames = settings.listeners.flatMap(({ hostname }) => hostname ?? []);
    const configurations = new Map(
      settings.listeners.map((listener) => {
        const world: ListenerWorld = { ...common, tls: () => nextProfiles.get(listener.name)?.current() };
        return [
          placeOf(listener),
          {
            settings: listener,
            session: settings.session,
            rewriting: settings,
            hostname: settings.hostname,
            ownNames,
            mechanisms: offeredMechanisms(settings.accounts),
            world,
          },
        ];
      }),
    );
    try {
      for (const [place, configuration] of configurations) {
        if (listeners.has(place)) continue;
        const listener = createListener({ ...configuration, sessionPrefix: parts.sessionPrefix });
        const { going, staying } = listenersWith(loaded);
        const fd =
          parts.inherited(listener.name) ??
          boundInPlaceOf(configuration.settings, [...going, ...alsoGoing], [...staying, ...fresh.values()]);
        await listener.listen(fd === undefined ? undefined : { fd });
        fresh.set(place, listener);
      }
    } catch (thrown) {
      closeProfiles(nextProfiles);
      await common.filters?.close();
      await Promise.all([...fresh.values()].map((listener) => listener.close(0)));
      throw thrown;
    }
    const forLocal = {
      settings: loaded.localListener,
      session: settings.session,
      hostname: settings.hostname,
      rewriting: settings,
      mechanisms: [],
      world: { ...common, tls: () => undefined },
    };
    if (local === undefined) local = createListener({ ...forLocal, sessionPrefix: parts.sessionPrefix });
    else local.reconfigure(forLocal);
    // Sessions of the settings before go on with what was shown last.
    closeProfiles(profiles);
    profiles = nextProfiles;
    adjust(present, settings.listeners);
    present = settings.listeners;
    // Dialogues that are open end by themselves.
    letGo(filters);
    filters = common.filters;
    reporting.take(settings, common.resolver);
    // Sessions of the settings before may still ask it.
    resolver?.retire();
    ({ resolver } = common);
    for (const [place, listener] of listeners) {
      const configuration = configurations.get(place);
      if (configuration !== undefined) {
        listener.reconfigure(configuration);
        continue;
      }
      listeners.delete(place);
      leaving.add(listener);
      void listener.drain().then(() => leaving.delete(listener));
    }
    for (const [place, listener] of fresh) {
      listeners.set(place, listener);
      if (onUntold !== undefined) listener.limits.share(onUntold);
    }
  };

  await take(parts.loaded, parts.keeper);
  role = {
    acceptLocal(socket, known) {
      // It went while it was handed over: it will not close once more.
      if (socket.destroyed) return;
      local?.accept(socket, known);
    },
    get listening() {
      return [...listeners.values()].map((listener) => `${listener.name}=${addressText(listener.address())}`);
    },
    filters: () => filters?.health() ?? [],
    setPaused(isPaused, because) {
      pausedBecause = isPaused ? because : undefined;
    },
    reload: (loaded, keeper = parts.keeper, alsoGoing = []) => take(loaded, keeper, alsoGoing),
    listenersWith,
    shareCounts(tell) {
      onUntold = tell;
      for (const { limits } of listeners.values()) limits.share(tell);
    },
    counts() {
      const all = [...listeners].flatMap(([place, listener]) => {
        const changes = listener.limits.changes();
        return changes === undefined ? [] : [[place, changes] as const];
      });
      return all.length === 0 ? undefined : all;
    },
    learnCounts(from, counts) {
      for (const [place, changes] of counts) listeners.get(place)?.limits.learn(from, changes);
    },
    forgetCounts(from) {
      for (const { limits } of listeners.values()) limits.forget(from);
    },
    tellAllCounts() {
      for (const { limits } of listeners.values()) limits.tellAll();
    },
    async leave() {
      const all = [...listeners.values(), ...leaving, ...own()];
      await Promise.all([reporting.close(), ...all.map((listener) => listener.drain())]);
      askPolicy.close();
      await closeFilters();
    },
    async stop(deadlineMs) {
      // Reports that are being handed in end with their sessions.
      const all = [...listeners.values(), ...leaving, ...own()];
      await Promise.all([reporting.close(), ...all.map((listener) => listener.close(deadlineMs))]);
      closeProfiles(profiles);
      askPolicy.close();
      await closeFilters();
    },
  };
  return role;
}

function addressText(address: AddressInfo | string | undefined): string {
  if (address === undefined || typeof address === "string") return address ?? "nothing";
  return address.family === "IPv6" ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}
