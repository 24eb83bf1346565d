import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { descriptorOf } from "../../foundation/ffi/peer-credentials.io.ts";
import { PosthornError, messageOf } from "../../foundation/error.ts";
import type { Answerer } from "./obtain.io.ts";
import { boundVisitors } from "./visitors.io.ts";

/** A running answerer. */
export interface ListeningAnswerer extends Answerer {
  readonly port: number;
  /** The descriptor of its socket; undefined when it is closed. */
  readonly fd: number | undefined;
  close(): Promise<void>;
}

/** Where an answerer listens: a socket that somebody else bound, or a place. */
export type AnswererPlace = { readonly fd: number } | { readonly address?: string | undefined; readonly port: number };

const PATH = "/.well-known/acme-challenge/";
const HEAD_WITHIN_MS = 5000;
const MOST_HEAD_BYTES = 8192;

/**
 * Answers http-01 (RFC 8555 section 8.3): the tokens of challenges that are open, and 404 to everything else. It is open to
 * the world, so a client has five seconds for its question, one question for each connection, and there are few of them (`visitors.io.ts`).
 * Throws `PORT_UNAVAILABLE`.
 */
export async function httpAnswerer(place: AnswererPlace): Promise<ListeningAnswerer> {
  const known = new Map<string, string>();
  const server = createServer(
    {
      headersTimeout: HEAD_WITHIN_MS,
      requestTimeout: HEAD_WITHIN_MS,
      connectionsCheckingInterval: 1000,
      maxHeaderSize: MOST_HEAD_BYTES,
      keepAlive: false,
    },
    (request, response) => {
      // Nothing of a body is wanted; what comes of it is cut off with the connection.
      const path = pathIn(request.url ?? "");
      const answer =
        (request.method === "GET" || request.method === "HEAD") && path.startsWith(PATH)
          ? known.get(path.slice(PATH.length))
          : undefined;
      response.shouldKeepAlive = false;
      response.writeHead(answer === undefined ? 404 : 200, {
        "content-type": answer === undefined ? "text/plain" : "application/octet-stream",
        "content-length": Buffer.byteLength(answer ?? "not found\n"),
        connection: "close",
      });
      response.end(request.method === "HEAD" ? undefined : (answer ?? "not found\n"));
    },
  );
  boundVisitors(server);
  server.setTimeout(HEAD_WITHIN_MS, (socket) => socket.destroy());
  server.on("clientError", (_error, socket) => socket.destroy());
  await listening(server, place, "acme http");
  return {
    port: portOf(server.address()),
    get fd() {
      return descriptorOf(server);
    },
    async show({ token, keyAuthorization }) {
      known.set(token, keyAuthorization);
      return async () => {
        known.delete(token);
      };
    },
    async close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** RFC 9112 section 3.2.2: a request may name the host as well, as it does to a proxy, and must be taken. */
function pathIn(target: string): string {
  return target.replace(/^http:\/\/[^/?#]*/i, "");
}

/** Throws `PORT_UNAVAILABLE`. */
export async function listening(
  server: { listen(at: object): unknown; on: NodeJS.EventEmitter["on"] } & NodeJS.EventEmitter,
  place: AnswererPlace,
  name: string,
): Promise<void> {
  const at =
    "fd" in place
      ? { fd: place.fd }
      : { port: place.port, ...(place.address === undefined ? {} : { host: place.address }) };
  try {
    server.listen(at);
    await once(server, "listening");
  } catch (cause) {
    throw new PosthornError("PORT_UNAVAILABLE", {
      message: `listener ${name}: ${messageOf(cause)}`,
      advice:
        "stop the program that has the port, set another one under `acme`, or start the server with the right to it",
      cause,
    });
  }
  // Later ones are of single connections: there is nobody to tell.
  server.on("error", () => {});
}

export function portOf(address: AddressInfo | string | null): number {
  return typeof address === "object" && address !== null ? address.port : 0;
}
