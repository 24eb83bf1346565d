import { z } from "zod";
import { numberOfMessageId } from "../../foundation/ids.ts";
import type { Timer } from "../../foundation/clock.ts";
import type { Level } from "../../foundation/events.ts";
import { isWanted, type EventRecord } from "../../mail/log/record.ts";
import { pagesOf } from "../../mail/queue/pages.ts";
import type { QueueFilter } from "../../mail/queue/store.ts";
import type { LiveRow } from "../../mail/scheduler/admin/admin.ts";
import type { ShowPlace } from "../../mail/scheduler/admin/shown-row.ts";
import type { ShowFilter } from "../../mail/scheduler/admin/shown-row.ts";
import type { ShownRow } from "../../mail/scheduler/admin/shown-row.ts";
import { ROW_STATES } from "../../mail/scheduler/admin/shown-row.ts";
import { SHOWN } from "../../mail/scheduler/admin/shown-row.ts";
import type { Admin } from "./admin.ts";
import { checked, queueFilter, topicWish } from "./operations.ts";

/** Answers that come in portions: the queue's list, live events, and the content of a message. */
export interface StreamOperation {
  readonly kind: "query" | "change";
  readonly says: string;
  /**
   * Hands portions to `send`, which resolves when there is room for more; settles when there is no more, or `signal`
   * aborts. `backlog` tells how many bytes the client has not taken yet.
   */
  readonly perform: (admin: Admin, args: unknown, client: StreamClient) => Promise<void>;
}

export interface StreamClient {
  /** Items, or an array of them as JSON already. A client that does not take them in time loses its connection. */
  send(items: readonly unknown[] | string): Promise<void>;
  /** Says without waiting; who uses it watches `backlog`. */
  offer(items: readonly unknown[]): void;
  /** What the server itself is asked for has a deadline, too. */
  soon<Value>(work: Promise<Value>): Promise<Value>;
  backlog(): number;
  after(delayMs: number, callback: () => void): Timer;
  readonly signal: AbortSignal;
}

/** A client that does not keep up with live events misses some rather than have them kept for it. */
const MOST_BACKLOG = 1024 * 1024;
const MOST_HEADER_BYTES = 256 * 1024;

const tailArguments = z.strictObject({ level: z.enum(["error", "warning", "info", "debug"]).default("info") });
const contentArguments = z.strictObject({
  message: z.string().refine((id) => numberOfMessageId(id) !== undefined, { error: "expected a message id" }),
});

const showArguments = z.strictObject({
  what: z.enum(SHOWN),
  name: z.string().max(1000).optional(),
  state: z.enum(ROW_STATES).optional(),
  limit: z.number().int().positive().optional(),
});

/** One item of `tail`: a record, or how many were left out because the client was slow. */
export type TailItem = { readonly record: EventRecord } | { readonly missed: number };

/** What the items of a stream are. */
export interface ItemOf {
  readonly "queue.list": LiveRow;
  readonly show: ShownRow;
  readonly tail: TailItem;
  readonly trace: TailItem;
  /** Base64. */
  readonly "queue.headers": string;
  readonly "queue.content": string;
}

export const streams = {
  "queue.list": {
    kind: "query",
    says: "Envelopes in the queue.",
    perform: (admin, args, client) => list(admin, checked(queueFilter, args), client),
  },
  show: {
    kind: "query",
    says: "Routes, relays, hosts, source addresses or domains.",
    perform: (admin, args, client) => show(admin, checked(showArguments, args), client),
  },
  tail: {
    kind: "query",
    says: "Events as they happen.",
    perform: (admin, args, client) => tail(admin, checked(tailArguments, args).level, client),
  },
  trace: {
    kind: "change",
    says: "Switches a trace on and shows its lines until its end; it ends with whoever asked.",
    perform: (admin, args, client) => trace(admin, checked(z.strictObject(topicWish), args), client),
  },
  "queue.headers": {
    kind: "query",
    says: "A message's header section.",
    perform: (admin, args, client) => content(admin, checked(contentArguments, args).message, client, true),
  },
  "queue.content": {
    kind: "change",
    says: "A message's whole content; logged, for it is somebody's mail.",
    perform: (admin, args, client) => content(admin, checked(contentArguments, args).message, client, false),
  },
} as const satisfies Readonly<Record<keyof ItemOf, StreamOperation>>;

export type StreamName = keyof typeof streams;

export function findStream(name: string): StreamOperation | undefined {
  return Object.hasOwn(streams, name) ? streams[name as StreamName] : undefined;
}

/** A page is asked for while the client takes the one before; nothing else of the list is anywhere in the server. */
async function list(admin: Admin, filter: QueueFilter, client: StreamClient): Promise<void> {
  const ask: Admin["queue"]["list"] = (rest, behind) => client.soon(admin.queue.list(rest, behind));
  for await (const page of pagesOf(ask, filter)) {
    if (client.signal.aborted) return;
    if (page.count > 0) await client.send(page.rows);
  }
}

/** As `list`: a page at a time, to the end or the limit. */
async function show(admin: Admin, filter: ShowFilter, client: StreamClient): Promise<void> {
  let left = filter.limit ?? Infinity;
  let behind: ShowPlace | undefined;
  do {
    const limit = left === Infinity ? undefined : left;
    const page = await client.soon(admin.queue.shown({ ...filter, limit }, behind));
    if (client.signal.aborted) return;
    if (page.rows.length > 0) await client.send(page.rows);
    left -= page.rows.length;
    behind = page.next;
  } while (behind !== undefined && left > 0);
}

function tail(admin: Admin, level: Level, client: StreamClient): Promise<void> {
  return follow(admin, (record) => isWanted(record.level, level), client);
}

async function trace(admin: Admin, wish: Parameters<Admin["topics"]["set"]>[0], client: StreamClient): Promise<void> {
  const filter = wish.filter?.toLowerCase();
  const isMeant = ({ name, fields: { topic, shown } }: EventRecord): boolean =>
    name === TRACE_LINE &&
    topic === wish.topic &&
    (filter === undefined || (typeof shown === "string" && shown.toLowerCase().includes(filter)));
  const over = new AbortController();
  const shown = await admin.topics.set({ ...wish, onGone: () => over.abort() });
  const timer = client.after(wish.forMs, () => over.abort());
  try {
    await follow(admin, isMeant, { ...client, signal: AbortSignal.any([client.signal, over.signal]) });
  } finally {
    timer.cancel();
    await admin.topics.end(shown);
  }
}

/** The event of a trace's lines; it is declared where all that can be traced meets. */
const TRACE_LINE = "trace.line";

function follow(admin: Admin, isMeant: (record: EventRecord) => boolean, client: StreamClient): Promise<void> {
  return new Promise((resolve) => {
    let missed = 0;
    const stop = admin.subscribe((records) => {
      const wanted = records.filter(isMeant);
      if (wanted.length === 0) return;
      if (client.backlog() > MOST_BACKLOG) {
        missed += wanted.length;
        return;
      }
      const items: TailItem[] = wanted.map((record) => ({ record }));
      if (missed > 0) items.unshift({ missed });
      missed = 0;
      client.offer(items);
    });
    const end = (): void => {
      stop();
      resolve();
    };
    if (client.signal.aborted) end();
    else client.signal.addEventListener("abort", end, { once: true });
  });
}

/** Portions as base64: content is bytes, JSON is text. */
async function content(admin: Admin, message: string, client: StreamClient, headersOnly: boolean): Promise<void> {
  const portions = await admin.content(message);
  if (portions === undefined) return;
  let headers = Buffer.alloc(0);
  for await (const portion of portions) {
    if (client.signal.aborted) return;
    if (!headersOnly) {
      await client.send([Buffer.from(portion).toString("base64")]);
      continue;
    }
    headers = Buffer.concat([headers, portion]);
    const end = headers.indexOf("\r\n\r\n");
    if (end >= 0) headers = headers.subarray(0, end + 2);
    if (end >= 0 || headers.length > MOST_HEADER_BYTES) break;
  }
  if (headersOnly) await client.send([headers.subarray(0, MOST_HEADER_BYTES).toString("base64")]);
}
