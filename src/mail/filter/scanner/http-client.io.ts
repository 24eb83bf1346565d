import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest, type AgentOptions } from "node:https";
import { isIP } from "node:net";
import type { SecureContext } from "node:tls";
import type { Clock, Timer } from "../../../foundation/clock.ts";
import { withDeadline } from "../../../foundation/deadline.ts";
import { messageOf } from "../../../foundation/error.ts";
import { formatDuration } from "../../../foundation/units.ts";
import { connectError } from "../../../service/table/pool/server-tls.io.ts";
import type { SystemTrust } from "../../../service/table/pool/system-trust.ts";
import type { ExchangeLimits } from "./exchange.io.ts";
import type { HttpServer } from "./http-server.ts";

export interface HttpQuestion {
  readonly method: "GET" | "POST";
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** Read again when a kept connection turns out to be closed. */
  readonly body: () => AsyncIterable<Uint8Array>;
  /** Undefined: not known before, sent in chunks. */
  readonly bodyBytes: number | undefined;
  /** The answer has begun. Gives what takes its body; what it throws fails the question. */
  readonly onHead: (head: HttpHead) => (bytes: Buffer) => void | Promise<void>;
}

export interface HttpHead {
  readonly status: number;
  /** The first value of a header, by its lower-case name. */
  header(name: string): string | undefined;
}

export interface HttpClient {
  /** Settles when the answer has come whole. Redirects are answers like others: nobody follows them. */
  ask(server: HttpServer, question: HttpQuestion, limits: ExchangeLimits, signal: AbortSignal): Promise<void>;
  /** What is under way comes to its end: a session of settings that are gone still waits for it. No connection is kept. */
  close(): void;
}

/** How long an idle connection is kept. */
const IDLE_MS = 10_000;

/** Asks over HTTP/1.1, on connections that are kept for the next question. `trusted`: a filter's own authorities, or the system's. */
export function httpClient(clock: Clock, trusted: string | SystemTrust): HttpClient {
  const keep = { keepAlive: true, maxFreeSockets: 16, timeout: IDLE_MS };
  const plain = new HttpAgent(keep);
  const tls = secureAgents(keep, trusted);
  const asked = async (
    server: HttpServer,
    question: HttpQuestion,
    limits: ExchangeLimits,
    signal: AbortSignal,
  ): Promise<"answered" | "stale"> => {
    const { method, headers, bodyBytes } = question;
    const options = {
      method,
      path: server.path,
      host: server.host,
      port: server.port,
      ...(server.socketPath === undefined ? {} : { socketPath: server.socketPath }),
      headers: { ...headers, ...(bodyBytes === undefined ? {} : { "content-length": String(bodyBytes) }) },
    };
    if (!server.isTls) return await once(httpRequest({ ...options, agent: plain }), question, limits, clock, signal);
    const agent = await withDeadline(clock, limits.connectMs, "who is to be trusted", () => tls.current(), signal);
    const name = isIP(server.host) === 0 ? { servername: server.host } : {};
    return await once(httpsRequest({ ...options, agent, ...name }), question, limits, clock, signal);
  };
  return {
    async ask(server, question, limits, signal) {
      const first = await asked(server, question, limits, signal);
      if (first === "stale") {
        const second = await asked(server, question, limits, signal);
        if (second === "stale") throw new Error("it closes its connections before anything is asked");
      }
    },
    close() {
      letGo(plain);
      tls.letGo();
    },
  };
}

interface SecureAgents {
  current(): Promise<HttpsAgent>;
  letGo(): void;
}

function secureAgents(keep: AgentOptions, trusted: string | SystemTrust): SecureAgents {
  const agentWith = (authorities: Pick<AgentOptions, "ca" | "secureContext">): HttpsAgent =>
    new HttpsAgent({ ...keep, minVersion: "TLSv1.2", rejectUnauthorized: true, ...authorities });
  if (typeof trusted === "string") {
    const agent = agentWith({ ca: trusted });
    return { current: () => Promise.resolve(agent), letGo: () => letGo(agent) };
  }
  let known: { readonly context: SecureContext; readonly agent: HttpsAgent } | undefined;
  return {
    async current() {
      const { context } = await trusted.current();
      if (known?.context === context) return known.agent;
      // With other authorities each server is verified anew: no connection and no session of TLS from before is used again.
      if (known !== undefined) letGo(known.agent);
      known = { context, agent: agentWith({ secureContext: context }) };
      return known.agent;
    },
    letGo() {
      if (known !== undefined) letGo(known.agent);
    },
  };
}

/** `agent.destroy()` would cut connections that are in use. */
function letGo(agent: HttpAgent): void {
  agent.maxFreeSockets = 0;
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
}

/** One request, which is in nobody's hands before: it may fail in the next moment. `stale`: a kept connection was closed before anything of an answer came, which proves nothing. */
function once(
  request: ClientRequest,
  question: HttpQuestion,
  limits: ExchangeLimits,
  clock: Clock,
  signal: AbortSignal,
): Promise<"answered" | "stale"> {
  return new Promise((resolve, reject) => {
    let isOver = false;
    let hasAnswer = false;
    let timer: Timer | undefined;
    const settle = (): boolean => {
      if (isOver) return false;
      isOver = true;
      timer?.cancel();
      signal.removeEventListener("abort", onAbort);
      return true;
    };
    const fail = (thrown: unknown): void => {
      if (!settle()) return;
      request.destroy();
      if (!hasAnswer && request.reusedSocket && !signal.aborted) resolve("stale");
      else reject(connectError(thrown));
    };
    const wait = (ms: number, what: string): void => {
      timer?.cancel();
      if (!isOver) timer = clock.after(ms, () => tooLate(`${what} within ${formatDuration(ms)}`));
    };
    const tooLate = (text: string): void => {
      hasAnswer = true;
      fail(new Error(text));
    };
    const onAbort = (): void => tooLate(messageOf(signal.reason ?? "nobody waits for it any more"));
    const progress = (): void => wait(limits.answerMs, "no answer");

    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener("abort", onAbort, { once: true });
    // Once an answer has begun, its own end or failure counts: servers answer early, and close on what is still being sent.
    request.on("error", (error) => {
      if (!hasAnswer) fail(error);
    });
    request.on("socket", (socket) => {
      if (!socket.connecting) {
        progress();
        return;
      }
      wait(limits.connectMs, "no connection");
      socket.once("connect", progress);
    });
    request.on("response", (response) => {
      hasAnswer = true;
      take(response, question, progress, () => isOver).then(
        () => {
          if (!settle()) return;
          // What was not sent yet is not sent any more, and such a connection can't be used again.
          if (!request.writableEnded) request.destroy();
          resolve("answered");
        },
        (thrown: unknown) => {
          fail(thrown);
        },
      );
    });
    request.on("close", () => {
      if (!hasAnswer) fail(new Error("it closed the connection without an answer"));
    });
    send(request, question, () => isOver, progress).catch(fail);
  });
}

async function take(
  response: IncomingMessage,
  question: HttpQuestion,
  progress: () => void,
  isOver: () => boolean,
): Promise<void> {
  progress();
  const sink = question.onHead({
    status: response.statusCode ?? 0,
    header(name) {
      const value = response.headers[name];
      return Array.isArray(value) ? value[0] : value;
    },
  });
  for await (const chunk of response) {
    if (isOver()) return;
    progress();
    // A response without an encoding gives buffers.
    await sink(chunk as Buffer);
  }
  if (!response.complete) throw new Error("it closed the connection in the middle of its answer");
}

async function send(
  request: ClientRequest,
  question: HttpQuestion,
  isOver: () => boolean,
  progress: () => void,
): Promise<void> {
  for await (const piece of question.body()) {
    if (isOver() || request.destroyed) return;
    if (piece.length > 0 && !request.write(piece)) await drained(request);
    if (isOver()) return;
    if (request.socket?.connecting === false) progress();
  }
  request.end();
}

function drained(request: ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      request.off("drain", done);
      request.off("close", done);
      resolve();
    };
    request.on("drain", done);
    request.on("close", done);
  });
}
