import type { Clock, Timer } from "../../../foundation/clock.ts";
import { PosthornError } from "../../../foundation/error.ts";
import { fewLines } from "../../../foundation/few-lines.ts";
import { startLineProgram, type LineProgram } from "../../../foundation/line-program.io.ts";
import { formatDuration } from "../../../foundation/units.ts";
import {
  parseAnswer,
  parseHello,
  QUEUE_PROTOCOL,
  QUEUE_PROTOCOL_VERSION,
  type Hello,
  type Question,
} from "./messages.ts";

export interface ProgramLinkOptions {
  readonly command: readonly string[];
  /** Where the queue's body files are; told to the program. */
  readonly directory: string;
  /** For each answer, and for the hello. */
  readonly deadlineMs: number;
  readonly clock: Clock;
  readonly onComplaint: (line: string) => void;
  /** Told once, after the hello, when the program is of no use any more. */
  readonly onFailure: (error: PosthornError) => void;
}

/** Answers that are shorter than this are as many rows as a scan may ask for; documented as the program's limit. */
const MOST_LINE_BYTES = 64 * 1024 * 1024;
/** So many questions may be without an answer, and so much may wait in the pipe; more waits here, in order. */
const MOST_ASKED = 256;
const MOST_UNREAD_BYTES = 4 * 1024 * 1024;
const COMPLAINTS = { most: 50, inMs: 60_000 };

interface Asked {
  readonly question: Question;
  /** By the monotonic clock. */
  readonly since: number;
  isReady: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * A queue program that is running: questions go out in the order in which they were asked, answers come in any order. It
 * fails as a whole: when the program ends, says that it failed, talks nonsense or leaves a question unanswered, everything
 * that waits rejects with `SPOOL_FAILED`, and so does all that comes.
 */
export class ProgramLink {
  readonly hello: Promise<Hello>;
  readonly #options: ProgramLinkOptions;
  readonly #program: LineProgram;
  #isOpen = false;
  #failure: PosthornError | undefined;
  #number = 0;
  #unsent: Asked[] = [];
  readonly #asked = new Map<number, Asked>();
  #watch: Timer | undefined;
  #drained: (() => void)[] = [];

  constructor(options: ProgramLinkOptions) {
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<Hello>();
    this.hello = promise;
    const handshake = options.clock.after(options.deadlineMs, () =>
      refuse(`did not say hello within ${formatDuration(options.deadlineMs)}`),
    );
    const refuse = (text: string): void => {
      handshake.cancel();
      const error = this.fail(text);
      if (!this.#isOpen) reject(error);
    };
    this.#program = startLineProgram({
      command: options.command,
      mostLineBytes: MOST_LINE_BYTES,
      onLine: (line) => {
        if (this.#failure !== undefined) return;
        if (this.#isOpen) {
          this.#onLine(line);
          return;
        }
        const hello = parseHello(line);
        if (!hello.ok) {
          refuse(`was expected to begin otherwise: expected ${hello.problem.expected}`);
          return;
        }
        handshake.cancel();
        this.#isOpen = true;
        resolve(hello.value);
      },
      onComplaint: fewLines(COMPLAINTS, options.clock, options.onComplaint),
      onDrain: () => this.#send(),
      onEnd: (text) => refuse(text),
    });
    const { directory } = options;
    this.#program.say(JSON.stringify({ hello: QUEUE_PROTOCOL, version: QUEUE_PROTOCOL_VERSION, directory }));
  }

  /**
   * The value of an `ok`. Rejects with `SPOOL_REFUSED`, `SPOOL_FULL` or `SPOOL_FAILED`. With `isFit` the question waits for that,
   * and all behind it wait too: the order stays; when that rejects the question is not asked.
   */
  ask(question: Question, isFit?: Promise<void>): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const since = this.#options.clock.monotonicMs();
      const asked: Asked = { question, since, isReady: isFit === undefined, resolve, reject };
      this.#unsent.push(asked);
      this.#watch ??= this.#options.clock.after(this.#options.deadlineMs, () => this.#checkDeadline());
      isFit?.then(
        () => {
          asked.isReady = true;
          this.#send();
        },
        (error: unknown) => {
          this.#unsent = this.#unsent.filter((each) => each !== asked);
          reject(error);
          this.#settled();
          this.#send();
        },
      );
      this.#send();
    });
  }

  /** Resolves when nothing waits for an answer any more. */
  drained(): Promise<void> {
    if (this.#asked.size + this.#unsent.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  /** Lets the program end by itself; by force after `graceMs`. Resolves when it has ended. */
  async end(graceMs: number, because: PosthornError): Promise<void> {
    this.#stop(because);
    await this.#program.end(graceMs);
  }

  #send(): void {
    while (this.#failure === undefined) {
      const [next] = this.#unsent;
      if (next?.isReady !== true) return;
      if (this.#asked.size >= MOST_ASKED || this.#program.unreadBytes > MOST_UNREAD_BYTES) return;
      this.#unsent.shift();
      const id = ++this.#number;
      const line = JSON.stringify({ id, ...next.question });
      if (line.length > MOST_LINE_BYTES) {
        next.reject(refusedError(`what was to be stored makes a line of ${line.length} bytes`));
        this.#settled();
        continue;
      }
      this.#asked.set(id, next);
      this.#program.say(line);
    }
  }

  #onLine(line: string): void {
    const parsed = parseAnswer(line);
    if (!parsed.ok) {
      this.fail(`talks nonsense: expected ${parsed.problem.expected}`);
      return;
    }
    const { id, answer } = parsed.value;
    const asked = this.#asked.get(id);
    if (asked === undefined) {
      this.fail(`answered question ${id}, which nobody asked`);
      return;
    }
    if (answer.kind === "failed") {
      this.fail(`failed: ${answer.text}`);
      return;
    }
    this.#asked.delete(id);
    if (answer.kind === "ok") asked.resolve(answer.value);
    else if (answer.kind === "refused") asked.reject(refusedError(answer.text));
    else
      asked.reject(
        new PosthornError("SPOOL_FULL", {
          message: `the queue program has no room: ${answer.text}`,
          advice: "give the program's storage more room",
        }),
      );
    this.#settled();
    this.#send();
  }

  #settled(): void {
    if (this.#asked.size + this.#unsent.length > 0) return;
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  #checkDeadline(): void {
    this.#watch = undefined;
    const limitMs = this.#options.deadlineMs;
    const oldest = [this.#unsent[0], this.#asked.values().next().value];
    const since = Math.min(...oldest.map((asked) => asked?.since ?? Infinity));
    if (since === Infinity || this.#failure !== undefined) return;
    const leftMs = since + limitMs - this.#options.clock.monotonicMs();
    if (leftMs > 0) this.#watch = this.#options.clock.after(leftMs, () => this.#checkDeadline());
    else this.fail(`did not answer within ${formatDuration(limitMs)}`);
  }

  /** The program is of no use any more. Returns the error that everything that waits rejects with. */
  fail(text: string): PosthornError {
    if (this.#failure !== undefined) return this.#failure;
    const error = new PosthornError("SPOOL_FAILED", {
      message: `queue program ${this.#options.command[0] ?? ""} ${text}`,
      advice: "look at what the program wrote to the log, and at its storage",
    });
    this.#program.kill();
    this.#stop(error);
    if (this.#isOpen) this.#options.onFailure(error);
    return error;
  }

  #stop(error: PosthornError): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#watch?.cancel();
    const waiting = [...this.#asked.values(), ...this.#unsent];
    this.#asked.clear();
    this.#unsent = [];
    for (const asked of waiting) asked.reject(error);
    this.#settled();
  }
}

function refusedError(text: string): PosthornError {
  return new PosthornError("SPOOL_REFUSED", { message: text, advice: "the client is asked to send the message again" });
}
