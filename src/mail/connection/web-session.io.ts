import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock, Timer } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { answerWeb, type WebAnswer, type WebSources } from "../../service/autoconfig/answer.ts";
import type { RunningSession } from "../session/services.ts";

/**
 * One question over HTTP/1.1 at a listener with `protocol: http`: mail programs that look for their settings, and senders
 * that look for a domain's MTA-STS policy. A connection is one question, its answer and the end, within a fixed time:
 * whoever is slow with the head, the body or taking the answer is cut.
 */
export interface WebOptions {
  readonly socket: Duplex;
  readonly sources: WebSources;
  readonly clock: Clock;
  /** What was asked before we listened. */
  readonly early?: Buffer | undefined;
  readonly onEnd: (summary: WebSummary) => void;
}

export interface WebSummary {
  /** `GET /mail/config-v1.1.xml`, cut; absent when nothing whole was asked. */
  readonly asked?: string | undefined;
  readonly status?: number | undefined;
}

const WHOLE_MS = 15_000;
const MOST_HEAD_BYTES = 8192;
const MOST_BODY_BYTES = 16_384;

export function runWebSession(options: WebOptions): RunningSession {
  return new WebSession(options);
}

class WebSession implements RunningSession {
  readonly #options: WebOptions;
  readonly #timer: Timer;
  #summary: WebSummary = {};
  #hasAsked = false;

  constructor(options: WebOptions) {
    this.#options = options;
    const { socket, clock, early } = options;
    this.#timer = clock.after(WHOLE_MS, () => socket.destroy());
    socket.on("error", () => {});
    socket.once("close", () => {
      this.#timer.cancel();
      options.onEnd(this.#summary);
    });
    if (early !== undefined) socket.unshift(early);
    const server = httpMachine();
    handlers.set(socket, (request, response) => void this.#answer(request, response));
    // The machine reads any stream as a connection of its own.
    server.emit("connection", socket);
    socket.resume();
  }

  stop(): void {
    if (!this.#hasAsked) this.#options.socket.destroy();
  }

  destroy(): void {
    this.#options.socket.destroy();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const method = request.method ?? "";
    const target = request.url ?? "";
    this.#hasAsked = true;
    let answer: WebAnswer;
    try {
      const body = await bodyOf(request);
      const host = (request.headers.host ?? "").toLowerCase().replace(/:\d*$/, "");
      answer =
        body === undefined
          ? { status: 413, type: "text/plain", body: "too long\n" }
          : await answerWeb({ method, target, host, body }, this.#options.sources);
    } catch (thrown) {
      answer = { status: 503, type: "text/plain", body: `this cannot be found out now\n` };
      this.#summary = { asked: `${method} ${target.slice(0, 200)} (${messageOf(thrown)})`, status: 503 };
    }
    this.#summary = { asked: `${method} ${target.slice(0, 200)}`, status: answer.status, ...this.#summary };
    const bytes = Buffer.from(answer.body);
    response.shouldKeepAlive = false;
    response.writeHead(answer.status, {
      ...answer.fields,
      "content-type": answer.type,
      "content-length": bytes.length,
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      connection: "close",
    });
    response.end(method === "HEAD" ? undefined : bytes);
  }
}

/** Undefined when it is longer than any question. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MOST_BODY_BYTES) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
const handlers = new WeakMap<Duplex, Handler>();
let machine: Server | undefined;

/** Node's HTTP parser, without a port: deadlines are the session's. */
function httpMachine(): Server {
  if (machine !== undefined) return machine;
  // An import would look at all that the module has, a whole second client of HTTP among it: 30 ms of each start.
  const { createServer } = process.getBuiltinModule("node:http");
  machine = createServer({ maxHeaderSize: MOST_HEAD_BYTES, keepAlive: false, insecureHTTPParser: false });
  machine.maxHeadersCount = 100;
  machine.timeout = 0;
  machine.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const handler = handlers.get(request.socket);
    // One question a connection: the first answer ends it.
    handlers.delete(request.socket);
    handler?.(request, response);
  });
  machine.on("clientError", (_error, socket: Duplex) => {
    if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    else socket.destroy();
  });
  return machine;
}
