import type { Duplex } from "node:stream";
import type { Clock } from "../../foundation/clock.ts";
import { messageOf, PosthornError, systemCodeOf, type ErrorCode } from "../../foundation/error.ts";
import { frameBytes, HEAD_BYTES, readFrame } from "./frame.ts";

/**
 * Typed calls between two roles over a stream: requests, answers and one-way notes in both directions. What is said in
 * one turn of the event loop travels in one frame, so that a busy server pays one write for many calls.
 *
 * A frame is a length and an array of parts (`frame.ts`). Both ends are ours and of one version; a frame that does not
 * decode, or is longer than `MOST_FRAME_BYTES`, ends the channel.
 *
 * When the stream ends, every call that waits rejects with ROLE_UNAVAILABLE: nobody waits for a process that is gone.
 */
const MOST_FRAME_BYTES = 256 * 1024 * 1024;

type Part =
  | readonly ["call", number, string, readonly unknown[]]
  | readonly ["note", string, readonly unknown[]]
  | readonly ["done", number, unknown]
  | readonly ["fail", number, WireError];

interface WireError {
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly advice: string;
  readonly systemCode: string | undefined;
}

/** What the other end may call here: any async function of plain data. */
// Handlers differ in their arguments; the contracts in `roles.ts` type both ends.
export type Handlers = Readonly<Record<string, (...args: never[]) => unknown>>;

export interface Channel {
  call(method: string, args: readonly unknown[]): Promise<unknown>;
  /** Says without waiting for an answer. Bytes not yet taken by the other end are bounded by the caller through `backlogBytes`. */
  note(method: string, args: readonly unknown[]): void;
  /** Bytes written and not yet taken by the other end. */
  backlogBytes(): number;
  close(): void;
  readonly isOpen: boolean;
  /** Settles when the channel has ended, for whatever reason. */
  readonly ended: Promise<void>;
}

export function openChannel(options: {
  stream: Duplex;
  /** Whom we speak with, for errors. */
  peer: string;
  handlers: Handlers;
}): Channel {
  const { stream, peer, handlers } = options;
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: unknown) => void }>();
  let nextCall = 1;
  let outgoing: Part[] = [];
  let isFlushPlanned = false;
  let isOpen = true;

  const flush = (): void => {
    isFlushPlanned = false;
    if (!isOpen || outgoing.length === 0) return;
    const [bytes, ...more] = frameBytes(outgoing);
    outgoing = [];
    if (more.length > 0) stream.cork();
    stream.write(bytes);
    for (const each of more) stream.write(each);
    if (more.length > 0) stream.uncork();
  };
  const say = (part: Part): void => {
    outgoing.push(part);
    if (isFlushPlanned) return;
    isFlushPlanned = true;
    setImmediate(flush);
  };
  const unavailable = (): PosthornError =>
    new PosthornError("ROLE_UNAVAILABLE", {
      message: `the ${peer} process is not there`,
      advice: "the supervisor restarts it; look for its last lines in the log",
    });
  const { promise: ended, resolve: onEnded } = Promise.withResolvers<void>();
  const end = (): void => {
    if (!isOpen) return;
    isOpen = false;
    stream.destroy();
    for (const { reject } of waiting.values()) reject(unavailable());
    waiting.clear();
    onEnded();
  };

  const answer = async (id: number, method: string, args: readonly unknown[]): Promise<void> => {
    try {
      const handler = handlers[method];
      if (handler === undefined) throw new Error(`no such call: ${method}`);
      say(["done", id, await handler(...(args as never[]))]);
    } catch (thrown) {
      say(["fail", id, wireErrorOf(thrown)]);
    }
  };
  const take = (part: Part): void => {
    switch (part[0]) {
      case "call":
        void answer(part[1], part[2], part[3]);
        return;
      case "note":
        void handlers[part[1]]?.(...(part[2] as never[]));
        return;
      case "done":
        waiting.get(part[1])?.resolve(part[2]);
        waiting.delete(part[1]);
        return;
      case "fail":
        waiting.get(part[1])?.reject(errorOfWire(part[2]));
        waiting.delete(part[1]);
    }
  };

  const feed = frameReader((payload) => {
    // Both ends are ours: a frame holds an array of parts, and one that does not is caught below.
    for (const part of readFrame(payload) as readonly Part[]) take(part);
  });
  stream.on("data", (bytes: Buffer) => {
    try {
      feed(bytes);
    } catch {
      end();
    }
  });
  stream.on("end", end);
  stream.on("error", end);
  stream.on("close", end);

  return {
    call(method, args) {
      if (!isOpen) return Promise.reject(unavailable());
      return new Promise((resolve, reject) => {
        const id = nextCall++;
        waiting.set(id, { resolve, reject });
        say(["call", id, method, args]);
      });
    },
    note(method, args) {
      if (isOpen) say(["note", method, args]);
    },
    backlogBytes: () => stream.writableLength,
    close() {
      flush();
      stream.end();
      end();
    },
    get isOpen() {
      return isOpen;
    },
    ended,
  };
}

/** Cuts a byte stream into frames. Throws on a frame that is too long. */
export function frameReader(onFrame: (payload: Buffer) => void): (bytes: Buffer) => void {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let wanted = -1;
  return (bytes) => {
    held.push(bytes);
    heldBytes += bytes.length;
    for (;;) {
      if (wanted < 0) {
        if (heldBytes < HEAD_BYTES) return;
        const head = held.length === 1 && held[0] !== undefined ? held[0] : Buffer.concat(held);
        held = [head];
        wanted = head.readUInt32BE(0);
        if (wanted > MOST_FRAME_BYTES) throw new Error(`a frame of ${wanted} bytes is longer than any of ours`);
      }
      if (heldBytes < HEAD_BYTES + wanted) return;
      const whole = held.length === 1 && held[0] !== undefined ? held[0] : Buffer.concat(held);
      onFrame(whole.subarray(HEAD_BYTES, HEAD_BYTES + wanted));
      const rest = whole.subarray(HEAD_BYTES + wanted);
      held = rest.length === 0 ? [] : [rest];
      heldBytes = rest.length;
      wanted = -1;
    }
  };
}

/** A typed view of the other end: each named method becomes a call. */
export function remote<Contract extends object>(
  channel: () => Channel | undefined,
  methods: readonly (keyof Contract & string)[],
  peer: string,
): Contract {
  const calls = methods.map((method) => [
    method,
    (...args: unknown[]): Promise<unknown> => {
      const open = channel();
      if (open === undefined || !open.isOpen) {
        return Promise.reject(
          new PosthornError("ROLE_UNAVAILABLE", {
            message: `the ${peer} process is not there`,
            advice: "the supervisor restarts it; look for its last lines in the log",
          }),
        );
      }
      return open.call(method, args);
    },
  ]);
  // Every method of the contract is named by the caller and answered by `serve` on the other end.
  return Object.fromEntries(calls) as Contract;
}

/** Keeps a channel to a role that may come and go: connects, and connects again after `retryMs`, until closed. */
export function keepConnected(options: {
  connect: () => Duplex;
  peer: string;
  handlers: Handlers;
  clock: Clock;
  retryMs: number;
  onOpen?: (channel: Channel) => void;
}): { current: () => Channel | undefined; close: () => void } {
  let channel: Channel | undefined;
  let isClosed = false;
  const attempt = (): void => {
    if (isClosed) return;
    const stream = options.connect();
    let isUp = false;
    const again = (): void => {
      channel = undefined;
      if (!isClosed) options.clock.after(options.retryMs, attempt);
    };
    stream.once("connect", () => {
      isUp = true;
      const opened = openChannel({ stream, peer: options.peer, handlers: options.handlers });
      channel = opened;
      void opened.ended.then(again);
      options.onOpen?.(opened);
    });
    stream.once("error", () => {
      if (!isUp) again();
    });
  };
  attempt();
  return {
    current: () => channel,
    close: () => {
      isClosed = true;
      channel?.close();
    },
  };
}

function wireErrorOf(thrown: unknown): WireError {
  const isOurs = thrown instanceof PosthornError;
  return {
    code: isOurs ? thrown.code : undefined,
    message: messageOf(thrown),
    advice: isOurs ? thrown.advice : "",
    systemCode: systemCodeOf(thrown),
  };
}

function errorOfWire(error: WireError): Error {
  if (error.code !== undefined) {
    return new PosthornError(error.code, { message: error.message, advice: error.advice });
  }
  const plain: Error & { code?: string } = new Error(error.message);
  if (error.systemCode !== undefined) plain.code = error.systemCode;
  return plain;
}
