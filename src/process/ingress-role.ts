import type { AddressInfo } from "node:net";
import type { Clock } from "../foundation/clock.ts";
import type { Emit } from "../foundation/events.ts";
import { messageIdMaker } from "../foundation/ids.ts";
import { createListener, type Listener, type ListenerWorld } from "../mail/connection/listener.io.ts";
import type { CountChanges } from "../mail/connection/shared-counts.ts";
import { clientCertificateOf, type ListenerSettings } from "../mail/connection/settings.ts";
import { rulesPolicy } from "../mail/envelope/rules.ts";
import { openIntake } from "../mail/queue/intake.io.ts";
import type { DomainWaker, QueuePort } from "../mail/queue/queue.ts";
import { certificateIdentifier } from "../service/account/client-certificate.ts";
import { nobodyMayLogIn, tableAuthenticator } from "../service/account/table-authenticator.ts";
import { locate } from "../service/config/config.ts";
import { createResolver } from "../service/dns/resolver.io.ts";
import { watchedFile } from "../service/table/file.io.ts";
import { createTables, type Tables } from "../service/table/tables.ts";
import type { Keeper } from "../service/tls/keeper.ts";
import type { Tracer } from "../service/tls/tracer.ts";
import { FlightSampler } from "../service/tls/flight-sampler.ts";
import { listenerProfile, type ListenerProfile } from "../service/tls/profile.io.ts";
import * as events from "./events.ts";
import type { Folders } from "./folders.ts";
import type { LoadedSettings } from "./load-settings.ts";
import type { Topics } from "./topics.ts";
import { allowedWaker } from "../mail/session/allowed-waker.ts";
import { certificateTablesOf, termsOf } from "./tls-files.ts";

/**
 * Reception: the listeners of the settings, and the world that their sessions live in. A reload gives new connections a
 * new world; sessions that run keep the one they began with.
 */
export interface IngressRole {
  /** `smtp=127.0.0.1:2525`, for people. */
  readonly listening: readonly string[];
  /** MAIL is answered 452 while paused. */
  setPaused(isPaused: boolean, because: string): void;
  /** Prepares the new settings and, when that worked, gives them to connections that come. Binds what is new. */
  reload(loaded: LoadedSettings, keeper?: Keeper): Promise<void>;
  /** Other processes serve the same listeners: `onUntold` when they have something to be told, which `counts` gives. */
  shareCounts(onUntold: () => void): void;
  counts(): SharedCounts | undefined;
  learnCounts(from: string, counts: SharedCounts): void;
  forgetCounts(from: string): void;
  /** Somebody has come who knows nothing yet. */
  tellAllCounts(): void;
  /** No new connections; resolves when the last session has ended by itself. */
  leave(): Promise<void>;
  /** No new connections; what runs may end within the deadline. */
  stop(deadlineMs: number): Promise<void>;
}

/** By the listener's place. */
export type SharedCounts = readonly (readonly [place: string, changes: CountChanges])[];

export interface IngressParts {
  readonly loaded: LoadedSettings;
  readonly folders: Folders;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly queue: QueuePort;
  readonly waker: DomainWaker;
  readonly keeper: Keeper;
  readonly maker: number;
  readonly sessionPrefix: string;
  readonly tracer: Tracer;
  readonly topics: Topics;
  /** Sockets that somebody else bound, by listener. */
  readonly inherited: ReadonlyMap<string, number>;
}

export async function startIngress(parts: IngressParts): Promise<IngressRole> {
  const { clock, emit } = parts;
  const newMessageId = messageIdMaker(clock, parts.maker);
  const listeners = new Map<string, Listener>();
  /** Listeners that later settings do not have, until their last session has ended. */
  const leaving = new Set<Listener>();
  /** One for all listeners, so that reloads and many listeners keep no more. */
  const flights = new FlightSampler();
  let pausedBecause: string | undefined;
  let onUntold: (() => void) | undefined;

  /** What each listener of the present settings shows. */
  let profiles: ReadonlyMap<string, ListenerProfile> = new Map();
  const closeProfiles = (old: ReadonlyMap<string, ListenerProfile>): void => {
    for (const profile of old.values()) profile.close();
  };

  const worldOf = (loaded: LoadedSettings): Omit<ListenerWorld, "tls"> => {
    const { settings } = loaded;
    const tables = tablesOf(loaded, clock, emit);
    const intake = openIntake({ directory: parts.folders.queue, settings: settings.queue, clock, emit });
    const accounts = settings.accounts === undefined ? undefined : tables.get(settings.accounts);
    return {
      clock,
      emit,
      newMessageId,
      intake: { begin: (id) => intake.begin(id), shortage: () => intake.shortage(), paused: () => pausedBecause },
      queue: parts.queue,
      waker: allowedWaker(settings.listeners, tables, parts.waker),
      policy: rulesPolicy(
        {
          hostname: settings.hostname,
          local: settings.local,
          actions: settings.actions,
          rules: settings.rules,
          whereIs: (rule) => locate(loaded.origins, ["rules", rule]),
        },
        tables,
      ),
      certificates: certificateIdentifier(tables),
      authenticator: accounts === undefined ? nobodyMayLogIn : tableAuthenticator(accounts),
      resolver: createResolver({ clock, settings: settings.dns, trace: parts.topics.of("dns") }),
      flights,
      tracer: parts.tracer,
      trace: parts.topics.of("smtp"),
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

  /** Binds first what is new, so that a port that can't be had leaves everything as it was. */
  const take = async (loaded: LoadedSettings, keeper: Keeper): Promise<void> => {
    const { settings } = loaded;
    const common = worldOf(loaded);
    const nextProfiles = profilesOf(loaded, keeper);
    await Promise.all([...nextProfiles.values()].map(({ ready }) => ready));
    const fresh = new Map<string, Listener>();
    const configurations = new Map(
      settings.listeners.map((listener) => {
        const world: ListenerWorld = { ...common, tls: () => nextProfiles.get(listener.name)?.current() };
        return [
          placeOf(listener),
          { settings: listener, session: settings.session, hostname: settings.hostname, world },
        ];
      }),
    );
    try {
      for (const [place, configuration] of configurations) {
        if (listeners.has(place)) continue;
        const listener = createListener({ ...configuration, sessionPrefix: parts.sessionPrefix });
        const fd = parts.inherited.get(listener.name);
        await listener.listen(fd === undefined ? undefined : { fd });
        fresh.set(place, listener);
      }
    } catch (thrown) {
      closeProfiles(nextProfiles);
      await Promise.all([...fresh.values()].map((listener) => listener.close(0)));
      throw thrown;
    }
    // Sessions of the settings before go on with what was shown last.
    closeProfiles(profiles);
    profiles = nextProfiles;
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
  return {
    get listening() {
      return [...listeners.values()].map((listener) => `${listener.name}=${addressText(listener.address())}`);
    },
    setPaused(isPaused, because) {
      pausedBecause = isPaused ? because : undefined;
    },
    reload: (loaded, keeper = parts.keeper) => take(loaded, keeper),
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
      await Promise.all([...listeners.values(), ...leaving].map((listener) => listener.drain()));
    },
    async stop(deadlineMs) {
      await Promise.all([...listeners.values(), ...leaving].map((listener) => listener.close(deadlineMs)));
      closeProfiles(profiles);
    },
  };
}

/** The tables of the settings, in whatever process needs them; but for those that only the keeper reads. */
export function tablesOf(loaded: LoadedSettings, clock: Clock, emit: Emit): Tables {
  const tell = (finding: { table: string; text: string }): void =>
    emit(events.tableTrouble, { table: finding.table, problem: finding.text });
  const keepers = certificateTablesOf(loaded.settings);
  return createTables(
    Object.fromEntries(Object.entries(loaded.settings.tables).filter(([name]) => !keepers.has(name))),
    (table, path) => watchedFile(table, path, clock, tell, loaded.tableTexts[table]),
    tell,
    (path) => locate(loaded.origins, path),
  );
}

/** What two listeners can't share. */
export function placeOf(settings: ListenerSettings): string {
  return settings.path ?? `${settings.address ?? "*"}:${settings.port ?? 0}/${settings.name}`;
}

function addressText(address: AddressInfo | string | undefined): string {
  if (address === undefined || typeof address === "string") return address ?? "nothing";
  return address.family === "IPv6" ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}
