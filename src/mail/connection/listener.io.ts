import { removeDeadSocket } from "./dead-socket.io.ts";
import { chmodSync } from "node:fs";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { descriptorOf } from "../../foundation/ffi/peer-credentials.io.ts";
import { messageOf, PosthornError, systemCodeOf } from "../../foundation/error.ts";
import { shortIdMaker } from "../../foundation/ids.ts";
import type { Resolver } from "../../protocol/dns/resolver.ts";
import type { WebSources } from "../../service/autoconfig/answer.ts";
import { tlsServer } from "../../service/tls/server.io.ts";
import type { ServerProfile } from "../../service/tls/tls.ts";
import type { KnownClient, SessionServices } from "../session/services.ts";
import type { SessionSettings } from "../session/settings.ts";
import type { SaslMechanism } from "../../protocol/sasl/question.ts";
import { rulesOf, type CommonRewriting, type ListenerRules } from "./connection.ts";
import { listenerFailed, listening } from "./events.ts";
import { createLimits, type Limits } from "./limits.ts";
import { Reception, type Receiving } from "./reception.io.ts";
import type { ListenerSettings } from "./settings.ts";

/** Everything a listener and its sessions need of the rest of the server. */
export interface ListenerWorld extends Omit<SessionServices, "tls"> {
  /** Absent: clients have no names but their addresses. */
  readonly resolver?: Resolver | undefined;
  /** Asked at each handshake; undefined while there is no certificate: STARTTLS then fails. */
  readonly tls: () => ServerProfile | undefined;
  /** What listeners for HTTP tell; absent: nothing. */
  readonly web?: WebSources | undefined;
}

export interface ListenerConfiguration {
  readonly settings: ListenerSettings;
  /** The common session settings; the listener's own overrides are applied here. */
  readonly session: SessionSettings;
  /** The server's name, unless the listener has its own. */
  readonly hostname: string;
  /** How clients may log in, where the listener does not say otherwise. Left out: PLAIN, LOGIN, EXTERNAL. */
  readonly mechanisms?: readonly SaslMechanism[] | undefined;
  /** Left out: nothing is rewritten. */
  readonly rewriting?: CommonRewriting | undefined;
  /** Names of ours besides, by which a trace field is known as ours. */
  readonly ownNames?: readonly string[] | undefined;
}

export interface ListenerOptions extends ListenerConfiguration {
  readonly world: ListenerWorld;
  /** Makes session ids unique among processes: `i1-`. */
  readonly sessionPrefix?: string | undefined;
}

/** What to listen on when somebody else has bound it: a descriptor (systemd), a handle or server from the supervisor. */
export type Inherited =
  | { readonly fd: number }
  | { readonly server: Server }
  /** What `process.on("message", (m, handle))` gives. */
  | { readonly handle: object };

export interface ListenedPort {
  /** Undefined: all of this machine's. */
  readonly address: string | undefined;
  readonly port: number;
  readonly backlog: number;
}

export interface Listener {
  readonly name: string;
  /** Resolves when connections are taken. Throws `PORT_UNAVAILABLE`. */
  listen(inherited?: Inherited): Promise<void>;
  /** A connection that was accepted elsewhere, of a client that is known there, perhaps. */
  accept(socket: Socket, known?: KnownClient): void;
  /**
   * No new connections; idle sessions are told 421, transactions may end until `deadlineMs` has passed, then everything is
   * cut. Resolves when the last connection is closed.
   */
  close(deadlineMs: number): Promise<void>;
  /** No new connections; those there are go on as if nothing had happened. Resolves when the last has closed. */
  drain(): Promise<void>;
  /**
   * For connections that come from now on; running sessions keep settings and services they began with. Address, port
   * and path stay as they are, and open connections stay counted. Without a world the present one goes on serving.
   */
  reconfigure(next: ListenerConfiguration & { readonly world?: ListenerWorld | undefined }): void;
  /** Where it listens; undefined before `listen` and after `close`. */
  address(): AddressInfo | string | undefined;
  /** What it listens on, without a place where that is a path; undefined before `listen` and after `close`. */
  readonly socket: { readonly fd: number; readonly place: ListenedPort | undefined } | undefined;
  /** Open connections. */
  readonly open: number;
  /** To be shared with other processes that take connections for the same listener. */
  readonly limits: Limits;
}

export function createListener(options: ListenerOptions): Listener {
  return new NetListener(options);
}

class NetListener implements Listener {
  readonly name: string;
  #world: ListenerWorld;
  #services: SessionServices;
  readonly #limits: Limits;
  readonly #newSessionId: () => string;
  readonly #receiving = new Set<Receiving>();
  #rules: ListenerRules;
  #server: Server | undefined;
  #isClosing = false;
  #whenEmpty: (() => void)[] = [];

  constructor(options: ListenerOptions) {
    const { world, settings } = options;
    this.name = settings.name;
    this.#world = world;
    this.#rules = rulesOf(options);
    this.#limits = createLimits(settings.limits, world.clock);
    this.#newSessionId = shortIdMaker(`${options.sessionPrefix ?? ""}${settings.name}-`);
    this.#services = servicesOf(world);
  }

  get limits(): Limits {
    return this.#limits;
  }

  get socket(): Listener["socket"] {
    const fd = this.#server === undefined ? undefined : descriptorOf(this.#server);
    const { address, port, backlog } = this.#rules.settings;
    if (fd === undefined) return undefined;
    return { fd, place: port === undefined ? undefined : { address, port, backlog } };
  }

  get open(): number {
    return this.#receiving.size;
  }

  async listen(inherited?: Inherited): Promise<void> {
    const { settings } = this.#rules;
    const server =
      inherited !== undefined && "server" in inherited
        ? inherited.server
        : // Half-open connections are kept, so that a client that ends its side still gets the reply it waits for.
          createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 120_000 });
    this.#server = server;
    server.on("connection", (socket) => this.accept(socket));
    if (!server.listening) {
      if (inherited === undefined && settings.path !== undefined) await removeDeadSocket(settings.path);
      await this.#bind(server, inherited);
    }
    if (inherited === undefined && settings.path !== undefined)
      chmodSync(settings.path, Number.parseInt(settings.pathMode, 8));
    server.on("error", (error) => {
      this.#world.emit(listenerFailed, { listener: this.name, reason: messageOf(error) });
    });
    this.#world.emit(listening, {
      listener: this.name,
      at: addressText(this.address()),
      protocol: settings.protocol,
      tls: settings.tls,
    });
  }

  #bind(server: Server, inherited: Inherited | undefined): Promise<void> {
    const { settings } = this.#rules;
    const where = settings.path ?? `${settings.address ?? "*"}:${settings.port ?? 0}`;
    return new Promise((resolve, reject) => {
      const onError = (error: Error): void => {
        reject(
          new PosthornError("PORT_UNAVAILABLE", {
            message: `listener ${this.name} cannot listen on ${where}: ${messageOf(error)}`,
            advice: ADVICE.get(systemCodeOf(error)) ?? "see the listener's address, port and path in the settings",
            cause: error,
          }),
        );
      };
      server.once("error", onError);
      const onListening = (): void => {
        server.off("error", onError);
        resolve();
      };
      if (inherited !== undefined && "handle" in inherited) server.listen(inherited.handle, onListening);
      else if (inherited !== undefined && "fd" in inherited) server.listen({ fd: inherited.fd }, onListening);
      else if (settings.path !== undefined)
        server.listen({ path: settings.path, backlog: settings.backlog }, onListening);
      else {
        const { address, port = 0, backlog } = settings;
        server.listen({ port, backlog, ...(address === undefined ? {} : { host: address }) }, onListening);
      }
    });
  }

  accept(socket: Socket, known?: KnownClient): void {
    if (this.#isClosing) {
      socket.destroy();
      return;
    }
    const { tls, resolver, web } = this.#world;
    const receiving = new Reception({
      socket,
      rules: this.#rules,
      limits: this.#limits,
      services: this.#services,
      resolver,
      web,
      known,
      hasCertificate: () => tls() !== undefined,
      newSessionId: this.#newSessionId,
      onEnd: () => {
        this.#receiving.delete(receiving);
        if (this.#receiving.size === 0) for (const tell of this.#whenEmpty.splice(0)) tell();
      },
    });
    this.#receiving.add(receiving);
    receiving.begin();
  }

  reconfigure(next: ListenerConfiguration & { readonly world?: ListenerWorld | undefined }): void {
    if (next.world !== undefined) {
      this.#world = next.world;
      this.#services = servicesOf(next.world);
    }
    this.#rules = rulesOf(next);
    this.#limits.reconfigure(next.settings.limits);
  }

  address(): AddressInfo | string | undefined {
    if (this.#server === undefined) return undefined;
    // An inherited unix socket does not say where it is.
    return this.#server.address() ?? this.#rules.settings.path;
  }

  async drain(): Promise<void> {
    // Whoever has connected by now is taken: the system would reset what is still waiting when the socket closes.
    await new Promise((resolve) => setImmediate(resolve));
    this.#stopAccepting();
    if (this.#receiving.size > 0) await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
  }

  async close(deadlineMs: number): Promise<void> {
    this.#isClosing = true;
    this.#stopAccepting();
    for (const receiving of this.#receiving) receiving.stop();
    if (this.#receiving.size === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#world.clock.after(deadlineMs, () => {
        for (const receiving of this.#receiving) receiving.destroy();
      });
      this.#whenEmpty.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  #stopAccepting(): void {
    const server = this.#server;
    this.#server = undefined;
    // Its callback waits for every connection; we count those ourselves.
    if (server?.listening === true) server.close();
  }
}

function servicesOf(world: ListenerWorld): SessionServices {
  return { ...world, tls: tlsServer({ profile: world.tls, clock: world.clock }) };
}

function addressText(address: AddressInfo | string | undefined): string {
  if (address === undefined || typeof address === "string") return address ?? "nothing";
  return address.family === "IPv6" ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

const ADVICE: ReadonlyMap<string | undefined, string> = new Map([
  ["EADDRINUSE", "another program listens there; stop it, or set another port or path"],
  ["EACCES", "ports below 1024 and other users' directories need rights; start as root, or set another port or path"],
  ["EADDRNOTAVAIL", "this machine has no such address; set one of its own"],
]);
