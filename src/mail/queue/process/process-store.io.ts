import { rmSync } from "node:fs";
import type { Timer } from "../../../foundation/clock.ts";
import { messageOf as textOf, PosthornError } from "../../../foundation/error.ts";
import { emitNothing, type Emit } from "../../../foundation/events.ts";
import { messageIdOf, type EnvelopeId, type MessageId } from "../../../foundation/ids.ts";
import { isBodyFileName } from "../body-names.ts";
import type { BodyFiles } from "../body-files.ts";
import { Census } from "../census.ts";
import * as events from "../events.ts";
import { bodyFilesIn } from "../intake.io.ts";
import { loadedEnvelope, passesFilter, placeOfRow, queueRow } from "../listing.ts";
import { domainOf, refusal, refuseNonsense } from "../packing.ts";
import { PAGE_ROWS, pagesOf, rowsOf } from "../pages.ts";
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
} from "../store.ts";
import type { StoreOptions } from "../store.io.ts";
import { holdSpool, type HeldSpool } from "./hold-spool.io.ts";
import {
  appliedOf,
  applyQuestion,
  attemptsOf,
  bodyOf,
  envelopesOf,
  isTexts,
  messageOf,
  notesOf,
  placeOfEnvelope,
  scannedOf,
  type ProgramPlace,
  type ProgramRow,
  type Question,
} from "./messages.ts";
import { ProgramLink } from "./program-link.io.ts";

/** Rows asked for at a time; a program may give fewer. */
const SCAN_ROWS = PAGE_ROWS;
const SWEEP_EVERY_MS = 3_600_000;
/** How long a program gets to end by itself. */
const END_MS = 5000;

/**
 * A stand-alone program as queue store (docs/manual/queue-process.md). It keeps messages, envelopes, attempts and notes;
 * large bodies stay files of ours, which a commit names, so reception and delivery know nothing of it.
 *
 * Opening fails with `SPOOL_IN_USE`, `SPOOL_REFUSED` (another store's mail is there) or `SPOOL_FAILED`. A program that
 * ends, hangs or talks nonsense fails the store; `selfHealingStore` starts it anew.
 */
export async function openProcessStore(command: readonly string[], options: StoreOptions): Promise<Store> {
  const { directory, clock, settings } = options;
  const emit = options.emit ?? emitNothing;
  const startedAt = clock.monotonicMs();
  const held = holdSpool(directory, command[0] ?? "");
  // The link may fail at any time, the store that hears of it comes after the program's hello.
  let onFailure: (error: PosthornError) => void = () => {};
  const link = new ProgramLink({
    command,
    directory,
    deadlineMs: settings.commitDeadline,
    clock,
    onComplaint: (line) => emit(events.programSays, { directory, line }),
    onFailure: (error) => onFailure(error),
  });
  try {
    const { messages, envelopes } = await link.hello;
    const took = Math.round(clock.monotonicMs() - startedAt);
    emit(events.storeOpened, { directory, messages, envelopes, took });
    const store = new ProcessStore(options, link, held, { messages, envelopes });
    onFailure = (error) => store.onFailure(error);
    store.look();
    return store;
  } catch (thrown) {
    await link.end(0, closedError());
    held.release();
    throw thrown;
  }
}

class ProcessStore implements Store {
  readonly #options: StoreOptions;
  readonly #emit: Emit;
  readonly #link: ProgramLink;
  readonly #held: HeldSpool;
  readonly #files: BodyFiles;
  #counters: StoreCounters;
  #sweepTimer: Timer | undefined;
  /** Body files that commits have named since the sweep at work began. */
  #namedMeanwhile: Set<string> | undefined;
  #ending: Promise<void> | undefined;

  constructor(
    options: StoreOptions,
    link: ProgramLink,
    held: HeldSpool,
    found: { readonly messages: number; readonly envelopes: number },
  ) {
    this.#options = options;
    this.#emit = options.emit ?? emitNothing;
    this.#link = link;
    this.#held = held;
    this.#files = bodyFilesIn(options.directory);
    this.#counters = { commits: 0, syncs: 0, ...found };
  }

  async apply(batch: readonly Operation[]): Promise<void> {
    for (const operation of batch) refuseNonsense(operation);
    const bodies = batch.flatMap((operation) =>
      operation.do === "commit" && operation.body.kind === "file" ? [operation.body] : [],
    );
    for (const { name } of bodies) this.#namedMeanwhile?.add(name);
    const isFit = bodies.length === 0 ? undefined : this.#mustBeThere(bodies);
    const value = await this.#link.ask(applyQuestion(batch), isFit);
    const applied = appliedOf(value) ?? this.#nonsense("a batch");
    const { messages, envelopes } = applied;
    const { commits } = this.#counters;
    // How many batches the program made durable together it does not tell.
    this.#counters = { commits: commits + 1, syncs: commits + 1, messages, envelopes };
    for (const name of applied.files) {
      // An orphan that stays is swept.
      if (isBodyFileName(name)) this.#files.remove(name).catch(() => {});
    }
  }

  async *load(): AsyncGenerator<readonly LoadedEnvelope[]> {
    const kept: LoadedEnvelope[] = [];
    for await (const rows of this.#scan()) {
      kept.push(...rows.map(({ message, ...stored }) => loadedEnvelope(message, stored)));
      // The last message may go on in the next portion.
      const last = kept.at(-1)?.message;
      const whole = kept.findIndex((each) => each.message === last);
      if (whole > 0) yield kept.splice(0, whole);
    }
    if (kept.length > 0) yield kept;
  }

  async notes(prefix: string): Promise<readonly Note[]> {
    const found: Note[] = [];
    for (let behind: string | undefined; ;) {
      const value = await this.#link.ask({ do: "notes", prefix, behind, limit: SCAN_ROWS });
      const portion = notesOf(value) ?? this.#nonsense("notes");
      const last = portion.at(-1)?.key;
      if (last === undefined || last === behind) break;
      behind = last;
      found.push(...portion);
    }
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  async message(id: MessageId): Promise<StoredMessage | undefined> {
    const value = await this.#link.ask({ do: "message", message: id });
    if (value === null) return undefined;
    const { message, numbered, body } = messageOf(value) ?? this.#nonsense("a message");
    return { ...message, bodyKind: body === undefined ? "inline" : "file", ...(numbered > 1 ? { numbered } : {}) };
  }

  async envelopes(ids: readonly EnvelopeId[]): Promise<readonly StoredEnvelope[]> {
    const places = ids.map(placeOfEnvelope).filter(([message]) => message !== "");
    const found: StoredEnvelope[] = [];
    for (let at = 0; at < places.length; at += SCAN_ROWS) {
      const value = await this.#link.ask({ do: "envelopes", ids: places.slice(at, at + SCAN_ROWS) });
      found.push(...(envelopesOf(value) ?? this.#nonsense("envelopes")));
    }
    return found;
  }

  async body(id: MessageId): Promise<Body | undefined> {
    const value = await this.#link.ask({ do: "body", message: id });
    return value === null ? undefined : (bodyOf(value) ?? this.#nonsense("a body"));
  }

  async list(filter: QueueFilter): Promise<readonly QueueRow[]> {
    const rows: QueueRow[] = [];
    for await (const page of pagesOf((next, behind) => this.page(next, behind), filter)) rows.push(...rowsOf(page));
    return rows;
  }

  async page(filter: QueueFilter, behind?: QueuePlace): Promise<QueuePage> {
    const only = filter.envelope === undefined ? filter.message : placeOfEnvelope(filter.envelope)[0];
    const from: ProgramPlace | undefined = behind === undefined ? undefined : [messageIdOf(behind.message), behind.n];
    const { rows, isLast } = await this.#rowsBehind(from, only);
    const most = Math.min(filter.limit ?? PAGE_ROWS, PAGE_ROWS);
    const fit = rows
      .map(({ message, envelope, progress }) => ({ message, row: queueRow(message, envelope, progress) }))
      .filter(({ message, row }) => passesFilter(row, message, filter))
      .map(({ row }) => row);
    const page = fit.slice(0, most);
    // Where the page was cut the next one begins behind its last row, else behind all that was looked at.
    const end = fit.length > most ? page.at(-1) : undefined;
    const last = rows.at(-1);
    const next =
      end !== undefined
        ? placeOfRow(end)
        : isLast || last === undefined
          ? undefined
          : placeOfRow(queueRow(last.message, last.envelope, last.progress));
    return {
      count: page.length,
      envelopes: page.map((row) => row.envelope),
      rows: page.map((row) => JSON.stringify(row)),
      ...(next === undefined ? {} : { next }),
    };
  }

  async census(now: number): Promise<readonly CensusRow[]> {
    const census = new Census(now);
    for await (const rows of this.#scan())
      for (const { message, envelope } of rows) census.add(domainOf(envelope.recipient), message.receivedAt);
    return census.rows();
  }

  async attempts(id: EnvelopeId): Promise<readonly AttemptRecord[]> {
    const [message, n] = placeOfEnvelope(id);
    const value = await this.#link.ask({ do: "attempts", message, n });
    return attemptsOf(value) ?? this.#nonsense("attempts");
  }

  async backup(): Promise<never> {
    throw new PosthornError("USAGE", {
      message: "this queue is kept by a program, which alone can make a copy of it",
      advice: `use the program's own means, and copy ${this.#options.directory}/bodies after that`,
    });
  }

  counters(): StoreCounters {
    return this.#counters;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending ??= (async () => {
      this.#sweepTimer?.cancel();
      await this.#link.drained();
      await this.#link.end(END_MS, closedError());
      if (this.#counters.envelopes === 0) this.#held.forget();
      this.#held.release();
    })();
    await this.#ending;
  }

  onFailure(error: PosthornError): void {
    this.#emit(events.storeFailed, { directory: this.#options.directory, problem: error.message });
    this.#sweepTimer?.cancel();
    this.#ending ??= this.#endAfter(error);
  }

  /** Before another program may be started this one must be gone, and what it wrote with it. */
  async #endAfter(error: PosthornError): Promise<void> {
    await this.#link.end(0, error);
    this.#held.release();
  }

  /** At the start and every hour: body files that no message names go, missing ones are told. */
  look(): void {
    this.#sweepTimer = this.#options.clock.after(SWEEP_EVERY_MS, () => this.look());
    this.#sweep()
      .then(() => this.#tellMissing())
      .catch(() => {
        // The store failed meanwhile, and said so.
      });
  }

  async #sweep(): Promise<void> {
    const { directory, clock, settings } = this.#options;
    const found: { name: string; sizeBytes: number }[] = [];
    const swept = { files: 0, size: 0, problem: undefined as string | undefined };
    this.#namedMeanwhile = new Set();
    try {
      for await (const file of this.#files.filesUntouchedSince(clock.now() - settings.keepOrphansFor)) found.push(file);
      for (let at = 0; at < found.length; at += SCAN_ROWS) {
        const portion = found.slice(at, at + SCAN_ROWS);
        const value = await this.#link.ask({ do: "files", names: portion.map(({ name }) => name) });
        const named = new Set(isTexts(value) ? value : this.#nonsense("names of files"));
        for (const { name, sizeBytes } of portion) {
          if (named.has(name) || this.#namedMeanwhile.has(name)) continue;
          // Within this turn of the event loop: a commit that comes later finds that it is gone, and is refused.
          rmSync(this.#files.pathOf(name), { force: true });
          swept.files++;
          swept.size += sizeBytes;
        }
      }
    } catch (thrown) {
      if (thrown instanceof PosthornError) throw thrown;
      swept.problem = textOf(thrown);
    } finally {
      this.#namedMeanwhile = undefined;
    }
    if (swept.files > 0 || swept.problem !== undefined) this.#emit(events.orphansSwept, { directory, ...swept });
  }

  async #tellMissing(): Promise<void> {
    const { directory } = this.#options;
    let told: MessageId | undefined;
    for await (const rows of this.#scan())
      for (const { message, body } of rows) {
        if (body === undefined || message.id === told) continue;
        told = message.id;
        const size = isBodyFileName(body.file) ? await this.#files.sizeOf(body.file) : undefined;
        // It may have been delivered since it was scanned.
        if (size !== body.sizeBytes && (await this.message(message.id)) !== undefined)
          this.#emit(events.bodyMissing, { directory, message: message.id, file: body.file });
      }
  }

  async #mustBeThere(bodies: readonly { readonly name: string; readonly sizeBytes: number }[]): Promise<void> {
    for (const { name, sizeBytes } of bodies) {
      const found = isBodyFileName(name) ? await this.#files.sizeOf(name).catch(() => undefined) : undefined;
      if (found !== sizeBytes) throw refusal(`body file ${name} is not there with ${sizeBytes} bytes`);
    }
  }

  async *#scan(): AsyncGenerator<readonly ProgramRow[]> {
    for (let behind: ProgramPlace | undefined; ;) {
      const { rows, isLast } = await this.#rowsBehind(behind, undefined);
      if (rows.length > 0) yield rows;
      const last = rows.at(-1)?.envelope.id;
      if (isLast || last === undefined) return;
      behind = placeOfEnvelope(last);
    }
  }

  async #rowsBehind(
    behind: ProgramPlace | undefined,
    message: MessageId | undefined,
  ): Promise<{ rows: readonly ProgramRow[]; isLast: boolean }> {
    const question: Question = {
      do: "scan",
      limit: SCAN_ROWS,
      ...(behind === undefined ? {} : { behind }),
      ...(message === undefined ? {} : { message }),
    };
    return scannedOf(await this.#link.ask(question)) ?? this.#nonsense("rows");
  }

  /** The program gave back what it never was given: nothing it says can be believed. */
  #nonsense(what: string): never {
    throw this.#link.fail(`talks nonsense: expected ${what}`);
  }
}

function closedError(): PosthornError {
  return new PosthornError("STORE_CLOSED", { message: "the queue was closed", advice: "the server is stopping" });
}
