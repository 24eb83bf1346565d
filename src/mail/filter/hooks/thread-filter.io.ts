import { Worker } from "node:worker_threads";
import { ownModule } from "../../../foundation/own-module.ts";
import type { Timer } from "../../../foundation/clock.ts";
import { messageOf, PosthornError } from "../../../foundation/error.ts";
import { filterFailed } from "../failed.ts";
import type {
  Filter,
  FilterDialogue,
  FilterMail,
  FilterStage,
  KeptContent,
  MailEdit,
  MailVerdict,
  StageVerdict,
  ContentRoom,
} from "../filter.ts";
import type { FilterWorld } from "../filter-world.ts";
import { hookStrayed, hookThreadEnded } from "./events.ts";
import type { ModuleSettings } from "./settings.ts";
import type { FromHooks, HookThreadTask, ThreadMailVerdict, ToHooks } from "./thread-messages.ts";

/**
 * Hooks in a thread of their own: one for all sessions of a process. While it owes an answer it is pinged; when it is silent
 * for too long (an endless loop), or has grown too big, it is ended. What it was asked has failed then, and the next question
 * starts another. It has no rights that this process has not.
 */
export async function threadFilter(name: string, settings: ModuleSettings, world: FilterWorld): Promise<Filter> {
  let thread: HookThread | undefined;
  let isClosed = false;
  let openDialogues = 0;
  let dialogues = 0;
  let beganAt = 0;
  const begin = async (): Promise<HookThread> => {
    // A module that can't be loaded any more is not tried by every question of every session.
    if (thread !== undefined && !thread.wasReady && world.clock.monotonicMs() - beganAt < REST_MS)
      throw filterFailed(`the hooks of ${settings.file} cannot be run`, "see the log for what is wrong with them");
    beganAt = world.clock.monotonicMs();
    const fresh = new HookThread(name, settings, world);
    thread = fresh;
    await fresh.ready;
    return fresh;
  };
  const current = (): Promise<HookThread> => {
    if (thread === undefined || thread.isOver) return begin();
    const { ready } = thread;
    const there = thread;
    return ready.then(() => there);
  };
  const { stages } = await (await begin()).ready;
  const endWhenIdle = (): void => {
    if (isClosed && openDialogues === 0) thread?.end();
  };
  return {
    name,
    stages,
    open(): FilterDialogue {
      const dialogue = ++dialogues;
      openDialogues++;
      return {
        ask: async (question, signal) =>
          (await current()).ask<StageVerdict>(
            (id) => ({ do: "ask", id, dialogue, now: world.clock.now(), question }),
            signal,
          ),
        async judge(mail, signal) {
          const { facts, trace, header, sizeBytes } = mail;
          return (await current()).ask<MailVerdict>(
            (id) => ({ do: "judge", id, dialogue, now: world.clock.now(), facts, trace, header, sizeBytes }),
            signal,
            mail,
          );
        },
        end() {
          openDialogues--;
          thread?.post({ do: "end", dialogue });
          endWhenIdle();
        },
      };
    },
    health: () => ({ state: "untried", text: `${settings.file}, in a thread`, asked: 0, failures: 0 }),
    close() {
      isClosed = true;
      endWhenIdle();
      return Promise.resolve();
    },
  };
}

const REST_MS = 2000;
const MOST_OPEN = 10_000;
const READY_MS = 40_000;

interface Call {
  resolve(verdict: unknown): void;
  reject(because: Error): void;
  readonly mail: FilterMail | undefined;
  readonly reads: Map<number, AsyncIterator<Uint8Array>>;
  readonly bodies: Map<number, ContentRoom | KeptContent>;
}

/** One life of the thread. */
class HookThread {
  readonly ready: Promise<{ readonly stages: ReadonlySet<FilterStage> }>;
  isOver = false;
  wasReady = false;
  readonly #name: string;
  readonly #settings: ModuleSettings;
  readonly #world: FilterWorld;
  readonly #worker: Worker;
  readonly #calls = new Map<number, Call>();
  /** Which call a read belongs to. */
  readonly #readers = new Map<number, number>();
  #ids = 0;
  #watch: Timer | undefined;
  #heardAt = 0;
  #settleReady: { resolve(of: { readonly stages: ReadonlySet<FilterStage> }): void; reject(because: Error): void };

  constructor(name: string, settings: ModuleSettings, world: FilterWorld) {
    this.#name = name;
    this.#settings = settings;
    this.#world = world;
    const { promise, resolve, reject } = Promise.withResolvers<{ readonly stages: ReadonlySet<FilterStage> }>();
    this.ready = promise;
    promise.catch(() => {});
    this.#settleReady = { resolve, reject };
    const { file, within, memory } = settings;
    const workerData: HookThreadTask = { file, ...(within === undefined ? {} : { within }) };
    this.#worker = new Worker(ownModule("mail/filter/hooks/hook-thread.io"), {
      name: `hooks ${name}`,
      workerData,
      // With a young generation of the usual size, what survives it at once is more than Node can bear beyond the limit: it
      // would end the process instead of the thread.
      resourceLimits: { maxOldGenerationSizeMb: Math.ceil(memory / 2 ** 20), maxYoungGenerationSizeMb: 32 },
    });
    this.#worker.unref();
    this.#worker.on("message", (message: FromHooks) => this.#hear(message));
    this.#worker.on("error", (error) => this.#over(messageOf(error)));
    this.#worker.on("exit", () => this.#over("it ended by itself"));
    const late = world.clock.after(READY_MS, () => this.#over("it did not come up"));
    void promise.catch(() => {}).finally(() => late.cancel());
  }

  /** Rejects with `FILTER_FAILED`. */
  ask<Verdict>(make: (id: number) => ToHooks, signal: AbortSignal, mail?: FilterMail): Promise<Verdict> {
    if (this.#calls.size >= MOST_OPEN)
      return Promise.reject(
        filterFailed(`the hooks of ${this.#settings.file} owe ${MOST_OPEN} answers`, "see what they wait for"),
      );
    const id = ++this.#ids;
    return new Promise<Verdict>((resolve, reject) => {
      const onAbort = (): void => {
        this.post({ do: "cancel", id });
        settle();
        reject(filterFailed(`the hooks of ${this.#settings.file} did not answer in time`, "see what they wait for"));
      };
      const settle = (): void => {
        signal.removeEventListener("abort", onAbort);
        this.#drop(id);
      };
      this.#calls.set(id, {
        mail,
        reads: new Map(),
        bodies: new Map(),
        resolve: (verdict) => {
          settle();
          // What the thread says of a question fits the question: it is our code that speaks there.
          resolve(verdict as Verdict);
        },
        reject: (because) => {
          settle();
          reject(because);
        },
      });
      if (signal.aborted) return onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        this.#worker.postMessage(make(id));
        this.#watchOver();
      } catch (thrown) {
        this.#calls
          .get(id)
          ?.reject(
            filterFailed(
              `nothing can be asked of the hooks of ${this.#settings.file}: ${messageOf(thrown)}`,
              "report this",
            ),
          );
      }
      return undefined;
    });
  }

  post(message: ToHooks): void {
    if (!this.isOver) this.#worker.postMessage(message);
  }

  end(): void {
    this.#over(undefined);
  }

  /** Pings while an answer is owed, and ends a thread that does not even answer that. */
  #watchOver(): void {
    if (this.#watch !== undefined || this.isOver) return;
    this.#heardAt = this.#world.clock.monotonicMs();
    const look = (): void => {
      this.#watch = undefined;
      if (this.#calls.size === 0 || this.isOver) return;
      const silentMs = this.#world.clock.monotonicMs() - this.#heardAt;
      if (silentMs >= this.#settings.stuckAfter)
        return this.#over(`it is stuck: nothing was heard of it for ${Math.round(silentMs)} ms`);
      this.post({ do: "ping" });
      this.#watch = this.#world.clock.after(this.#settings.stuckAfter / 4, look);
      return undefined;
    };
    this.post({ do: "ping" });
    this.#watch = this.#world.clock.after(this.#settings.stuckAfter / 4, look);
  }

  #hear(message: FromHooks): void {
    this.#heardAt = this.#world.clock.monotonicMs();
    switch (message.say) {
      case "ready":
        this.wasReady = true;
        this.#settleReady.resolve({ stages: new Set(message.stages) });
        return;
      case "unusable":
        this.#over(message.text);
        return;
      case "verdict":
        this.#calls.get(message.id)?.resolve(message.verdict);
        return;
      case "judged": {
        const call = this.#calls.get(message.id);
        call?.resolve(verdictOf(message.verdict, call));
        return;
      }
      case "failed":
        this.#calls.get(message.id)?.reject(filterFailed(message.text, message.advice));
        return;
      case "want":
        void this.#sendPiece(message.id, message.read);
        return;
      case "enough": {
        const call = this.#calls.get(this.#readers.get(message.read) ?? 0);
        this.#readers.delete(message.read);
        void call?.reads
          .get(message.read)
          ?.return?.()
          .catch(() => {});
        call?.reads.delete(message.read);
        return;
      }
      case "piece":
        void this.#takePiece(message.id, message.at, message.bytes);
        return;
      case "strayed":
        this.#world.emit(hookStrayed, { filter: this.#name, reason: message.text });
        return;
      case "pong":
    }
  }

  async #sendPiece(id: number, read: number): Promise<void> {
    const call = this.#calls.get(id);
    try {
      if (call?.mail === undefined) throw new Error("the mail is no longer there");
      let reader = call.reads.get(read);
      if (reader === undefined) {
        reader = call.mail.body.read()[Symbol.asyncIterator]();
        call.reads.set(read, reader);
        this.#readers.set(read, id);
      }
      const next = await reader.next();
      this.post({ do: "piece", read, ...(next.done === true ? {} : { bytes: Uint8Array.from(next.value) }) });
    } catch (thrown) {
      this.post({ do: "piece", read, failure: messageOf(thrown) });
    }
  }

  async #takePiece(id: number, at: number, bytes: Uint8Array | undefined): Promise<void> {
    const call = this.#calls.get(id);
    try {
      if (call?.mail === undefined) throw new Error("the mail is no longer there");
      const room = call.bodies.get(at) ?? call.mail.room();
      if (!("write" in room)) throw new Error("that body is complete");
      call.bodies.set(at, room);
      if (bytes === undefined) call.bodies.set(at, await room.finish());
      else await room.write(bytes);
      this.post({ do: "taken", id });
    } catch (thrown) {
      this.post({ do: "taken", id, failure: messageOf(thrown) });
    }
  }

  #drop(id: number): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    for (const [read, reader] of call?.reads ?? []) {
      this.#readers.delete(read);
      void reader.return?.().catch(() => {});
    }
    for (const room of call?.bodies.values() ?? []) if ("write" in room) room.abort();
  }

  #over(because: string | undefined): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#watch?.cancel();
    void this.#worker.terminate();
    const text = because ?? "the filter is closed";
    this.#settleReady.reject(
      new PosthornError("SETTINGS_INVALID", {
        message:
          because === undefined
            ? text
            : because.includes(this.#settings.file)
              ? because
              : `the hooks of ${this.#settings.file} cannot be run: ${because}`,
        advice: "mend the module; `posthorn check` says whether it can be used",
      }),
    );
    if (because !== undefined) this.#world.emit(hookThreadEnded, { filter: this.#name, reason: because });
    const failure = filterFailed(
      `the thread of the hooks of ${this.#settings.file} has ended: ${text}`,
      "see what the hooks do",
    );
    this.#calls.forEach((call) => call.reject(failure));
  }
}

function verdictOf({ edits, ...rest }: ThreadMailVerdict, call: Call): MailVerdict {
  const made: MailEdit[] = edits.flatMap((edit, at): readonly MailEdit[] => {
    if (edit.edit !== "new-body") return [edit];
    const body = call.bodies.get(at);
    return body !== undefined && "read" in body ? [{ edit: "replace-body", body }] : [];
  });
  return { ...rest, edits: made };
}
