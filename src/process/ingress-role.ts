import { chmodSync, lstatSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { sleep, type Clock } from "../foundation/clock.ts";
import { messageOf, PosthornError, systemCodeOf } from "../foundation/error.ts";
import type { Emit } from "../foundation/events.ts";
import { messageIdMaker } from "../foundation/ids.ts";
import { createListener, type Listener } from "../mail/connection/listener.io.ts";
import type { ListenerSettings } from "../mail/connection/settings.ts";
import { rulesPolicy } from "../mail/envelope/rules.ts";
import { openIntake } from "../mail/queue/intake.io.ts";
import type { Intake, QueuePort } from "../mail/queue/queue.ts";
import { nobodyMayLogIn, tableAuthenticator } from "../service/account/table-authenticator.ts";
import { locate } from "../service/config/config.ts";
import { createResolver } from "../service/dns/resolver.io.ts";
import { watchedFile } from "../service/table/file.io.ts";
import { createTables, type Tables } from "../service/table/tables.ts";
import { serverTls } from "../service/tls/server-contexts.io.ts";
import * as events from "./events.ts";
import type { Folders } from "./folders.ts";
import type { LoadedSettings } from "./load-settings.ts";

/**
 * Reception: listening sockets, and for each settings in force one generation of listeners that takes what they accept. A
 * reload begins a new generation; sessions of an older one go on under the settings they began with.
 */
export interface IngressRole {
  /** `smtp=127.0.0.1:2525`, for people. */
  readonly listening: readonly string[];
  /** MAIL is answered 452 while paused. */
  setPaused(isPaused: boolean, because: string): void;
  /** Prepares the new settings and, when that worked, gives them to connections that come. Binds what is new. */
  reload(loaded: LoadedSettings): Promise<void>;
  /** No new connections; resolves when the last session has ended by itself. */
  leave(): Promise<void>;
  /** No new connections; what runs may end within the deadline. */
  stop(deadlineMs: number): Promise<void>;
}

export interface IngressParts {
  readonly loaded: LoadedSettings;
  readonly folders: Folders;
  readonly clock: Clock;
  readonly emit: Emit;
  readonly queue: QueuePort;
  readonly maker: number;
  readonly sessionPrefix: string;
  /** Sockets that somebody else bound, by listener. */
  readonly inherited: ReadonlyMap<string, number>;
}

interface Bound {
  readonly server: Server;
  readonly where: string;
  taker: Listener;
}

/** How often a process that leaves looks whether its last session has ended. */
const LOOK_EVERY_MS = 500;

export async function startIngress(parts: IngressParts): Promise<IngressRole> {
  const { clock, emit } = parts;
  const newMessageId = messageIdMaker(clock, parts.maker);
  const bound = new Map<string, Bound>();
  /** Listeners of all generations that have sessions, or may get some. */
  const listeners = new Set<Listener>();
  let pausedBecause: string | undefined;

  const generation = (loaded: LoadedSettings): ReadonlyMap<string, Listener> => {
    const { settings, secrets } = loaded;
    const tables = tablesOf(loaded, clock, emit);
    const contexts = secrets.certificates.length === 0 ? undefined : serverTls({ certificates: secrets.certificates });
    const intake = openIntake({ directory: parts.folders.queue, settings: settings.queue, clock, emit });
    const pausable: Intake = { begin: (id) => intake.begin(id), shortage: () => pausedBecause ?? intake.shortage() };
    const accounts = settings.accounts === undefined ? undefined : tables.get(settings.accounts);
    const world = {
      clock,
      emit,
      newMessageId,
      intake: pausable,
      queue: parts.queue,
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
      authenticator: accounts === undefined ? nobodyMayLogIn : tableAuthenticator(accounts),
      resolver: createResolver({ clock, settings: settings.dns }),
      tls: () => contexts,
    };
    return new Map(
      settings.listeners.map((listener) => [
        placeOf(listener),
        createListener({
          settings: listener,
          session: settings.session,
          hostname: settings.hostname,
          world,
          sessionPrefix: parts.sessionPrefix,
        }),
      ]),
    );
  };

  const bind = async (settings: ListenerSettings, taker: Listener): Promise<void> => {
    const server = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 120_000,
    });
    const entry: Bound = { server, where: placeOf(settings), taker };
    server.on("connection", (socket: Socket) => entry.taker.accept(socket));
    await listen(server, settings, parts.inherited.get(settings.name));
    server.on("error", (error) => emit(events.listenerTrouble, { listener: settings.name, problem: messageOf(error) }));
    bound.set(entry.where, entry);
  };

  /** Binds first what is new, so that a port that can't be had leaves everything as it was. */
  const take = async (loaded: LoadedSettings): Promise<void> => {
    const next = generation(loaded);
    const fresh: string[] = [];
    try {
      for (const settings of loaded.settings.listeners) {
        const place = placeOf(settings);
        const taker = next.get(place);
        if (taker === undefined || bound.has(place)) continue;
        await bind(settings, taker);
        fresh.push(place);
      }
    } catch (thrown) {
      for (const place of fresh) {
        bound.get(place)?.server.close();
        bound.delete(place);
      }
      throw thrown;
    }
    for (const [place, entry] of bound) {
      const taker = next.get(place);
      if (taker === undefined) {
        entry.server.close();
        bound.delete(place);
      } else entry.taker = taker;
    }
    for (const old of listeners) if (old.open === 0) listeners.delete(old);
    for (const listener of next.values()) listeners.add(listener);
  };

  await take(parts.loaded);
  return {
    get listening() {
      return [...bound.values()].map((entry) => `${entry.taker.name}=${addressOf(entry.server) ?? entry.where}`);
    },
    setPaused(isPaused, because) {
      pausedBecause = isPaused ? `paused: ${because}` : undefined;
    },
    reload: take,
    async leave() {
      for (const { server } of bound.values()) server.close();
      while ([...listeners].some((listener) => listener.open > 0)) await sleep(clock, LOOK_EVERY_MS);
    },
    async stop(deadlineMs) {
      for (const { server } of bound.values()) server.close();
      await Promise.all([...listeners].map((listener) => listener.close(deadlineMs)));
    },
  };
}

/** The tables of the settings, in whatever process needs them. */
export function tablesOf(loaded: LoadedSettings, clock: Clock, emit: Emit): Tables {
  const tell = (finding: { table: string; text: string }): void =>
    emit(events.tableTrouble, { table: finding.table, problem: finding.text });
  return createTables(
    loaded.settings.tables,
    (table, path) => watchedFile(table, path, clock, tell, loaded.tableTexts[table]),
    tell,
  );
}

/** What two listeners can't share. */
export function placeOf(settings: ListenerSettings): string {
  return settings.path ?? `${settings.address ?? "*"}:${settings.port ?? 0}/${settings.name}`;
}

function addressOf(server: Server): string | undefined {
  const address = server.address();
  if (address === null || typeof address === "string") return address ?? undefined;
  return address.family === "IPv6" ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

async function listen(server: Server, settings: ListenerSettings, fd: number | undefined): Promise<void> {
  if (fd === undefined && settings.path !== undefined) await removeDeadSocket(settings.path);
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => {
      const where = settings.path ?? `${settings.address ?? "*"}:${settings.port ?? 0}`;
      reject(
        new PosthornError("PORT_UNAVAILABLE", {
          message: `listener ${settings.name} cannot listen on ${where}: ${messageOf(error)}`,
          advice: ADVICE[systemCodeOf(error) ?? ""] ?? "see the listener's address, port and path in the settings",
          cause: error,
        }),
      );
    };
    server.once("error", fail);
    const done = (): void => {
      server.off("error", fail);
      resolve();
    };
    const { address, port = 0, backlog, path } = settings;
    if (fd !== undefined) server.listen({ fd }, done);
    else if (path !== undefined) server.listen({ path, backlog }, done);
    else server.listen({ port, backlog, ...(address === undefined ? {} : { host: address }) }, done);
  });
  if (fd === undefined && settings.path !== undefined) chmodSync(settings.path, Number.parseInt(settings.pathMode, 8));
}

/**
 * A socket file that nobody listens on is left from a process that was killed, and in the way. One that answers belongs
 * to somebody, and so does a file that is no socket: both stay, and binding says so.
 */
export async function removeDeadSocket(path: string): Promise<void> {
  try {
    if (!lstatSync(path).isSocket()) return;
  } catch {
    return;
  }
  const isAlive = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error) => resolve(systemCodeOf(error) !== "ECONNREFUSED"));
  });
  if (!isAlive) unlinkSync(path);
}

const ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program listens there; stop it, or set another port or path",
  EACCES: "ports below 1024 and other users' directories need rights; start as root, or set another port or path",
  EADDRNOTAVAIL: "this machine has no such address; set one of its own",
};
