import { connect, type Socket } from "node:net";
import type { Clock } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { Random } from "../../../foundation/random.ts";
import { policyAnswerReader } from "../../../protocol/policy/answer-reader.ts";
import { createPool, type Pool, type PoolDriver } from "../../../service/table/pool/pool.ts";
import { serverAddress } from "../../../service/table/pool/server-address.ts";
import type { PolicyServiceSettings } from "./policy-service-settings.ts";
import type { AskPolicy } from "./policy-service.ts";

/** A connection, and who waits for its next answer: one question at a time. */
interface Connection {
  readonly socket: Socket;
  waiting: { readonly resolve: (action: string) => void; readonly reject: (error: Error) => void } | undefined;
}

const MOST_WAITING = 1000;
const CONNECT_MS = 5000;
/** As Postfix: a server may keep something about each connection. */
const LIFETIME_MS = 30 * 60_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

/**
 * Who asks policy servers, over connections that are kept: those of one entry of the settings among themselves. A connection
 * whose answer was late or made no sense is not used again; one that the server closed while it rested costs no answer.
 */
export function policyClient(clock: Clock, random: Random): AskPolicy & { close(): void } {
  /** By what the settings say: a reload that changes nothing of it keeps the connections. */
  const pools = new Map<string, Pool<Connection>>();
  const poolOf = (settings: PolicyServiceSettings): Pool<Connection> => {
    const key = JSON.stringify(settings);
    const known = pools.get(key);
    if (known !== undefined) return known;
    const options = {
      hosts: settings.at,
      mostConnections: settings.connections,
      mostWaiting: MOST_WAITING,
      connectMs: Math.min(CONNECT_MS, settings.timeout),
      idleMs: settings.idle,
      lifetimeMs: LIFETIME_MS,
      firstPauseMs: FIRST_PAUSE_MS,
      longestPauseMs: LONGEST_PAUSE_MS,
    };
    const pool = createPool(driver, options, clock, random);
    pools.set(key, pool);
    return pool;
  };
  const askPolicy: AskPolicy = async (settings, request) => {
    try {
      const action = await poolOf(settings).use(settings.timeout, (connection) => ask(connection, request));
      return { kind: "action", action };
    } catch (thrown) {
      return { kind: "failed", text: messageOf(thrown) };
    }
  };
  return Object.assign(askPolicy, {
    close: () => {
      for (const pool of pools.values()) pool.close();
      pools.clear();
    },
  });
}

const driver: PoolDriver<Connection> = {
  open: openConnection,
  close: ({ socket }) => socket.destroy(),
  isAnswer: () => false,
};

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
  const read = policyAnswerReader();
  socket.on("data", (chunk: Uint8Array) => {
    for (const heard of read(chunk)) {
      const { waiting } = connection;
      if (heard.kind === "broken") lose(`it sent ${heard.text}`);
      else if (waiting === undefined) lose("it sent an answer that nobody asked for");
      else {
        connection.waiting = undefined;
        waiting.resolve(heard.action);
      }
    }
  });
  socket.on("close", () => lose("it closed the connection"));
  return new Promise((resolve, reject) => {
    const onAbort = (): void => void socket.destroy();
    const fail = (error: Error): void => {
      signal.removeEventListener("abort", onAbort);
      reject(error);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    // Kept for the whole life of the connection: an error without a listener would end the process.
    socket.on("error", (error) => {
      fail(error);
      lose(messageOf(error));
    });
    socket.once("close", () => fail(new Error("it closed the connection")));
    socket.once("connect", () => {
      signal.removeEventListener("abort", onAbort);
      resolve(connection);
    });
  });
}

function ask(connection: Connection, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    if (connection.socket.destroyed) {
      reject(new Error("the connection is closed"));
      return;
    }
    connection.waiting = { resolve, reject };
    connection.socket.write(request);
  });
}
