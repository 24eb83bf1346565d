import { connect, type Socket } from "node:net";
import { PosthornError } from "../foundation/error.ts";
import type { Emit } from "../foundation/events.ts";
import { reply } from "../protocol/smtp/reply.ts";
import type { Logins } from "../service/account/logins.ts";
import type { EnvelopePolicy, SessionFactsForRules } from "../mail/envelope/policy.ts";
import type { BodyWriter, CommitRequest, Intake, QueuePort } from "../mail/queue/queue.ts";

/** What reception talks to, in memory: a queue that keeps what it is given, rules, accounts, a log, and a raw client. */

export interface MemoryQueue extends QueuePort, Intake {
  readonly commits: readonly CommitRequest[];
  /** Writers begun and neither committed nor aborted. */
  readonly openWriters: number;
  /** What the next commits do instead of keeping; `hang` never answers. */
  fate: "keep" | "full" | "fail" | "hang";
  short: string | undefined;
  /** Set to make each write a wait of one turn. */
  isSlow: boolean;
  /** Set to have writes take so long, or fail so, as its promises do; undefined keeps at once. */
  nextWrite: (() => Promise<void> | undefined) | undefined;
  content(at: number): string;
}

export function memoryQueue(): MemoryQueue {
  const commits: CommitRequest[] = [];
  let openWriters = 0;
  const queue: MemoryQueue = {
    commits,
    fate: "keep",
    short: undefined,
    isSlow: false,
    nextWrite: undefined,
    get openWriters() {
      return openWriters;
    },
    shortage: () => queue.short,
    content(at) {
      const body = commits[at]?.body;
      return body?.kind === "inline" ? Buffer.from(body.bytes).toString("latin1") : "";
    },
    begin(): BodyWriter {
      const pieces: Uint8Array[] = [];
      let sizeBytes = 0;
      let isOpen = true;
      openWriters++;
      const end = (): void => {
        if (isOpen) openWriters--;
        isOpen = false;
      };
      return {
        get sizeBytes() {
          return sizeBytes;
        },
        write(bytes) {
          pieces.push(Uint8Array.from(bytes));
          sizeBytes += bytes.length;
          const next = queue.nextWrite?.();
          if (next !== undefined) return next;
          return queue.isSlow ? new Promise((resolve) => setImmediate(resolve)) : undefined;
        },
        settle() {
          const whole = Buffer.concat(pieces);
          return Promise.resolve({
            sizeBytes: whole.length,
            async *read() {
              yield whole;
            },
          });
        },
        finish() {
          end();
          return Promise.resolve({ kind: "inline", bytes: Buffer.concat(pieces) });
        },
        abort() {
          end();
          return Promise.resolve();
        },
      };
    },
    async commit(request) {
      switch (queue.fate) {
        case "keep":
          commits.push(request);
          return;
        case "hang":
          return await new Promise<never>(() => {});
        case "full":
          throw new PosthornError("SPOOL_FULL", { message: "no room", advice: "make room" });
        case "fail":
          throw new PosthornError("SPOOL_FAILED", { message: "the disk failed", advice: "look at the disk" });
      }
    },
  };
  return queue;
}

/** Accepts everybody, but `nobody@` (550), `later@` (451) and `list@`, which has two members. */
export function lenientPolicy(): EnvelopePolicy & { readonly asked: readonly [SessionFactsForRules, string][] } {
  const asked: [SessionFactsForRules, string][] = [];
  return {
    asked,
    judgeRecipient(facts, recipient) {
      asked.push([facts, recipient]);
      const refuse = (code: number, status: string, text: string) =>
        Promise.resolve({ kind: "reject", reply: reply(code, status, text), because: "the test says so" } as const);
      if (recipient.startsWith("nobody@")) return refuse(550, "5.1.1", "No such mailbox");
      if (recipient.startsWith("later@")) return refuse(451, "4.3.0", "The table cannot be asked");
      const targets = recipient.startsWith("list@") ? ["one@members.example", "two@members.example"] : [recipient];
      return Promise.resolve({
        kind: "accept",
        rule: "test",
        targets: targets.map((target) => ({ recipient: target, action: "deliver" })),
      });
    },
  };
}

/** One account, `ann` with the password `secret`; for `broken` the backend fails. */
export const oneAccount: Logins = {
  answer(question) {
    if (question.kind !== "password") return Promise.resolve({ kind: "wrong" });
    const { user, password } = question;
    if (user === "broken") return Promise.resolve({ kind: "failed", text: "the table is away" });
    const isRight = user === "ann" && password === "secret";
    return Promise.resolve(isRight ? { kind: "right", account: "ann" } : { kind: "wrong" });
  },
};

export interface EventLog {
  readonly emit: Emit;
  readonly lines: readonly string[];
  readonly names: readonly string[];
  readonly events: readonly { readonly name: string; readonly fields: Readonly<Record<string, unknown>> }[];
}

export function eventLog(): EventLog {
  const lines: string[] = [];
  const names: string[] = [];
  const events: { name: string; fields: Readonly<Record<string, unknown>> }[] = [];
  return {
    lines,
    names,
    events,
    emit(event, fields) {
      names.push(event.name);
      events.push({ name: event.name, fields });
      const line = event.line(fields);
      if (line !== undefined) lines.push(line);
    },
  };
}

export interface RawClient {
  readonly socket: Socket;
  send(text: string): void;
  /** What has come since the last call, once it matches; fails when the server closes or three seconds pass. */
  expect(pattern: RegExp): Promise<string>;
  /** Sends and expects. */
  say(text: string, pattern: RegExp): Promise<string>;
  /** All that comes until the server closes. */
  rest(): Promise<string>;
}

export function rawClient(target: number | string | Socket, from?: string): RawClient {
  const socket =
    typeof target === "object"
      ? target
      : typeof target === "string"
        ? connect(target)
        : connect({ port: target, host: "127.0.0.1", ...(from === undefined ? {} : { localAddress: from }) });
  let heard = "";
  let isClosed = false;
  let wake: () => void = () => {};
  socket.on("data", (bytes: Buffer) => {
    heard += bytes.toString("latin1");
    wake();
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    isClosed = true;
    wake();
  });
  socket.on("end", () => {
    isClosed = true;
    wake();
  });
  const until = async (isDone: () => boolean, what: string): Promise<void> => {
    const deadline = Date.now() + 60_000;
    while (!isDone()) {
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) throw new Error(`waited for ${what}, heard ${JSON.stringify(heard)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  };
  const client: RawClient = {
    socket,
    send: (text) => void socket.write(text, "latin1"),
    async expect(pattern) {
      await until(() => pattern.test(heard) || isClosed, String(pattern));
      if (!pattern.test(heard)) throw new Error(`waited for ${pattern}, closed after ${JSON.stringify(heard)}`);
      const all = heard;
      heard = "";
      return all;
    },
    say(text, pattern) {
      client.send(text);
      return client.expect(pattern);
    },
    async rest() {
      await until(() => isClosed, "the end");
      const all = heard;
      heard = "";
      return all;
    },
  };
  return client;
}
