import { sleep, type Clock, type Timer } from "../../foundation/clock.ts";
import { PosthornError, systemCodeOf } from "../../foundation/error.ts";
import type { Emit } from "../../foundation/events.ts";
import type { LineTrace } from "../../foundation/line-trace.ts";
import { partsOfEnvelopeId, type MessageId } from "../../foundation/ids.ts";
import type { LocalDelivery, NetworkDelivery } from "../delivery/delivery.ts";
import { queuePort } from "../queue/queue-port.ts";
import type { CommitRequest, DomainWaker, QueuePort, WakeRequest, Woken } from "../queue/queue.ts";
import type { LoadedEnvelope, Store } from "../queue/store.ts";
import type { Action } from "./action.ts";
import type { Changed, Direction } from "./admin/admin.ts";
import { Attempts } from "./attempts.ts";
import type { Command } from "./commands.ts";
import { Contents } from "./writing/contents.ts";
import { DurableWriter } from "./writing/durable-writer.ts";
import { loaded, noticeQueued, removed, suspensionUnreadable } from "./events.ts";
import { Forwarding, type Forwards } from "./forwarding.ts";
import type { Notices } from "./notices.ts";
import { NoteWriter } from "./writing/note-writer.ts";
import { RecentWakes } from "./recent-wakes.ts";
import { InputRecorder, type InputJournal } from "./replay/replay.ts";
import { isQuiet, step, type SchedulerEvent } from "./scheduler.ts";
import { newScheduler, type CoreSettings, type SchedulerState } from "./state.ts";
import { Watchers } from "./watchers.ts";
import { suspensionFrom } from "./suspension/suspension-note.ts";
import {
  NO_SUCH_SUSPENSION,
  SUSPENSION_NOTES,
  type SuspensionFacts,
  type SuspensionLevel,
} from "./suspension/suspension.ts";
import { loadedFrom, writeBatch, type Unwritable, type WriteBatch } from "./writing/write-batch.ts";

/** What the scheduler's driver works with. In a split server the deliveries are at the other end of a channel. */
export interface SchedulerParts {
  readonly store: Store;
  readonly network: NetworkDelivery;
  readonly local: LocalDelivery;
  readonly notices: Notices;
  /** Where the targets of users' `.forward` files go; without it they fail for now. */
  readonly forwards?: Forwards | undefined;
  readonly clock: Clock;
  readonly emit: Emit;
  /** For the core's chance; the journal names it. */
  readonly seed: number;
  readonly settings: CoreSettings;
  /** Where the inputs are recorded, for replays. */
  readonly journal?: InputJournal | undefined;
  /** Shows events and what was decided, while somebody wants to see it. */
  readonly trace?: LineTrace | undefined;
  /** Reception is not the scheduler's; who listens is told to pause and to resume. */
  readonly onReception?: ((isPaused: boolean, because: string) => void) | undefined;
}

/**
 * Obeys the scheduler: talks to store and deliveries, and tells it what came of it. Whatever a delivery does (reject,
 * say nothing, die with its process) becomes an outcome; whatever the store does, no decided outcome is dropped before
 * it is durable or this process ends.
 */
export class Scheduler implements QueuePort, DomainWaker, AsyncDisposable {
  readonly #parts: SchedulerParts;
  readonly #state: SchedulerState;
  readonly #recorder: InputRecorder | undefined;
  readonly #contents: Contents;
  readonly #forwarding: Forwarding;
  readonly #attempts: Attempts;
  readonly #commit: QueuePort;
  readonly #ended = new AbortController();
  readonly #wakes = new RecentWakes();
  /** Events that wait for the step that runs. */
  readonly #events: SchedulerEvent[] = [];
  readonly #incoming: LoadedEnvelope[] = [];
  readonly #answers = new Map<number, { resolve(changed: Changed): void; reject(because: Error): void }>();
  #commandCount = 0;
  #isStepping = false;
  #timer: Timer | undefined;
  #loading: Promise<void> | undefined;
  #areSuspensionsKnown = true;
  readonly #writer: DurableWriter;
  readonly #notes = new NoteWriter((operations) => this.#writer.write(operations));
  #onQuiet: (() => void) | undefined;
  readonly startedAt: number;
  readonly #watchers: Watchers;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    this.#state = newScheduler(parts.settings, parts.seed);
    this.#recorder = parts.journal === undefined ? undefined : new InputRecorder(parts.journal);
    this.#contents = new Contents(parts.store, parts.clock);
    this.#forwarding = new Forwarding(parts.store, parts.forwards);
    this.#attempts = new Attempts({
      network: parts.network,
      local: parts.local,
      emit: parts.emit,
      contents: this.#contents,
      forwarding: this.#forwarding,
      post: (event) => this.#post(event),
      onQueueError: (thrown) => this.#writer.noteError(thrown),
    });
    this.startedAt = parts.clock.now();
    this.#watchers = new Watchers(parts.clock, parts.trace);
    this.#writer = new DurableWriter({
      store: parts.store,
      clock: parts.clock,
      emit: parts.emit,
      signal: this.#ended.signal,
      onLost: () => this.#post({ on: "store", isUsable: false }),
      onRegained: async () => {
        // What was committed without anybody knowing it is found here, too.
        await this.#readAll();
        this.#post({ on: "store", isUsable: true });
      },
    });
    this.#commit = queuePort(parts.store, {
      clock: parts.clock,
      expireAfterMs: () => this.#state.settings.scheduler.expireAfter,
      quarantineMs: () => this.#state.settings.scheduler.quarantineFor,
      onCommitted: (request, envelopes) => {
        this.#contents.remember(request);
        this.#takeUp(envelopes.map((envelope) => loadedFrom(request, envelope)));
      },
    });
  }

  /** For queries of the operator's side; never changed from outside. */
  get state(): SchedulerState {
    return this.#state;
  }

  /** What is counted, traced and measured of the steps. */
  get watchers(): Watchers {
    return this.#watchers;
  }

  get isLoading(): boolean {
    return this.#state.loading !== undefined;
  }

  /** Reads what the store holds, in the background: mail is taken and delivered meanwhile. */
  start(): void {
    if (this.#loading !== undefined) return;
    // What is committed meanwhile waits until it is known what is suspended.
    this.#areSuspensionsKnown = false;
    this.#loading = this.#load();
  }

  /** Resolves as soon as message and envelopes are durable; the scheduler has them a moment later. */
  async commit(request: CommitRequest): Promise<void> {
    try {
      await this.#commit.commit(request);
    } catch (thrown) {
      this.#writer.noteError(thrown);
      throw thrown;
    }
  }

  /** Resolves when all that is changed is durable. */
  command(wants: Command): Promise<Changed> {
    return this.#answered((command) => ({ on: "command", command, wants }));
  }

  /** Resolves, when it is durable, with the number of envelopes that it holds. */
  async suspend(suspension: SuspensionFacts): Promise<number> {
    return (await this.#answered((command) => ({ on: "suspend", command, suspension }))).envelopes;
  }

  /** Resolves, when it is durable, with the number of envelopes that it held; undefined: there is no such one. */
  async unsuspend(level: SuspensionLevel, key: string, by: string): Promise<number | undefined> {
    const { envelopes: held } = await this.#answered((command) => ({ on: "unsuspend", command, level, key, by }));
    return held === NO_SUCH_SUSPENSION ? undefined : held;
  }

  /** Ends rests and penalties by name; resolves with how many there were. */
  async forgive(which: string): Promise<number> {
    return (await this.#answered((command) => ({ on: "forgive", command, which }))).envelopes;
  }

  #answered(eventOf: (command: number) => SchedulerEvent): Promise<Changed> {
    const command = ++this.#commandCount;
    return new Promise((resolve, reject) => {
      if (this.#ended.signal.aborted) {
        reject(stopped());
        return;
      }
      this.#answers.set(command, { resolve, reject });
      this.#post(eventOf(command));
    });
  }

  /** A host that was away asks for its mail: due at once, and the rests of its relays end. */
  async wake({ domain, withSubdomains }: WakeRequest): Promise<Woken> {
    if (!this.#wakes.isNews(`${withSubdomains ? "@" : ""}${domain}`, this.#parts.clock.monotonicMs()))
      return { kind: "woken" };
    const wake: Command = { do: "retryNow", selector: { by: "domain", domain, withSubdomains } };
    const woken = this.command(wake);
    if (!this.isLoading) return { kind: "woken", envelopes: (await woken).envelopes };
    // What is not known yet is woken when it is; a stop on the way loses nothing but that.
    woken.catch(() => {});
    return { kind: "woken", isStarting: true };
  }

  pause(direction: Direction, because: string): void {
    if (direction === "in") this.#parts.onReception?.(true, because);
    this.#post({ on: "pause", direction, because });
  }

  resume(direction: Direction): void {
    if (direction === "in") this.#parts.onReception?.(false, "");
    this.#post({ on: "resume", direction });
  }

  /** New settings: what waits is planned anew, what runs ends as it began. */
  reload(settings: CoreSettings): void {
    this.#post({ on: "settings", settings });
  }

  /** Hands nothing out any more and lets what runs end; resolves then, or at the deadline. True: all has ended. */
  async stop(deadlineMs: number): Promise<boolean> {
    if (!this.#ended.signal.aborted) {
      const quiet = new Promise<void>((resolve) => {
        this.#onQuiet = resolve;
      });
      this.#post({ on: "stop" });
      this.#parts.local.finish?.(deadlineMs).catch(() => {
        // A process that is gone has nothing to end.
      });
      const limit = new AbortController();
      await Promise.race([quiet, sleep(this.#parts.clock, deadlineMs, limit.signal).catch(() => {})]);
      limit.abort();
    }
    const isEnded = isQuiet(this.#state);
    if (!isEnded && !this.#ended.signal.aborted) this.#post({ on: "end" });
    this.#ended.abort(stopped());
    for (const answer of this.#answers.values()) answer.reject(stopped());
    this.#answers.clear();
    this.#timer?.cancel();
    await this.#loading;
    await this.#writer[Symbol.asyncDispose]();
    return isEnded;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }

  #takeUp(envelopes: readonly LoadedEnvelope[]): void {
    // Commits that became durable together are taken up together, after their clients have got their 250.
    if (this.#incoming.length === 0 && this.#areSuspensionsKnown) setImmediate(() => this.#postIncoming());
    this.#incoming.push(...envelopes);
  }

  #postIncoming(): void {
    if (this.#incoming.length > 0) this.#post({ on: "queued", envelopes: this.#incoming.splice(0) });
  }

  #post(event: SchedulerEvent): void {
    if (this.#ended.signal.aborted) return;
    this.#events.push(event);
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        const now = this.#parts.clock.now();
        this.#recorder?.record(now, next, this.#state);
        this.#watchers.before(this.#state, next, now);
        const actions = step(this.#state, next, now);
        this.#watchers.after(this.#state, next, actions, now);
        for (const action of actions) this.#perform(action);
      }
    } finally {
      this.#isStepping = false;
    }
    if (this.#onQuiet !== undefined && isQuiet(this.#state)) this.#onQuiet();
  }

  #perform(action: Action): void {
    switch (action.do) {
      case "resolve":
        void this.#attempts.resolve(action);
        return;
      case "connect":
        void this.#attempts.connect(action);
        return;
      case "transact":
        void this.#attempts.transact(action);
        return;
      case "leave":
        this.#attempts.leave(action);
        return;
      case "deliver":
        void this.#attempts.deliver(action);
        return;
      case "write":
        void this.#write(action);
        return;
      case "note":
        void this.#note(action);
        return;
      case "answer": {
        const { do: _, command, ...changed } = action;
        this.#answers.get(command)?.resolve(changed);
        this.#answers.delete(command);
        return;
      }
      case "timer":
        this.#timer?.cancel();
        this.#timer = this.#parts.clock.after(
          Math.min(Math.max(0, action.at - this.#parts.clock.now()), LONGEST_TIMER_MS),
          () => this.#post({ on: "timer" }),
        );
        return;
      case "tell":
        // `tell` took event and fields together; the union only forgot it.
        this.#parts.emit(action.event, action.fields as never);
        if (action.event.name === removed.name) this.#forgetMessage((action.fields as { message: string }).message);
    }
  }

  #forgetMessage(id: MessageId): void {
    this.#contents.forget(id);
    this.#forwarding.forget(id);
  }

  async #write(action: Extract<Action, { do: "write" }>): Promise<void> {
    const batch = await this.#batchOf(action);
    if (batch.kind === "not-now") {
      this.#post({ on: "unwritten", write: action.write, problem: batch.problem });
      return;
    }
    if (batch.kind === "unreturnable") {
      const { envelopes, because } = batch;
      this.#post({ on: "unreturnable", write: action.write, envelopes, because });
      return;
    }
    try {
      const end = await this.#writer.write(batch.operations);
      if (end === "written") this.#concludeWrite(action.write, batch);
      else {
        const hasNotice = batch.made.length > 0;
        this.#post({ on: "unwritten", write: action.write, refused: end.refused, hasNotice });
      }
    } catch (thrown) {
      // Stopped: the outcome is not durable, and the envelopes are tried again after the next start.
      if (!this.#ended.signal.aborted && systemCodeOf(thrown) !== "STORE_CLOSED") throw thrown;
    }
  }

  async #note({ key, text, command, envelopes }: Extract<Action, { do: "note" }>): Promise<void> {
    try {
      await this.#notes.note(key, text);
      if (command === undefined) return;
      this.#answers.get(command)?.resolve({ envelopes });
      this.#answers.delete(command);
    } catch (thrown) {
      // Stopped: what was not answered may not hold after the next start.
      if (!this.#ended.signal.aborted && systemCodeOf(thrown) !== "STORE_CLOSED") throw thrown;
    }
  }

  async #batchOf(action: Extract<Action, { do: "write" }>): Promise<WriteBatch | Unwritable> {
    const isPlain = action.notices.length === 0 && action.operations.every((one) => one.do === "remove");
    if (isPlain) return { kind: "batch", operations: action.operations, made: [], untold: [] };
    for (;;) {
      try {
        return await writeBatch(action, {
          ...this.#parts,
          contents: this.#contents,
          now: this.#parts.clock.now(),
          expireAfterMs: this.#state.settings.scheduler.expireAfter,
          wantsSuccess: (id) => this.#attempts.envelope(id)?.notify.includes("SUCCESS") === true,
        });
      } catch (thrown) {
        // Only the reading of last failures gets here.
        this.#writer.noteError(thrown);
        if (this.#ended.signal.aborted) return { kind: "not-now", problem: "the server stopped" };
        await sleep(this.#parts.clock, READ_AGAIN_MS, this.#ended.signal).catch(() => {});
      }
    }
  }

  #concludeWrite(write: number, { operations, made, untold }: WriteBatch): void {
    for (const operation of operations) {
      if (operation.do === "commit") continue;
      if (operation.do === "add") {
        // Remembered without them, they would be taken for gone.
        this.#contents.forget(operation.message);
        continue;
      }
      this.#attempts.forget(operation.envelope);
      // Deferred: the next attempt is minutes away.
      if (operation.do === "update") this.#contents.forget(partsOfEnvelopeId(operation.envelope)?.message ?? "");
    }
    this.#post({ on: "written", write, ...(untold.length === 0 ? {} : { untold }) });
    for (const { plan, request, envelopes } of made) {
      const to = plan.to === undefined ? "sender" : "postmaster";
      this.#parts.emit(noticeQueued, { message: plan.message, notice: request.message.id, kind: plan.kind, to });
      this.#takeUp(envelopes.map((envelope) => loadedFrom(request, envelope)));
    }
  }

  async #load(): Promise<void> {
    try {
      await this.#readAll();
    } catch (thrown) {
      // The store failed: reading anew is part of its recovery.
      this.#writer.noteError(thrown);
      if (systemCodeOf(thrown) !== "SPOOL_FAILED") this.#post({ on: "all-loaded" });
    }
  }

  async #readSuspensions(): Promise<void> {
    const { store, emit } = this.#parts;
    const known: SuspensionFacts[] = [];
    for (const { key, text } of await store.notes(SUSPENSION_NOTES)) {
      const facts = suspensionFrom(text);
      // Somebody else wrote there; mail that nobody holds is better than a server that does not start.
      if (facts === undefined) emit(suspensionUnreadable, { key });
      // What is over is lifted when all that it held is known.
      else known.push(facts);
    }
    if (known.length > 0) this.#post({ on: "suspensions", known });
    this.#areSuspensionsKnown = true;
    this.#postIncoming();
  }

  async #readAll(): Promise<void> {
    this.#post({ on: "loading" });
    if (!this.#areSuspensionsKnown) await this.#readSuspensions();
    const { store, clock, emit } = this.#parts;
    const beganAt = clock.monotonicMs();
    let envelopes = 0;
    for await (const portion of store.load()) {
      if (this.#ended.signal.aborted) return;
      envelopes += portion.length;
      this.#post({ on: "loaded", envelopes: portion });
    }
    emit(loaded, { envelopes, took: Math.round(clock.monotonicMs() - beganAt) });
    this.#post({ on: "all-loaded" });
  }
}

const READ_AGAIN_MS = 1000;
/** A clock that is set while nothing happens is noticed after this. */
const LONGEST_TIMER_MS = 60_000;

function stopped(): PosthornError {
  return new PosthornError("ROLE_UNAVAILABLE", { message: "the scheduler has stopped", advice: "start the server" });
}
