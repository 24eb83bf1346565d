import { setImmediate } from "node:timers/promises";
import type { Socket } from "node:net";
import { StringDecoder } from "node:string_decoder";
import type { Clock, Timer } from "../../foundation/clock.ts";
import { withDeadline } from "../../foundation/deadline.ts";
import type { Emit } from "../../foundation/events.ts";
import { messageOf } from "../../foundation/error.ts";
import { descriptorOf, peerCredentials } from "../../foundation/ffi/peer-credentials.io.ts";
import type { Admin } from "./admin.ts";
import { changeAsked, changeFailed, requestRefused } from "./events.ts";
import { findOperation } from "./operations.ts";
import { OWN_QUESTIONS } from "./own-view.ts";
import { errorOf, LineSplitter, LONGEST_REQUEST, parseRequest, type Answer, type Request } from "./protocol.ts";
import { findStream, type StreamClient } from "./streams.ts";

export interface ClientContext {
  readonly admin: Admin;
  readonly clock: Clock;
  readonly emit: Emit;
  /** `own`: only `OWN_QUESTIONS`, and `admin` answers them with the client's own mail. */
  readonly may: "change" | "query" | "own";
}

const IDLE_MS = 5 * 60_000;
/** Of those who share a few places with everybody on this host. */
const OWN_IDLE_MS = 30_000;
const MOST_WAITING = 16;
/** Rows in one line of an answer. Between two portions other work gets its turn. */
const PORTION = 500;
const LONGEST_LOGGED = 500;
/**
 * How long a client may take over a portion. Generous, for a person may be reading the one before, and all that a client
 * that stalls costs is its place and a portion or two.
 */
const SLOW_MS = 5 * 60_000;
/** While a request is worked on, the client hears this often that somebody is there: it waits for no server that hangs. */
const SIGN_MS = 5_000;
/** How long the next portion of a stream may take to be made. */
const PORTION_MS = 30_000;

/** One client of a control socket: requests are answered one after the other; nothing it sends can end the process. */
export function serveClient(socket: Socket, context: ClientContext): void {
  const { clock, emit } = context;
  const descriptor = descriptorOf(socket);
  const peer = descriptor === undefined ? undefined : peerCredentials(descriptor);
  const uid = peer === undefined ? "unknown" : String(peer.uid);
  const ended = new AbortController();
  const decoder = new StringDecoder("utf8");
  const lines = new LineSplitter(LONGEST_REQUEST);
  const waiting: string[] = [];
  const idleMs = context.may === "own" ? OWN_IDLE_MS : IDLE_MS;
  let isBusy = false;
  let idle: Timer | undefined;

  // Only who asks for nothing is idle: a backup may take an hour.
  const rearm = (): void => {
    idle?.cancel();
    if (!isBusy && !socket.destroyed) idle = clock.after(idleMs, () => socket.destroy());
  };
  const sendLine = async (line: string): Promise<void> => {
    if (socket.destroyed || socket.write(line)) return;
    await new Promise<void>((resolve) => {
      const slow = clock.after(SLOW_MS, () => socket.destroy());
      const done = (): void => {
        slow.cancel();
        socket.off("drain", done);
        socket.off("close", done);
        resolve();
      };
      socket.on("drain", done);
      socket.on("close", done);
    });
  };
  const send = (answer: Answer): Promise<void> => sendLine(`${JSON.stringify(answer)}\n`);
  const fail = (id: number, thrown: unknown): Promise<void> => send({ id, ok: false, error: errorOf(thrown) });

  const sendList = async (id: number, list: readonly unknown[]): Promise<void> => {
    for (let at = 0; at < list.length && !socket.destroyed; at += PORTION) {
      await send({ id, items: list.slice(at, at + PORTION) });
      await setImmediate();
    }
    await send({ id, ok: true });
  };
  const perform = async (request: Request): Promise<void> => {
    const { id } = request;
    const stream = findStream(request.do);
    const operation = findOperation(request.do);
    const kind = operation?.kind ?? stream?.kind;
    if (kind === undefined) {
      const error = { code: "USAGE", message: `the server does not know ${JSON.stringify(request.do)}` };
      await send({ id, ok: false, error: { ...error, advice: "use a client of the same version as the server" } });
      return;
    }
    if (context.may === "own" && !OWN_QUESTIONS.has(request.do)) {
      // Not logged: anybody on this host could fill the log so.
      const error = { code: "CONTROL_REFUSED", message: `this user sees own mail only, not ${request.do}` };
      await send({ id, ok: false, error: { ...error, advice: "use root, or see control.query in the settings" } });
      return;
    }
    if (kind === "change" && context.may !== "change") {
      emit(requestRefused, { operation: request.do, uid });
      const error = { code: "CONTROL_REFUSED", message: `${request.do} is not allowed on the socket for queries` };
      await send({ id, ok: false, error: { ...error, advice: "changes need the control socket (control.change)" } });
      return;
    }
    if (kind === "change") {
      const text = (JSON.stringify(request.with) ?? "{}").slice(0, LONGEST_LOGGED);
      emit(changeAsked, { operation: request.do, arguments: text, uid, pid: String(peer?.pid ?? "unknown") });
    }
    try {
      if (stream !== undefined) {
        const client: StreamClient = {
          send: (items) =>
            typeof items === "string" ? sendLine(`{"id":${id},"items":${items}}\n`) : send({ id, items }),
          offer: (items) => {
            if (!socket.destroyed) socket.write(`${JSON.stringify({ id, items })}\n`);
          },
          soon: (made) => withDeadline(clock, PORTION_MS, `a portion of ${request.do}`, () => made),
          backlog: () => socket.writableLength,
          after: (delayMs, callback) => clock.after(delayMs, callback),
          signal: ended.signal,
        };
        await stream.perform(context.admin, request.with, client);
        await send({ id, ok: true });
      } else if (operation !== undefined) {
        const work = (): Promise<unknown> => operation.perform(context.admin, request.with);
        const value = await withDeadline(clock, operation.limitMs, request.do, work);
        await (Array.isArray(value) ? sendList(id, value) : send({ id, ok: true, value }));
      }
    } catch (thrown) {
      if (kind === "change") emit(changeFailed, { operation: request.do, uid, problem: messageOf(thrown) });
      await fail(id, thrown);
    }
  };
  const performWithSigns = async (request: Request): Promise<void> => {
    const sign = (): void => {
      if (socket.destroyed) return;
      // Who has not taken what was said before needs no more.
      if (socket.writableLength === 0) socket.write(`${JSON.stringify({ id: request.id, items: [] })}\n`);
      timer = clock.after(SIGN_MS, sign);
    };
    let timer = clock.after(SIGN_MS, sign);
    try {
      await perform(request);
    } finally {
      timer.cancel();
    }
  };
  const work = async (): Promise<void> => {
    if (isBusy) return;
    isBusy = true;
    idle?.cancel();
    for (let line = waiting.shift(); line !== undefined && !socket.destroyed; line = waiting.shift()) {
      const request = parseRequest(line);
      if (request.ok) await performWithSigns(request.value);
      else await send({ id: request.problem.id, ok: false, error: request.problem.error });
      if (waiting.length < MOST_WAITING) socket.resume();
    }
    isBusy = false;
    rearm();
  };

  socket.on("data", (bytes: Buffer) => {
    rearm();
    const whole = lines.push(decoder.write(bytes));
    if (whole === undefined) {
      const error = { code: "USAGE", message: `the request is longer than ${LONGEST_REQUEST} characters` };
      socket.end(`${JSON.stringify({ id: 0, ok: false, error: { ...error, advice: "ask for less at once" } })}\n`);
      return;
    }
    waiting.push(...whole.filter((line) => line.trim() !== ""));
    if (waiting.length >= MOST_WAITING) socket.pause();
    void work();
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    idle?.cancel();
    ended.abort();
  });
  rearm();
}
