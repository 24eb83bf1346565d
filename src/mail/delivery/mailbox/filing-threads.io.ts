import { Worker } from "node:worker_threads";
import type { Clock, Timer } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { Emit } from "../../../foundation/events.ts";
import { ownModule } from "../../../foundation/own-module.ts";
import type { LocalOutcome } from "../delivery.ts";
import { emitTold, putOff } from "./agent-help.ts";
import type { FileAgent, FileErrand } from "./errand.ts";
import * as events from "./events.ts";
import type { FilingTask, FromFilingThread } from "./filing-thread.io.ts";

/**
 * Threads that put mail into Maildirs with this process's own rights (`filing-thread.io.ts`), some of them, each with one mail
 * at a time. A disk that hangs keeps its thread; the others go on in the rest and in new ones, up to a bound. More mail for a
 * mailbox where a delivery hangs is put off at once, so it takes nobody's place.
 *
 * Only Maildirs: fcntl locks, which mboxes need, are a process's and not a thread's.
 */
export interface FilingThreadsParts {
  readonly clock: Clock;
  readonly emit: Emit;
  readonly task: FilingTask;
  /** Another module than ours, for tests. */
  readonly module?: URL | undefined;
}

/** As many as can wait for a disk at once; while they do, the rest of the mail waits in line. */
const MOST_WORKING = 4;
/** Of them into one mailbox: where it turns out to hang, one thread was left for the others until that is known. */
const MOST_PER_MAILBOX = MOST_WORKING - 1;
/** So many wait for each thread that works before another one is started, or one of them for so long. */
const MOST_BEHIND = 4;
const MOST_PATIENCE_MS = 100;
/** Threads that hang, for each that may work. */
const STUCK_FACTOR = 4;
/** A thread that nobody needed for so long ends. */
const IDLE_MS = 60_000;
/** A thread that has not read its own code by then never will. */
const READY_WITHIN_MS = 60_000;
/** Mailboxes that are known to be there; beyond that they are looked at as if they were new. */
const MOST_KNOWN = 20_000;

interface Job {
  readonly errand: FileErrand;
  readonly mailbox: string;
  /** No other mail goes into the mailbox meanwhile. */
  readonly isAlone: boolean;
  readonly resolve: (outcome: LocalOutcome | undefined) => void;
}

interface Member {
  readonly worker: Worker;
  job: Job | undefined;
  isReady: boolean;
  isStuck: boolean;
  timer: Timer | undefined;
}

export class FilingThreads implements FileAgent {
  readonly #parts: FilingThreadsParts;
  readonly #members = new Set<Member>();
  #waiting: Job[] = [];
  /** Mailboxes where a delivery hangs. */
  readonly #stuck = new Set<string>();
  /** Those that a mail has gone into: before that, one at a time makes what is missing. */
  readonly #known = new Set<string>();
  /** Deliveries under way, by mailbox; as many as there may be where one is alone. */
  readonly #under = new Map<string, number>();
  #patience: Timer | undefined;
  #isClosing = false;

  constructor(parts: FilingThreadsParts) {
    this.#parts = parts;
  }

  /** `errand.place` is a Maildir. */
  async run(errand: FileErrand): Promise<LocalOutcome | undefined> {
    const mailbox = errand.place?.path ?? "";
    if (this.#stuck.has(mailbox)) return putOff(errand, STUCK);
    const hasQuota = errand.place?.kind === "maildir" && errand.place.quota !== undefined;
    // With a quota each is counted before the next looks.
    const isAlone = hasQuota || !this.#known.has(mailbox);
    const outcome = await new Promise<LocalOutcome | undefined>((resolve) => {
      this.#waiting.push({ errand, mailbox, isAlone, resolve });
      this.#serve();
    });
    if (outcome?.kind === "delivered") {
      if (this.#known.size >= MOST_KNOWN) this.#known.clear();
      this.#known.add(mailbox);
    }
    return outcome;
  }

  leave(): void {}

  /** What runs is not waited for here: whoever asked for it did, as long as it may take. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true;
    this.#patience?.cancel();
    for (const member of this.#members) {
      member.timer?.cancel();
      void member.worker.terminate();
    }
    return Promise.resolve();
  }

  #serve(isLate = false): void {
    let mayAdd = isLate;
    while (!this.#isClosing) {
      const at = this.#waiting.findIndex(({ mailbox }) => (this.#under.get(mailbox) ?? 0) < MOST_PER_MAILBOX);
      const job = this.#waiting[at];
      if (job === undefined) return;
      const member = this.#free() ?? (mayAdd || this.#isLongLine() ? this.#add() : undefined);
      if (member === undefined) {
        this.#patience ??= this.#parts.clock.after(MOST_PATIENCE_MS, () => {
          this.#patience = undefined;
          this.#serve(true);
        });
        return;
      }
      mayAdd = false;
      this.#waiting.splice(at, 1);
      this.#give(member, job);
    }
  }

  /** A thread costs more memory than a moment's wait is worth. */
  #isLongLine(): boolean {
    return this.#waiting.length > this.#working() * MOST_BEHIND;
  }

  #free(): Member | undefined {
    for (const member of this.#members) if (member.job === undefined) return member;
    return undefined;
  }

  #give(member: Member, job: Job): void {
    const { clock } = this.#parts;
    member.job = job;
    this.#under.set(job.mailbox, (this.#under.get(job.mailbox) ?? 0) + weightOf(job));
    member.timer?.cancel();
    member.timer = member.isReady ? this.#watch(member, job) : clock.after(READY_WITHIN_MS, () => this.#lost(member));
    // Nothing else may keep the process alive until the mail is where it belongs.
    member.worker.ref();
    const [errand, moved] = sent(job.errand);
    member.worker.postMessage(errand, [...moved]);
  }

  #watch(member: Member, job: Job): Timer {
    const { clock, task } = this.#parts;
    return clock.after(task.settings.stuckAfter, () => this.#stuckAt(member, job));
  }

  #lost(member: Member): void {
    void member.worker.terminate();
    this.#gone(member, `it did not begin within ${READY_WITHIN_MS / 1000} s`);
  }

  /** Nothing can end a call that the kernel does not give back: its mail waits for it, and nobody else does. */
  #stuckAt(member: Member, { mailbox }: Job): void {
    const { emit, task } = this.#parts;
    member.isStuck = true;
    this.#stuck.add(mailbox);
    emit(events.threadStuck, { mailbox, forMs: task.settings.stuckAfter });
    const own = this.#waiting.filter((job) => job.mailbox === mailbox);
    this.#waiting = this.#waiting.filter((job) => job.mailbox !== mailbox);
    for (const job of own) job.resolve(putOff(job.errand, STUCK));
    this.#serve();
  }

  #idle(member: Member): void {
    const { clock } = this.#parts;
    this.#leave(member);
    member.worker.unref();
    member.timer?.cancel();
    // While it hung another one came in its place.
    if (this.#working() > MOST_WORKING) this.#end(member);
    else member.timer = clock.after(IDLE_MS, () => this.#end(member));
    this.#serve();
  }

  #leave(member: Member): void {
    const { job, isStuck } = member;
    member.job = undefined;
    member.isStuck = false;
    if (job === undefined) return;
    const left = (this.#under.get(job.mailbox) ?? 0) - weightOf(job);
    if (left > 0) this.#under.set(job.mailbox, left);
    else this.#under.delete(job.mailbox);
    const hangs = [...this.#members].some((one) => one.isStuck && one.job?.mailbox === job.mailbox);
    if (isStuck && !hangs) this.#stuck.delete(job.mailbox);
  }

  #end(member: Member): void {
    this.#members.delete(member);
    void member.worker.terminate();
  }

  #working(): number {
    let working = 0;
    for (const { isStuck } of this.#members) if (!isStuck) working++;
    return working;
  }

  #add(): Member | undefined {
    const { task, module = ownModule("mail/delivery/mailbox/filing-thread.io") } = this.#parts;
    if (this.#working() >= MOST_WORKING || this.#members.size >= MOST_WORKING * (1 + STUCK_FACTOR)) return undefined;
    let worker: Worker;
    try {
      worker = new Worker(module, {
        workerData: task,
        name: "mailboxes",
        execArgv: [],
        // It keeps nothing from one mail to the next.
        resourceLimits: { maxYoungGenerationSizeMb: 4 },
      });
    } catch (thrown) {
      // Those that wait must not wait for a thread that cannot come.
      if (this.#working() === 0)
        for (const job of this.#waiting.splice(0))
          job.resolve(putOff(job.errand, `no thread to deliver it could be started: ${messageOf(thrown)}`));
      return undefined;
    }
    const member: Member = { worker, job: undefined, isReady: false, isStuck: false, timer: undefined };
    this.#members.add(member);
    worker.on("message", (message: FromFilingThread) => {
      const { job } = member;
      switch (message.kind) {
        case "ready":
          member.isReady = true;
          if (job === undefined) return;
          // Until now it has read its own code.
          member.timer?.cancel();
          member.timer = this.#watch(member, job);
          return;
        case "event":
          emitTold(this.#parts.emit, message.event);
          return;
        case "done":
          this.#idle(member);
          job?.resolve(message.outcome);
      }
    });
    worker.on("error", (thrown) => this.#gone(member, messageOf(thrown)));
    worker.on("exit", (status) => this.#gone(member, `exit status ${status}`));
    return member;
  }

  #gone(member: Member, how: string): void {
    if (!this.#members.delete(member)) return;
    member.timer?.cancel();
    const { job } = member;
    this.#leave(member);
    if (job !== undefined) {
      if (!this.#isClosing) this.#parts.emit(events.threadLost, { how, envelope: job.errand.request.envelope.id });
      job.resolve(putOff(job.errand, `the thread that delivered it ended: ${how}`));
    }
    this.#serve();
  }
}

function weightOf({ isAlone }: Job): number {
  return isAlone ? MOST_PER_MAILBOX : 1;
}

/** The content goes along by itself: what it is a piece of (a frame with other mails) would else be copied with it. */
function sent(errand: FileErrand): readonly [FileErrand, readonly ArrayBuffer[]] {
  const { request } = errand;
  if (request.body.kind !== "inline") return [errand, []];
  const bytes = new Uint8Array(request.body.bytes);
  return [{ ...errand, request: { ...request, body: { kind: "inline", bytes } } }, [bytes.buffer]];
}

const STUCK = "an earlier delivery into this mailbox hangs";
