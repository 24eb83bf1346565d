import type { Clock, Timer } from "../../foundation/clock.ts";
import { messageOf, PosthornError } from "../../foundation/error.ts";
import { emitNothing, type Emit } from "../../foundation/events.ts";
import type { EnvelopeId, MessageId } from "../../foundation/ids.ts";
import type { Profiling } from "../../foundation/profiler.ts";
import * as events from "./events.ts";
import { newPacking, packBatch, type Packing } from "./packing.ts";
import { pagesOf, rowsOf } from "./pages.ts";
import { loadedOf, type LoadedRow } from "./rows.ts";
import type { QueueSettings } from "./settings.ts";
import { startThread, type Thread } from "./start-thread.io.ts";
import type {
  AttemptRecord,
  Body,
  CensusRow,
  LoadedEnvelope,
  Note,
  Operation,
  QueueFilter,
  QueuePage,
  QueuePlace,
  QueueRow,
  Store,
  StoreCounters,
  StoredEnvelope,
  StoredMessage,
  SpoolCopy,
} from "./store.ts";
import type { MissingFile } from "./store-reader.io.ts";
import type {
  FromBackup,
  FromReader,
  FromWriter,
  Question,
  ThreadTask,
  ToldError,
  ToReader,
  ToWriter,
} from "./thread-messages.ts";

/**
 * The embedded store: SQLite in one directory, owned by one process, written by one thread and read by another.
 *
 *     const open = () => openStore({ directory: `${state}/queue`, settings, clock, emit });
 *     await using store = await selfHealingStore(open, { directory, clock, emit, onRecovered: (store) => scheduler.reload(store) });
 *     const port = queuePort(store, { clock, expireAfterMs, onCommitted });     // what sessions commit to
 *     const intake = openIntake({ directory, settings, clock, emit });            // in each ingress process
 *     const bodies = bodyFilesIn(directory);                                      // in each egress process
 *
 * Batches handed over in one turn of the event loop travel to the writer together; all that come while it waits for the
 * disk make its next transaction, and removals wait a little for others. Opening fails with `SPOOL_IN_USE`, `STORE_VERSION`, `SPOOL_FULL` or
 * `SPOOL_FAILED`.
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const store = new EmbeddedStore(options);
  await store.opened;
  return store;
}

export interface StoreOptions {
  /** The queue's own directory; made when missing. */
  readonly directory: string;
  readonly settings: QueueSettings;
  readonly clock: Clock;
  readonly emit?: Emit | undefined;
  /** Where it looks whether somebody measures. */
  readonly profiling?: Profiling | undefined;
  /** How long the log may be, in pages of 4 KiB, before it is copied into the database; tests want it short. */
  readonly checkpointPages?: number | undefined;
}

/** 4 MiB: a few milliseconds of copying between two groups. */
const CHECKPOINT_PAGES = 1000;
/** Portions of a long answer. With one alone the reader would rest while that is unpacked. */
const ASKED_AHEAD = 2;
const SWEEP_EVERY_MS = 3_600_000;
/**
 * Removals wait so long for a batch that somebody waits for, to share its sync. A sync of their own would hold up whoever
 * comes while it runs; a power cut in the meantime delivers a mail twice, as one during that sync would.
 */
const REMOVAL_LINGER_MS = 20;
/** How long threads get to end by themselves before they are ended. */
const THREAD_END_MS = 5000;

class EmbeddedStore implements Store {
  readonly opened: Promise<void>;
  readonly #options: StoreOptions;
  readonly #emit: Emit;
  readonly #writer: Thread<ToWriter>;
  readonly #reader: Thread<ToReader>;
  #isOpen = false;
  /** Why nothing can be done any more. */
  #ended: PosthornError | undefined;

  #packing: Packing = newPacking();
  /** The writer has a group and has not answered. What comes meanwhile waits here and makes the next one. */
  #isWriting = false;
  #isFlushing = false;
  /** Something in the packing is waited for by more than our own books. */
  #isUrgent = false;
  #linger: Timer | undefined;
  /** Batches handed over and not answered yet, in order. */
  readonly #batches: Waiting[] = [];
  #answered = 0;
  readonly #questions = new Map<number, Waiting & { resolve: (value: unknown) => void }>();
  #asking: (Question & { readonly number: number })[] = [];
  #numbers = 0;
  readonly #filesKept: (() => void)[] = [];
  #watch: Timer | undefined;
  #sweepTimer: Timer | undefined;
  #ending: Promise<void> | undefined;
  #counters: StoreCounters = { commits: 0, syncs: 0, messages: 0, envelopes: 0 };

  constructor(options: StoreOptions) {
    this.#options = options;
    this.#emit = options.emit ?? emitNothing;
    const { directory } = options;
    const startedAt = options.clock.monotonicMs();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.opened = promise;
    const fail = (error: PosthornError): void => {
      reject(error);
      this.#fail(error);
    };
    const onReader = (message: FromReader): void => {
      if (message.say === "opened") {
        // The writer may have failed meanwhile: nothing may begin any more.
        if (this.#ended !== undefined) return;
        this.#isOpen = true;
        const { messages, envelopes } = this.#counters;
        const took = Math.round(options.clock.monotonicMs() - startedAt);
        this.#emit(events.storeOpened, { directory, messages, envelopes, took });
        this.#look();
        resolve();
      } else if (message.say === "answers") {
        for (const { number, value } of message.answers) this.#take(number)?.resolve(value);
      } else if (message.say === "failed") fail(errorOf(message.error));
    };
    // Starts beside the writer, and waits until there is a database to read.
    this.#reader = startThread({ role: "reader", directory }, fail, onReader);
    this.#writer = startThread(
      { role: "writer", directory, checkpointPages: options.checkpointPages ?? CHECKPOINT_PAGES },
      fail,
      (message: FromWriter) => {
        switch (message.say) {
          case "opened":
            this.#counters = { ...this.#counters, messages: message.messages, envelopes: message.envelopes };
            this.#reader.tell({ do: "open" });
            return;
          case "applied":
            this.#onApplied(message);
            return;
          case "filesKept":
            this.#filesKept.shift()?.();
            return;
          case "swept":
            if (message.files > 0 || message.problem !== undefined)
              this.#emit(events.orphansSwept, {
                directory,
                files: message.files,
                size: message.sizeBytes,
                problem: message.problem,
              });
            return;
          case "failed":
            fail(errorOf(message.error));
            return;
          case "closed":
        }
      },
    );
  }

  apply(batch: readonly Operation[]): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    try {
      packBatch(batch, this.#packing);
    } catch (thrown) {
      return Promise.reject(thrown);
    }
    this.#isUrgent ||= batch.some((operation) => operation.do !== "remove");
    const since = this.#options.clock.monotonicMs();
    this.#options.profiling?.profiler?.add("operations of a batch", "n", batch.length);
    return new Promise((resolve, reject) => {
      const done = (): void => {
        this.#measure(`write ${batch[0]?.do ?? "nothing"}`, since);
        resolve();
      };
      this.#batches.push({ resolve: done, reject, since });
      this.#flushSoon();
    });
  }

  async *load(): AsyncGenerator<readonly LoadedEnvelope[]> {
    for await (const rows of this.#stream<LoadedRow>({ ask: "load" })) {
      const loaded = rows.map(loadedOf);
      for (const { isDamaged, message } of loaded)
        if (isDamaged === true) this.#emit(events.recordDamaged, { message });
      yield loaded;
    }
  }

  async notes(prefix: string): Promise<readonly Note[]> {
    return this.#ask<readonly Note[]>({ ask: "notes", prefix });
  }

  async message(id: MessageId): Promise<StoredMessage | undefined> {
    return this.#ask<StoredMessage | undefined>({ ask: "message", id });
  }

  async envelopes(ids: readonly EnvelopeId[]): Promise<readonly StoredEnvelope[]> {
    return ids.length === 0 ? [] : this.#ask<readonly StoredEnvelope[]>({ ask: "envelopes", ids });
  }

  async body(id: MessageId): Promise<Body | undefined> {
    return this.#ask<Body | undefined>({ ask: "body", id });
  }

  async list(filter: QueueFilter): Promise<readonly QueueRow[]> {
    const rows: QueueRow[] = [];
    for await (const page of pagesOf((next, behind) => this.page(next, behind), filter)) rows.push(...rowsOf(page));
    return rows;
  }

  async page(filter: QueueFilter, behind?: QueuePlace): Promise<QueuePage> {
    return this.#ask<QueuePage>({ ask: "page", filter, behind });
  }

  async census(now: number): Promise<readonly CensusRow[]> {
    let rows: readonly CensusRow[] = [];
    for await (const portion of this.#stream<CensusRow>({ ask: "census", now })) rows = portion;
    return rows;
  }

  async attempts(id: EnvelopeId): Promise<readonly AttemptRecord[]> {
    return this.#ask<readonly AttemptRecord[]>({ ask: "attempts", id });
  }

  async backup(intoDirectory: string): Promise<SpoolCopy> {
    if (this.#ended !== undefined) throw this.#ended;
    const kept = new Promise<void>((resolve) => this.#filesKept.push(resolve));
    this.#writer.tell({ do: "keepFiles" });
    await kept;
    try {
      if (this.#ended !== undefined) throw this.#ended;
      return await new Promise((resolve, reject) => {
        const task: ThreadTask = { role: "backup", directory: this.#options.directory, into: intoDirectory };
        startThread(task, reject, (message: FromBackup) =>
          message.say === "copied" ? resolve(message.copied) : reject(errorOf(message.error)),
        );
      });
    } finally {
      this.#writer.tell({ do: "releaseFiles" });
    }
  }

  counters(): StoreCounters {
    return this.#counters;
  }

  /** Waits for what was handed over, then closes. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended === undefined) {
      const last = this.#batches.at(-1);
      this.#isUrgent = true;
      this.#flush();
      if (last !== undefined) await new Promise<void>((resolve) => (last.settled = resolve));
      this.#end(closedError());
    }
    await this.#ending;
  }

  #onApplied(message: Extract<FromWriter, { say: "applied" }>): void {
    this.#isWriting = false;
    // First, so that the disk has work while the sessions of this group get their answers.
    if (this.#ended === undefined) this.#hand();
    const profiler = this.#options.profiling?.profiler;
    profiler?.add("group: written and synced", "us", message.tookMs * 1000);
    profiler?.add("batches of a group", "n", message.batches);
    const { messages, envelopes } = message;
    const commits = this.#counters.commits + message.batches - message.failures.length;
    this.#counters = { commits, syncs: this.#counters.syncs + message.syncs, messages, envelopes };
    const failures = new Map(message.failures.map((failure) => [failure.index, failure]));
    for (let index = 0; index < message.batches; index++) {
      const waiting = this.#batches[this.#answered++];
      const failure = failures.get(index);
      if (failure === undefined) waiting?.resolve(undefined);
      else waiting?.reject(errorOf(failure));
      waiting?.settled?.();
    }
    if (this.#answered === this.#batches.length || this.#answered > 4096) {
      this.#batches.splice(0, this.#answered);
      this.#answered = 0;
    }
    const full = message.failures.find((failure) => failure.code === "SPOOL_FULL");
    if (full !== undefined) this.#emit(events.spoolFull, { directory: this.#options.directory, problem: full.message });
  }

  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    // After the sockets of this turn were read: what they bring travels together.
    setImmediate(() => this.#flush());
    this.#watch ??= this.#options.clock.after(this.#options.settings.commitDeadline, () => this.#checkDeadline());
  }

  #flush(): void {
    this.#isFlushing = false;
    if (this.#ended !== undefined) return;
    this.#hand();
    if (this.#asking.length > 0) {
      this.#reader.tell({ do: "answer", questions: this.#asking });
      this.#asking = [];
    }
  }

  /** Waking the writer for each batch while it waits for the disk would cost more than the batches do. */
  #hand(): void {
    const { values, bodies, bodyBytes } = this.#packing;
    if (values.length > 0 && !this.#isWriting) {
      if (!this.#isUrgent) {
        this.#linger ??= this.#options.clock.after(REMOVAL_LINGER_MS, () => {
          this.#isUrgent = true;
          this.#linger = undefined;
          if (this.#ended === undefined) this.#hand();
        });
        return;
      }
      this.#linger?.cancel();
      this.#linger = undefined;
      this.#isUrgent = false;
      this.#isWriting = true;
      this.#packing = newPacking();
      // Not from the pool: its memory moves to the other thread.
      const block = Buffer.allocUnsafeSlow(bodyBytes);
      let at = 0;
      for (const bytes of bodies) {
        block.set(bytes, at);
        at += bytes.length;
      }
      this.#writer.tell({ do: "apply", values, bodies: block }, bodyBytes > 0 ? [block.buffer] : []);
    }
  }

  #ask<Answer>(question: Question): Promise<Answer> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      const number = ++this.#numbers;
      // The reader answers a question with what `Question` says of it.
      const since = this.#options.clock.monotonicMs();
      const answered = (value: unknown): void => {
        this.#measure(`read ${question.ask}`, since);
        resolve(value as Answer);
      };
      this.#questions.set(number, { resolve: answered, reject, since });
      this.#asking.push({ ...question, number });
      this.#flushSoon();
    });
  }

  #measure(what: string, since: number): void {
    const { profiling, clock } = this.#options;
    profiling?.profiler?.add(what, "us", (clock.monotonicMs() - since) * 1000);
  }

  #take(number: number): Waiting | undefined {
    const waiting = this.#questions.get(number);
    this.#questions.delete(number);
    return waiting;
  }

  async *#stream<Item>(question: StreamQuestion): AsyncGenerator<readonly Item[]> {
    const stream = ++this.#numbers;
    const ask = (): Promise<readonly Item[] | undefined> => {
      const answer = this.#ask<readonly Item[] | undefined>({ ...question, stream });
      // Asked ahead: nobody may be waiting when it fails.
      answer.catch(() => {});
      return answer;
    };
    // The reader works on portions while others are on their way to us and used.
    const asked = Array.from({ length: ASKED_AHEAD }, ask);
    try {
      for (let next = asked.shift(); next !== undefined; next = asked.shift()) {
        const portion = await next;
        if (portion === undefined) return;
        asked.push(ask());
        if (portion.length > 0) yield portion;
      }
    } finally {
      this.#ask({ ask: "endStream", stream }).catch(() => {});
    }
  }

  /** A disk that neither confirms nor fails has failed: nobody waits for it longer than the deadline. */
  #checkDeadline(): void {
    this.#watch = undefined;
    const limitMs = this.#options.settings.commitDeadline;
    const oldest = [this.#batches[this.#answered], this.#questions.values().next().value];
    const since = Math.min(...oldest.map((waiting) => waiting?.since ?? Infinity));
    if (since === Infinity || this.#ended !== undefined) return;
    const leftMs = since + limitMs - this.#options.clock.monotonicMs();
    if (leftMs > 0) {
      this.#watch = this.#options.clock.after(leftMs, () => this.#checkDeadline());
      return;
    }
    this.#fail(
      new PosthornError("SPOOL_FAILED", {
        message: `the disk has not answered for ${limitMs} ms`,
        advice: "look at the disk and the system log",
      }),
    );
  }

  /** At the start and every hour: orphans go, missing body files are told. */
  #look(): void {
    const { clock, settings, directory } = this.#options;
    this.#writer.tell({ do: "sweep", beforeAt: clock.now() - settings.keepOrphansFor });
    this.#tellMissing(directory).catch(() => {
      // The store failed meanwhile, and said so.
    });
    this.#sweepTimer = clock.after(SWEEP_EVERY_MS, () => this.#look());
  }

  async #tellMissing(directory: string): Promise<void> {
    for await (const portion of this.#stream<MissingFile>({ ask: "missingFiles" }))
      for (const { message, file } of portion) this.#emit(events.bodyMissing, { directory, message, file });
  }

  #fail(error: PosthornError): void {
    if (this.#ended !== undefined) return;
    // Before it was open, whoever opens it tells.
    if (this.#isOpen) this.#emit(events.storeFailed, { directory: this.#options.directory, problem: messageOf(error) });
    this.#end(error);
  }

  #end(error: PosthornError): void {
    this.#ended = error;
    this.#watch?.cancel();
    this.#linger?.cancel();
    this.#sweepTimer?.cancel();
    for (const waiting of this.#batches.splice(0).slice(this.#answered)) {
      waiting.reject(error);
      waiting.settled?.();
    }
    this.#answered = 0;
    for (const waiting of this.#questions.values()) waiting.reject(error);
    this.#questions.clear();
    for (const kept of this.#filesKept.splice(0)) kept();
    // The reader first: the writer's connection, closed last, puts the log away.
    this.#ending = (async () => {
      this.#reader.tell({ do: "close" });
      await this.#reader.end(THREAD_END_MS);
      this.#writer.tell({ do: "close" });
      await this.#writer.end(THREAD_END_MS);
    })();
  }
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** When it was handed over, by the monotonic clock. */
  readonly since: number;
  settled?: () => void;
}

/** A stream's question without its number; spread over the union so that each keeps its own fields. */
type StreamQuestion = Question extends infer Each
  ? Each extends { readonly stream: number }
    ? Omit<Each, "stream">
    : never
  : never;

function errorOf(told: ToldError): PosthornError {
  return new PosthornError(told.code, { message: told.message, advice: told.advice });
}

function closedError(): PosthornError {
  return new PosthornError("STORE_CLOSED", { message: "the queue was closed", advice: "the server is stopping" });
}
