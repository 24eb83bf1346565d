/** What the endurance runs share: a server and a client of ours, plain ones of Node's, and a count of what is open. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createSecureContext } from "node:tls";
import { systemClock } from "../../../src/foundation/clock.io.ts";
import { seededRandom, type Random } from "../../../src/foundation/random.ts";
import { tlsClientEngine, type ClientEngine } from "../../../src/service/tls/client.io.ts";
import { tlsServer } from "../../../src/service/tls/server.io.ts";
import type { ConnectOptions, ServerProfile, TlsServer } from "../../../src/service/tls/tls.ts";
import { testCertificates, type TestPair } from "../certificates.ts";

export type Version = "TLSv1.2" | "TLSv1.3";

export interface World extends AsyncDisposable {
  readonly certificate: TestPair;
  readonly server: TlsServer;
  readonly client: ClientEngine;
  readonly random: Random;
  connectOptions(version: Version, sessionKey?: string): ConnectOptions;
  /**
   * Listens on loopback. Closed with the world. Not counted are the sockets of Node's own server: it leaves some open, and
   * they end with the world.
   */
  listen(onConnection: (socket: Socket) => void, isCounted?: boolean): Promise<number>;
  dial(port: number, allowHalfOpen?: boolean): Promise<Socket>;
  /** Both ends of a new connection. */
  pair(): Promise<{ readonly dialled: Socket; readonly accepted: Socket }>;
  /** Sockets that were opened by either side and are not destroyed. */
  readonly openSockets: number;
}

export async function makeWorld(seed: number): Promise<World> {
  const { good: certificate } = await testCertificates();
  const options = { key: certificate.key, cert: certificate.cert, minVersion: "TLSv1.2" } as const;
  const profile: ServerProfile = {
    optionsFor: () => options,
    defaultOptions: options,
    ticketLifetimeMs: 3_600_000,
    clientCertificate: "none",
  };
  const contexts = {
    "TLSv1.2": createSecureContext({ maxVersion: "TLSv1.2" }),
    "TLSv1.3": createSecureContext({ minVersion: "TLSv1.3" }),
  };
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  const uncounted = new Set<Socket>();
  const count = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
  };
  const arrived = new Map<number, Socket>();
  const awaited = new Map<number, (socket: Socket) => void>();
  let pairPort: Promise<number> | undefined;
  const world: World = {
    pair: async () => {
      pairPort ??= world.listen((socket) => {
        const port = socket.remotePort ?? 0;
        const take = awaited.get(port);
        if (take === undefined) arrived.set(port, socket);
        else take(socket);
        awaited.delete(port);
      });
      const dialled = await world.dial(await pairPort);
      const port = dialled.localPort ?? 0;
      const early = arrived.get(port);
      arrived.delete(port);
      return { dialled, accepted: early ?? (await new Promise<Socket>((resolve) => awaited.set(port, resolve))) };
    },
    certificate,
    server: tlsServer({ profile: () => profile, clock: systemClock }),
    client: tlsClientEngine({ clock: systemClock }),
    random: seededRandom(seed),
    connectOptions: (version, sessionKey) => ({
      deadlineMs: 30_000,
      serverName: "mx.example",
      context: contexts[version],
      verify: () => ({ result: "NONE" }),
      sessionKey,
    }),
    async listen(onConnection, isCounted = true) {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
        if (isCounted) count(socket);
        else uncounted.add(socket.on("error", () => {}));
        onConnection(socket);
      });
      servers.push(server);
      server.listen({ host: "127.0.0.1", port: 0, backlog: 1024 });
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    },
    async dial(port, allowHalfOpen = true) {
      const socket = connect({ host: "127.0.0.1", port, noDelay: true, allowHalfOpen });
      count(socket);
      await once(socket, "connect");
      return socket;
    },
    get openSockets() {
      return [...sockets].filter((socket) => !socket.destroyed).length;
    },
    async [Symbol.asyncDispose]() {
      // Node's own server keeps count of connections whose sockets are gone; what is open is counted here.
      for (const server of servers) server.close();
      for (const socket of uncounted) socket.destroy();
      for (let waited = 0; world.openSockets > 0 && waited < 3000; waited += 20) await rest(20);
    },
  };
  return world;
}

export function upTo(random: Random, most: number): number {
  return Math.floor(random.next() * (most + 1));
}

export function pick<T>(random: Random, of: readonly T[]): T {
  const chosen = of[Math.floor(random.next() * of.length)];
  if (chosen === undefined) throw new Error("nothing to pick from");
  return chosen;
}

export function rest(ms: number): Promise<void> {
  return new Promise((resolve) => (ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms)));
}

/** The value, or a rejection that says what did not happen. */
export function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

/** Runs `one` for 0, 1, 2, … below `count`, so many at a time. */
export async function inParallel(count: number, at: number, one: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) await one(index);
  };
  await Promise.all(Array.from({ length: Math.min(at, count) }, work));
}
