import type { Clock, Timer } from "../../../foundation/clock.ts";
import { withDeadline } from "../../../foundation/deadline.ts";
import { messageOf } from "../../../foundation/error.ts";
import { formatDuration } from "../../../foundation/units.ts";
import { connectError } from "../../../service/table/pool/server-tls.io.ts";
import { HearingSocket } from "./hearing-socket.io.ts";
import type { ScannerAddress } from "./scanner-address.ts";

export interface ExchangeLimits {
  readonly connectMs: number;
  /** How long the scanner may neither take nor say anything. */
  readonly answerMs: number;
}

/** One question to a scanner, and what is to be done with its answer. */
export interface Exchange {
  /** What is sent, in its order. Stopped as soon as the answer is whole. */
  readonly sends: () => AsyncIterable<Uint8Array>;
  /** Whether nothing more is sent is told by closing our side. */
  readonly closesOurSide: boolean;
  /** True when the answer is whole. What it throws fails the exchange. A promise is back-pressure. */
  readonly onData: (chunk: Buffer) => boolean | Promise<boolean>;
  /** The scanner closed its side. True when the answer was whole; throws why it is not. */
  readonly onEnd: () => boolean | Promise<boolean>;
}

/**
 * Asks a scanner on a connection of its own, which is gone when this settles. Answers that come before all was sent are
 * heard: scanners say "too large" and close.
 */
export async function exchange(
  address: ScannerAddress,
  what: Exchange,
  limits: ExchangeLimits,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const socket = await withDeadline(clock, limits.connectMs, "connecting", (within) => dial(address, within), signal);
  try {
    await converse(socket, what, limits.answerMs, clock, signal);
  } finally {
    socket.destroy();
  }
}

function dial(address: ScannerAddress, signal: AbortSignal): Promise<HearingSocket> {
  const socket = new HearingSocket({ allowHalfOpen: true });
  if (address.kind === "unix") socket.connect({ path: address.path });
  else socket.setNoDelay(true).connect({ host: address.host, port: address.port });
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      socket.destroy();
      reject(new Error("nobody waits for it any more"));
    };
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    // Kept for the socket's life: an error that nobody listens for would end the process.
    socket.on("error", (error) => reject(connectError(error)));
    socket.once("connect", () => {
      signal.removeEventListener("abort", onAbort);
      resolve(socket);
    });
  });
}

function converse(
  socket: HearingSocket,
  what: Exchange,
  answerMs: number,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let isOver = false;
    let timer: Timer | undefined;
    const finish = (failure?: unknown): void => {
      if (isOver) return;
      isOver = true;
      timer?.cancel();
      signal.removeEventListener("abort", onAbort);
      // Frees whoever waits for it to drain.
      socket.destroy();
      if (failure === undefined) resolve();
      else reject(failure instanceof Error ? failure : new Error(messageOf(failure)));
    };
    const onAbort = (): void => finish(signal.reason ?? new Error("nobody waits for it any more"));
    const progress = (): void => {
      timer?.cancel();
      if (!isOver)
        timer = clock.after(answerMs, () => finish(new Error(`no answer within ${formatDuration(answerMs)}`)));
    };
    /** What an answer's reader says, in the order in which the bytes came. */
    let heard = Promise.resolve();
    const hear = (read: () => boolean | Promise<boolean>, whenNotWhole: () => void): void => {
      progress();
      socket.pause();
      heard = heard.then(async () => {
        if (isOver) return;
        try {
          if (await read()) finish();
          else whenNotWhole();
        } catch (thrown) {
          finish(thrown);
        }
      });
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    socket.on("data", (chunk: Buffer) =>
      hear(
        () => what.onData(chunk),
        () => socket.resume(),
      ),
    );
    socket.on("end", () =>
      hear(
        () => what.onEnd(),
        () => finish(new Error("it closed the connection in the middle of its answer")),
      ),
    );
    // An answer that was read before the connection broke is still an answer.
    const broke = async (why: Error): Promise<void> => {
      await heard;
      await turn();
      await heard;
      finish(why);
    };
    socket.on("error", (error) => void broke(error));
    socket.on("close", () => void broke(new Error("the connection broke")));
    progress();
    send(socket, what, () => isOver, progress).catch(finish);
  });
}

async function send(socket: HearingSocket, what: Exchange, isOver: () => boolean, progress: () => void): Promise<void> {
  for await (const piece of what.sends()) {
    // A turn of the loop, so that an answer that has come is heard before more is written to a peer that has gone.
    await turn();
    if (isOver() || !socket.writable || socket.writeFailure !== undefined) return;
    if (!socket.write(piece)) await drained(socket);
    progress();
  }
  if (what.closesOurSide && socket.writable) socket.end();
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function drained(socket: HearingSocket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off("drain", done);
      socket.off("close", done);
      resolve();
    };
    socket.on("drain", done);
    socket.on("close", done);
  });
}
