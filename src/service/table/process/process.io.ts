import type { Clock, Timer } from "../../../foundation/clock.ts";
import { fewLines } from "../../../foundation/few-lines.ts";
import { startLineProgram, type LineProgram } from "../../../foundation/line-program.io.ts";
import type { Random } from "../../../foundation/random.ts";
import { formatDuration } from "../../../foundation/units.ts";
import { backendTally } from "../backend-tally.ts";
import type { BackendAsk, KeyedBackend } from "../keyed-backend.ts";
import type { TableAnswer, TableService } from "../table.ts";
import type { TableFinding } from "../tables.ts";
import { tableDialogue, type AskedService, type TableDialogue } from "./dialogue.ts";
import { restartPause } from "./restart-pause.ts";
import type { ProcessSettings } from "./settings.ts";

export interface ProcessOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly onFinding: (finding: TableFinding) => void;
}

/** Answers and lists of aliases can be long, but not endless. */
const MOST_LINE_BYTES = 1024 * 1024;
/** So many lines in a row that answer nothing, and nobody believes in the program any more. */
const MOST_GARBAGE = 100;
/** How much of what a program says on standard error is told, in how long. */
const COMPLAINTS = { most: 50, inMs: 60_000 };
/** How long a program gets to end by itself when the table is closed. */
const END_MS = 1000;

/**
 * A program as table backend. It is started with the table and speaks as `dialogue.ts` says; when it ends, hangs or talks
 * nonsense it is started again, after pauses that grow (`restart-pause.ts`). Until it is ready, requests wait for it, each
 * until its deadline; while it rests they fail at once. `failed` is all that a caller ever sees of this.
 */
export function processBackend(table: string, settings: ProcessSettings, options: ProcessOptions): KeyedBackend {
  const backend = new ProcessBackend(table, settings, options);
  backend.start();
  return backend;
}

interface Request {
  readonly key: string;
  readonly ask: { readonly service: AskedService; readonly signal?: AbortSignal | undefined };
  /** Told before the answer, when the program does not have the service. */
  readonly onUnknown: (() => void) | undefined;
  readonly answer: (answer: TableAnswer) => void;
  readonly deadline: Timer;
}

class ProcessBackend implements KeyedBackend {
  readonly #table: string;
  readonly #settings: ProcessSettings;
  readonly #options: ProcessOptions;
  readonly #tally: ReturnType<typeof backendTally>;
  #program: LineProgram | undefined;
  #dialogue: TableDialogue;
  #startedAt = 0;
  #handshake: Timer | undefined;
  /** Starts in a row that did not last. */
  #failedStarts = 0;
  #garbage = 0;
  #resting: { readonly timer: Timer; readonly text: string } | undefined;
  #isClosed = false;
  /** For the program to be ready. */
  readonly #unasked = new Set<Request>();
  /** By the id that the program was given. */
  readonly #asked = new Map<string, Request>();
  /** A program that talks without end fills no log. */
  readonly #complain: (text: string) => void;

  constructor(table: string, settings: ProcessSettings, options: ProcessOptions) {
    this.#table = table;
    this.#settings = settings;
    this.#options = options;
    this.#tally = backendTally(options.clock);
    this.#dialogue = tableDialogue(table);
    this.#complain = fewLines(COMPLAINTS, options.clock, (text) => this.#find(`${this.#name()} ${text}`));
  }

  get(key: string, ask: BackendAsk): Promise<TableAnswer> {
    return this.#tally.count(() => this.#get(key, ask));
  }

  async checkPassword(
    account: string,
    password: string,
    signal: AbortSignal,
  ): Promise<TableAnswer | { readonly kind: "unable" }> {
    // The account ends with the first colon; and a line's end would make two requests of one. Neither is anybody's.
    if (account.includes(":") || /[\r\n\0]/.test(account + password)) return { kind: "none" };
    let isUnable = false;
    const onUnknown = (): void => {
      isUnable = true;
    };
    const answer = await this.#get(`${account}:${password}`, { service: "auth", signal }, onUnknown);
    return isUnable ? { kind: "unable" } : await this.#tally.count(() => Promise.resolve(answer));
  }

  services(): readonly TableService[] | undefined {
    return this.#dialogue.services;
  }

  health(): ReturnType<KeyedBackend["health"]> {
    const { mostRequests, command } = this.#settings;
    const waiting = this.#unasked.size;
    const pool = { open: this.#program === undefined ? 0 : 1, busy: this.#asked.size, waiting, most: mostRequests };
    const health = this.#tally.health(`process ${command[0] ?? ""}`);
    return { ...health, ...(this.#resting === undefined ? {} : { state: "down" }), pool };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#resting?.timer.cancel();
    const program = this.#program;
    this.#program = undefined;
    this.#handshake?.cancel();
    this.#failAll("was closed");
    await program?.end(END_MS);
  }

  start(): void {
    this.#resting = undefined;
    this.#garbage = 0;
    this.#startedAt = this.#options.clock.monotonicMs();
    const dialogue = tableDialogue(this.#table);
    this.#dialogue = dialogue;
    const program = startLineProgram({
      command: this.#settings.command,
      mostLineBytes: MOST_LINE_BYTES,
      onLine: (line) => {
        if (this.#program === program) this.#onLine(line);
      },
      onComplaint: (line) => this.#onComplaint(line),
      onEnd: (text) => {
        if (this.#program === program) this.#onLost(text);
      },
    });
    this.#program = program;
    for (const line of dialogue.greeting) program.say(line);
    const { deadline } = this.#settings;
    this.#handshake = this.#options.clock.after(deadline, () =>
      this.#giveUp(`did not finish the handshake within ${formatDuration(deadline)}`),
    );
  }

  #get(key: string, ask: Request["ask"], onUnknown?: () => void): Promise<TableAnswer> {
    if (this.#isClosed) return this.#failed("was closed");
    if (this.#resting !== undefined) return this.#failed(this.#resting.text);
    if (this.#unasked.size + this.#asked.size >= this.#settings.mostRequests)
      return this.#failed(`has ${this.#settings.mostRequests} requests to answer already`);
    if (ask.signal?.aborted === true) return this.#failed("was not asked: the lookup was given up");
    return new Promise((resolve) => {
      const { deadline } = this.#settings;
      const onAbort = (): void => resolve(this.#failure("was not waited for any longer"));
      ask.signal?.addEventListener("abort", onAbort, { once: true });
      const request: Request = {
        key,
        ask,
        onUnknown,
        answer: (answer) => {
          request.deadline.cancel();
          ask.signal?.removeEventListener("abort", onAbort);
          resolve(answer);
        },
        // Also where nobody waits any more: a program that does not answer must not be kept.
        deadline: this.#options.clock.after(deadline, () =>
          this.#giveUp(`did not answer within ${formatDuration(deadline)}`),
        ),
      };
      if (this.#dialogue.services === undefined) this.#unasked.add(request);
      else this.#ask(request);
    });
  }

  #ask(request: Request): void {
    // Nobody waits for it: the program need not be troubled.
    if (request.ask.signal?.aborted === true) {
      request.answer(this.#failure("was not asked: the lookup was given up"));
      return;
    }
    const asked = this.#dialogue.ask(request.ask.service, request.key, this.#options.clock.now());
    if (asked.kind === "refused") {
      if (asked.isUnknown === true) request.onUnknown?.();
      request.answer(asked.isNone === true ? { kind: "none" } : this.#failure(asked.text));
      return;
    }
    this.#asked.set(asked.id, request);
    this.#program?.say(asked.line);
  }

  #onLine(line: string): void {
    const heard = this.#dialogue.onLine(line);
    switch (heard.kind) {
      case "nothing":
        return;
      case "ready": {
        this.#handshake?.cancel();
        const requests = [...this.#unasked];
        this.#unasked.clear();
        for (const request of requests) this.#ask(request);
        return;
      }
      case "answer": {
        const request = this.#asked.get(heard.id);
        this.#asked.delete(heard.id);
        this.#garbage = 0;
        const { answer } = heard;
        request?.answer(answer.kind === "failed" ? this.#failure(`said ${answer.text}`) : answer);
        return;
      }
      case "garbage":
        this.#complain(heard.text);
        this.#garbage++;
        if (this.#garbage >= MOST_GARBAGE) this.#giveUp(`wrote ${MOST_GARBAGE} lines in a row that answer nothing`);
        return;
      case "broken":
        this.#giveUp(`speaks another protocol: ${heard.text}`);
    }
  }

  /** The program is of no use any more: it is ended by force, and what was asked of it fails. */
  #giveUp(text: string): void {
    const program = this.#program;
    this.#onLost(text);
    program?.kill();
  }

  #onLost(text: string): void {
    if (this.#program === undefined) return;
    this.#program = undefined;
    this.#handshake?.cancel();
    const { clock, random } = this.#options;
    const livedMs = clock.monotonicMs() - this.#startedAt;
    const { failedStarts, pauseMs } = restartPause(this.#failedStarts, livedMs, random.next());
    this.#failedStarts = failedStarts;
    this.#failAll(text);
    this.#tally.failed(`${this.#name()} ${text}`);
    this.#resting = { timer: clock.after(pauseMs, () => this.start()), text: `rests: it ${text}` };
    this.#find(`${this.#name()} ${text}; it is started again in ${formatDuration(Math.ceil(pauseMs / 100) * 100)}`);
  }

  #failAll(text: string): void {
    const requests = [...this.#asked.values(), ...this.#unasked];
    this.#asked.clear();
    this.#unasked.clear();
    for (const request of requests) request.answer(this.#failure(text));
  }

  #onComplaint(line: string): void {
    this.#complain(`says ${JSON.stringify(line)}`);
  }

  #find(text: string): void {
    this.#options.onFinding({ table: this.#table, text });
  }

  #failed(text: string): Promise<TableAnswer> {
    return Promise.resolve(this.#failure(text));
  }

  #failure(text: string): { readonly kind: "failed"; readonly text: string } {
    return { kind: "failed", text: `table ${this.#table}: ${this.#name()} ${text}` };
  }

  #name(): string {
    return `process ${this.#settings.command[0] ?? ""}`;
  }
}
