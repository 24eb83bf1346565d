import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from "node:worker_threads";
import { unreachable } from "../../foundation/assert.ts";
import { messageOf } from "../../foundation/error.ts";
import { BodyFiles } from "./body-files.ts";
import { fileLayer } from "./file-layer.io.ts";
import { copySpool } from "./backup.io.ts";
import { StoreReader } from "./store-reader.io.ts";
import { storeError, StoreWriter } from "./store-writer.io.ts";
import type { QueueFilter, QueuePage, QueuePlace } from "./store.ts";
import type {
  Answered,
  FromReader,
  FromWriter,
  Question,
  ThreadTask,
  ToldError,
  ToReader,
  ToWriter,
} from "./thread-messages.ts";

/** The threads behind the embedded store: one writes, one reads, one copies a backup and ends. Begun by `store.io.ts`. */

/** A transaction takes what waits, up to this many bytes of bodies; the rest makes the next one. */
const GROUP_BYTES = 16 * 1024 * 1024;

function write(port: MessagePort, directory: string, checkpointPages: number): void {
  const say = (message: FromWriter): void => port.postMessage(message);
  const writer = openOrTell(() => new StoreWriter(directory), say);
  if (writer === undefined) return;
  const bodies = new BodyFiles(`${directory}/bodies`, fileLayer);
  const unlinking = unlinkLater(bodies);
  let isOpen = true;

  const close = (last: FromWriter): void => {
    isOpen = false;
    if (last.say === "failed") writer.leave();
    else writer.close();
    void unlinking.end().finally(() => {
      say(last);
      port.close();
    });
  };
  /** What the disk does to us ends the thread; what waits is answered by the store with the same error. */
  const guarded = (work: () => void): void => {
    try {
      work();
    } catch (thrown) {
      close({ say: "failed", error: told(thrown) });
    }
  };
  const apply = (group: readonly Extract<ToWriter, { do: "apply" }>[]): void => {
    const beganAt = performance.now();
    const { batches, syncs, failures, unnamed } = writer.applyGroup(group);
    const tookMs = performance.now() - beganAt;
    say({ say: "applied", batches, syncs, failures, tookMs, messages: writer.messages, envelopes: writer.envelopes });
    for (const name of unnamed) unlinking.add(name);
    if (writer.pagesInLog() >= checkpointPages) writer.checkpoint();
  };
  const sweep = async (beforeAt: number): Promise<void> => {
    let files = 0;
    let sizeBytes = 0;
    let problem: string | undefined;
    try {
      for await (const file of bodies.filesUntouchedSince(beforeAt)) {
        if (!isOpen) return;
        if (unlinking.has(file.name) || !writer.sweep(file.message, file.name)) continue;
        files++;
        sizeBytes += file.sizeBytes;
      }
    } catch (thrown) {
      // No mail depends on sweeping; what the disk has to say is told, and there will be another sweep.
      problem = messageOf(thrown);
    }
    if (isOpen) say({ say: "swept", files, sizeBytes, problem });
  };
  const obey = (message: Exclude<ToWriter, { do: "apply" }>): void => {
    switch (message.do) {
      case "keepFiles":
        unlinking.keep();
        say({ say: "filesKept" });
        return;
      case "releaseFiles":
        unlinking.release();
        return;
      case "sweep":
        void sweep(message.beforeAt);
        return;
      case "close":
        close({ say: "closed" });
    }
  };

  say({ say: "opened", messages: writer.messages, envelopes: writer.envelopes });

  port.on("message", (first: ToWriter) => {
    // Everything that arrived while the last group was being synced makes the next group, with one sync.
    let next: ToWriter | undefined = first;
    // oxlint-disable-next-line no-unmodified-loop-condition -- `close` modifies it
    while (isOpen && next !== undefined) {
      const group: Extract<ToWriter, { do: "apply" }>[] = [];
      for (let bytes = 0; next?.do === "apply" && bytes < GROUP_BYTES; next = received(port)) {
        group.push(next);
        bytes += next.bodies.length;
      }
      if (group.length > 0) guarded(() => apply(group));
      if (next === undefined || next.do === "apply" || !isOpen) continue;
      const other = next;
      guarded(() => obey(other));
      next = isOpen ? received(port) : undefined;
    }
  });
}

function received(port: MessagePort): ToWriter | undefined {
  const message: { message: ToWriter } | undefined = receiveMessageOnPort(port);
  return message?.message;
}

/** Unlinks one file after the other, so that a burst of removals does not fill the thread pool. */
function unlinkLater(bodies: BodyFiles): {
  add(name: string): void;
  has(name: string): boolean;
  keep(): void;
  release(): void;
  end(): Promise<void>;
} {
  const waiting = new Set<string>();
  let keepers = 0;
  let running: Promise<void> | undefined;
  const run = async (): Promise<void> => {
    for (const name of waiting) {
      if (keepers > 0) break;
      // A file that cannot be unlinked now is an orphan, and swept later.
      await bodies.remove(name).catch(() => false);
      waiting.delete(name);
    }
    running = undefined;
  };
  const start = (): void => {
    if (running === undefined && keepers === 0 && waiting.size > 0) running = run();
  };
  return {
    add(name) {
      waiting.add(name);
      start();
    },
    has: (name) => waiting.has(name),
    keep: () => void keepers++,
    release() {
      keepers--;
      start();
    },
    async end() {
      start();
      await running;
    },
  };
}

function read(port: MessagePort, directory: string): void {
  const say = (message: FromReader): void => port.postMessage(message);
  let reader: StoreReader | undefined;
  let pages: PagesAhead | undefined;
  const streams = new Map<number, Iterator<readonly unknown[]>>();
  const close = (last: FromReader): void => {
    reader?.close();
    say(last);
    port.close();
  };
  port.on("message", (message: ToReader) => {
    if (message.do === "close") {
      close({ say: "closed" });
      return;
    }
    try {
      const opened = (reader ??= new StoreReader(directory));
      const ahead = (pages ??= pagesAhead(opened));
      if (message.do === "open") {
        say({ say: "opened" });
        return;
      }
      // Portions of long answers leave one by one: whoever asked works on the first while the second is read. Short answers
      // travel together.
      const answers: Answered[] = [];
      for (const question of message.questions) {
        const answered = { number: question.number, value: answer(opened, ahead, streams, question) };
        if ("stream" in question) say({ say: "answers", answers: [answered] });
        else answers.push(answered);
      }
      if (answers.length > 0) say({ say: "answers", answers });
    } catch (thrown) {
      // A database that cannot be read is in doubt as a whole.
      close({ say: "failed", error: told(thrown) });
    }
  });
}

function answer(
  reader: StoreReader,
  pages: PagesAhead,
  streams: Map<number, Iterator<readonly unknown[]>>,
  question: Question,
): unknown {
  switch (question.ask) {
    case "message":
      return reader.message(question.id);
    case "body":
      return reader.body(question.id);
    case "envelopes":
      return reader.envelopes(question.ids);
    case "attempts":
      return reader.attempts(question.id);
    case "notes":
      return reader.notes(question.prefix);
    case "page":
      return pages.page(question.filter, question.behind);
    case "endStream":
      streams.delete(question.stream);
      return undefined;
    case "load":
    case "missingFiles":
    case "census": {
      const stream = streams.get(question.stream) ?? streamOf(reader, question);
      // Kept when it is over, too, until its end is told: more may have been asked of it ahead.
      streams.set(question.stream, stream);
      const { done, value } = stream.next();
      return done === true ? undefined : value;
    }
    default:
      return unreachable(question);
  }
}

/** Younger than this, a page that was read ahead is as true as one that is read now. */
const AHEAD_MS = 200;

/**
 * Pages of a list, the next one read while the last one is unpacked, shown and sent: whoever asked for one page of a long list
 * nearly always asks for the next. One at a time, and forgotten when nobody asks for it soon.
 */
interface PagesAhead {
  page(filter: QueueFilter, behind: QueuePlace | undefined): QueuePage;
}

function pagesAhead(reader: StoreReader): PagesAhead {
  let ahead: { readonly of: string; readonly at: number; readonly page: QueuePage } | undefined;
  const nameOf = (filter: QueueFilter, behind: QueuePlace | undefined): string => JSON.stringify([filter, behind]);
  const readAhead = (filter: QueueFilter, behind: QueuePlace): void => {
    // Answers first: they are posted when the question at hand is done.
    setImmediate(() => {
      try {
        const read = { of: nameOf(filter, behind), at: performance.now(), page: reader.page(filter, behind) };
        ahead = read;
        setTimeout(() => {
          if (ahead === read) ahead = undefined;
        }, AHEAD_MS).unref();
      } catch {
        // Whoever asks for it hears of it; nobody may.
        ahead = undefined;
      }
    });
  };
  return {
    page(filter, behind) {
      const known = ahead;
      ahead = undefined;
      const page =
        known !== undefined && known.of === nameOf(filter, behind) && performance.now() - known.at < AHEAD_MS
          ? known.page
          : reader.page(filter, behind);
      // With a limit the next question is another one, and often there is none.
      if (filter.limit === undefined && page.next !== undefined && page.count > 0) readAhead(filter, page.next);
      return page;
    },
  };
}

function streamOf(
  reader: StoreReader,
  question: Extract<Question, { ask: "load" | "missingFiles" | "census" }>,
): Iterator<readonly unknown[]> {
  switch (question.ask) {
    case "load":
      return reader.load();
    case "missingFiles":
      return reader.missingFiles();
    case "census":
      return reader.census(question.now);
    default:
      return unreachable(question);
  }
}

function openOrTell<Opened>(
  open: () => Opened,
  say: (message: { say: "failed"; error: ToldError }) => void,
): Opened | undefined {
  try {
    return open();
  } catch (thrown) {
    say({ say: "failed", error: told(thrown) });
    return undefined;
  }
}

function told(thrown: unknown): ToldError {
  const { code, message, advice } = storeError(thrown, "the queue's thread failed");
  return { code, message, advice };
}

if (parentPort !== null) {
  const port = parentPort;
  // `store.io.ts` begins this thread with a task.
  const task = workerData as ThreadTask;
  switch (task.role) {
    case "writer":
      write(port, task.directory, task.checkpointPages);
      break;
    case "reader":
      read(port, task.directory);
      break;
    case "backup":
      try {
        port.postMessage({ say: "copied", copied: copySpool(task.directory, task.into) });
      } catch (thrown) {
        port.postMessage({ say: "failed", error: told(thrown) });
      }
      break;
  }
}
