import { connect, type Socket } from "node:net";
import type { KeyedBackend } from "../keyed-backend.ts";
import { pooledBackend, type PoolWorld } from "../pool/pooled-backend.ts";
import type { PoolDriver } from "../pool/pool.ts";
import { serverAddress } from "../pool/server-address.ts";
import { connectError } from "../pool/server-tls.io.ts";
import { TABLE_SERVICES, type TableService } from "../table.ts";
import { netstring, netstringReader } from "./netstring.ts";
import { MOST_REPLY_BYTES, parseReply } from "./reply.ts";
import type { SocketmapSettings } from "./settings.ts";

/** A connection, and who waits for its next reply. One question at a time: that is all the protocol has. */
interface Connection {
  readonly socket: Socket;
  waiting: { readonly resolve: (reply: string) => void; readonly reject: (error: Error) => void } | undefined;
}

/** A server that speaks the socketmap protocol of Sendmail and Postfix: `name key` in a netstring, and so the reply. */
export function socketmapBackend(table: string, settings: SocketmapSettings, world: PoolWorld): KeyedBackend {
  const driver: PoolDriver<Connection> = {
    open: openConnection,
    close: ({ socket }) => socket.destroy(),
    // A reply that says "failed" is an answer, and none is thrown: what is thrown has spoilt the connection.
    isAnswer: () => false,
  };
  const nameOf = (service: keyof SocketmapSettings["names"]): string =>
    settings.names[service] ?? settings.name ?? table;
  return pooledBackend(
    {
      table,
      kind: "socketmap",
      settings,
      driver,
      services: undefined,
      probed: probedOf(settings),
      async ask(connection, key, service) {
        const question = netstring(`${nameOf(service)} ${key}`);
        if (question.length > MOST_REPLY_BYTES) return { kind: "failed", text: "the key is too long to ask for" };
        return parseReply(await ask(connection, question));
      },
    },
    world,
  );
}

/** Each name once, so that a check finds those that the server does not know. */
function probedOf({ name, names }: SocketmapSettings): { service: TableService; path: readonly string[] }[] {
  const own = TABLE_SERVICES.filter((service) => names[service] !== undefined).map((service) => ({
    service,
    path: ["names", service],
  }));
  const isForAll = (name !== undefined || own.length === 0) && names.string === undefined;
  return isForAll ? [...own, { service: "string", path: ["name"] }] : own;
}

function openConnection(host: string, signal: AbortSignal, onGone: (why: string) => void): Promise<Connection> {
  const address = serverAddress(host);
  const socket =
    address.kind === "unix"
      ? connect({ path: address.path })
      : connect({ host: address.host, port: address.port ?? 0, noDelay: true });
  const connection: Connection = { socket, waiting: undefined };
  const lose = (why: string): void => {
    socket.destroy();
    const { waiting } = connection;
    connection.waiting = undefined;
    waiting?.reject(new Error(why));
    onGone(why);
  };
  const read = netstringReader(MOST_REPLY_BYTES);
  socket.on("data", (chunk: Uint8Array) => {
    for (const heard of read(chunk)) {
      const { waiting } = connection;
      if (heard.kind === "broken") lose(`the server sent ${heard.text}`);
      else if (waiting === undefined) lose("the server sent a reply that nobody asked for");
      else {
        connection.waiting = undefined;
        waiting.resolve(heard.text);
      }
    }
  });
  socket.on("close", () => lose("the server closed the connection"));
  return new Promise((resolve, reject) => {
    const onAbort = (): void => void socket.destroy();
    const fail = (error: Error): void => {
      signal.removeEventListener("abort", onAbort);
      reject(error);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    // Kept for the whole life of the connection: an error without a listener would end the process.
    socket.on("error", (error) => {
      fail(connectError(error));
      lose(connectError(error).message);
    });
    socket.once("close", () => fail(new Error("the server closed the connection")));
    socket.once("connect", () => {
      signal.removeEventListener("abort", onAbort);
      resolve(connection);
    });
  });
}

function ask(connection: Connection, question: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    if (connection.socket.destroyed) {
      reject(new Error("the connection is closed"));
      return;
    }
    connection.waiting = { resolve, reject };
    connection.socket.write(question);
  });
}
