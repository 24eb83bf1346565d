import type { Clock, Timer } from "../../../foundation/clock.ts";
import { fewLines } from "../../../foundation/few-lines.ts";
import { startLineProgram, type LineProgram } from "../../../foundation/line-program.io.ts";
import type { LineTrace } from "../../../foundation/line-trace.ts";
import type { Random } from "../../../foundation/random.ts";
import { formatDuration } from "../../../foundation/units.ts";
import type { FilterPhase, FilterVersion, ReportEvent } from "../../../protocol/opensmtpd-filter/opensmtpd-filter.ts";
import { parseProgramLine, type ProgramLine } from "../../../protocol/opensmtpd-filter/program-lines.ts";
import { handshakeLines } from "../../../protocol/opensmtpd-filter/server-lines.ts";
import { restartPause } from "../../../service/table/process/restart-pause.ts";
import { filterFailed } from "../failed.ts";

/** As what we introduce ourselves: programs look for what that version can do. */
const SPOKEN_AS = "7.8.0";
const SESSION_TIMEOUT_SECONDS = 300;
/** Content has lines of any length; longer ones are not told, and a program that says more has lost its way. */
export const MOST_LINE_BYTES = 1024 * 1024;
/** More that a program has not read, and it is taken for hung: nothing is told to it that waits. */
const MOST_UNREAD_BYTES = 8 * 1024 * 1024;
/** With more than this unread, whoever has content for it waits. */
const ENOUGH_UNREAD_BYTES = 512 * 1024;
/** How much of what a program says on standard error is told, in how long. */
const COMPLAINTS = { most: 50, inMs: 60_000 };
const END_MS = 1000;
/** How long sessions of settings that are no longer in force may still have the program. */
const LINGER_MS = 10 * 60_000;

export interface ProgramSettings {
  readonly command: readonly string[];
  readonly protocol: FilterVersion;
  readonly startTimeout: number;
}

export interface ProgramWorld {
  readonly clock: Clock;
  readonly random: Random;
  readonly trace: LineTrace;
  readonly hostname: string;
  /** What the program has to say to people, and what became of it. */
  readonly tell: (text: string) => void;
}

/** What a session hears of the program. */
export interface SessionEars {
  onAnswer(answer: Extract<ProgramLine, { kind: "decision" | "data-line" }>, token: string): void;
  /** Told once: there will be no answer any more. */
  onLost(error: Error): void;
}

/** What a program wants to be told and asked. */
export interface Wishes {
  readonly reports: ReadonlySet<ReportEvent>;
  readonly phases: ReadonlySet<FilterPhase>;
}

/**
 * The program of a filter, from one start to its end. It is started when it is first needed; when it ends, hangs or breaks the
 * protocol, all that was asked of it fails, and it rests for a while that grows (`restart-pause.ts`) before who needs it next
 * starts it again.
 */
export class FilterProgram {
  readonly #settings: ProgramSettings;
  readonly #world: ProgramWorld;
  #life: ProgramLife | undefined;
  #failedStarts = 0;
  #restsUntilMs = 0;
  #whyRests = "";
  /** Dialogues that are open. */
  #users = 0;
  #closing: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
  #isClosed = false;

  constructor(settings: ProgramSettings, world: ProgramWorld) {
    this.#settings = settings;
    this.#world = world;
  }

  get name(): string {
    return this.#settings.command[0] ?? "";
  }

  /** What the program wanted when it was last ready; undefined before it ever was. */
  wishes: Wishes | undefined = undefined;

  /** For people: whether it runs. */
  get state(): { readonly isUp: boolean; readonly text: string } {
    if (this.#life?.isReady === true) return { isUp: true, text: `${this.name}, running as process ${this.#life.pid}` };
    return { isUp: false, text: this.#whyRests === "" ? this.name : `${this.name}, which ${this.#whyRests}` };
  }

  /** The program, if it is ready at this moment. */
  get running(): ProgramLife | undefined {
    return this.#life?.isReady === true ? this.#life : undefined;
  }

  /** The program, ready to be asked; started where it is not. Rejects at once while it rests. */
  async ready(): Promise<ProgramLife> {
    if (this.#isClosed) throw filterFailed(`${this.name} was closed`, "the server ends, or has other settings now");
    if (this.#life === undefined) {
      const nowMs = this.#world.clock.monotonicMs();
      if (nowMs < this.#restsUntilMs)
        throw filterFailed(
          `${this.name} ${this.#whyRests}; it is started again in ${formatDuration(Math.ceil((this.#restsUntilMs - nowMs) / 100) * 100)}`,
          "see what it says in the log, and run it by hand",
        );
      this.#life = new ProgramLife(this.#settings, this.#world, (life, why) => this.#onEnd(life, why));
    }
    const life = this.#life;
    await life.whenReady;
    this.wishes = life.wishes;
    return life;
  }

  /** A session has come; the program is there for it until it leaves. */
  enter(): void {
    this.#users++;
  }

  leave(): void {
    this.#users--;
    if (this.#users === 0) this.#closing?.resolve();
  }

  /** Whoever is there may stay to the end, within bounds. */
  async close(): Promise<void> {
    this.#closing ??= Promise.withResolvers();
    if (this.#users > 0) {
      const patience = this.#world.clock.after(LINGER_MS, this.#closing.resolve);
      await this.#closing.promise;
      patience.cancel();
    }
    this.#isClosed = true;
    await this.#life?.close();
  }

  #onEnd(life: ProgramLife, why: string): void {
    if (this.#life !== life) return;
    this.#life = undefined;
    if (this.#isClosed) return;
    const { clock, random, tell } = this.#world;
    const nowMs = clock.monotonicMs();
    const { failedStarts, pauseMs } = restartPause(this.#failedStarts, nowMs - life.startedMs, random.next());
    this.#failedStarts = failedStarts;
    this.#restsUntilMs = nowMs + pauseMs;
    this.#whyRests = why;
    tell(`${this.name} ${why}; it may be started again in ${formatDuration(Math.ceil(pauseMs / 100) * 100)}`);
  }
}

/** One run of the program. */
export class ProgramLife {
  readonly startedMs: number;
  readonly whenReady: Promise<void>;
  readonly #program: LineProgram;
  readonly #world: ProgramWorld;
  readonly #name: string;
  readonly #onEnd: (life: ProgramLife, why: string) => void;
  readonly #sessions = new Map<string, SessionEars>();
  readonly #reports = new Set<ReportEvent>();
  readonly #phases = new Set<FilterPhase>();
  readonly #becomeReady: { resolve: () => void; reject: (error: Error) => void };
  readonly #handshake: Timer;
  #drained = Promise.withResolvers<void>();
  #isReady = false;
  #isOver = false;
  #heardMs: number;
  /** Sessions that can't keep up with what the program says for them. */
  #slow = 0;

  constructor(settings: ProgramSettings, world: ProgramWorld, onEnd: (life: ProgramLife, why: string) => void) {
    const { clock, tell } = world;
    this.#world = world;
    this.#onEnd = onEnd;
    this.#name = settings.command[0] ?? "";
    this.startedMs = clock.monotonicMs();
    this.#heardMs = this.startedMs;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.whenReady = promise;
    this.#becomeReady = { resolve, reject };
    // Whoever waits hears of it; nobody may be waiting.
    promise.catch(() => {});
    const complain = fewLines(COMPLAINTS, clock, (line) => tell(`${this.#name} says ${JSON.stringify(line)}`));
    this.#program = startLineProgram({
      command: settings.command,
      mostLineBytes: MOST_LINE_BYTES,
      encoding: "latin1",
      onLine: (line) => this.#onLine(line),
      onComplaint: complain,
      onDrain: () => {
        this.#drained.resolve();
        this.#drained = Promise.withResolvers();
      },
      onEnd: (why) => this.#over(why),
    });
    this.#handshake = clock.after(settings.startTimeout, () =>
      this.giveUp(`was not ready within ${formatDuration(settings.startTimeout)}`),
    );
    for (const line of handshakeLines({
      smtpdVersion: SPOKEN_AS,
      version: settings.protocol,
      sessionTimeoutSeconds: SESSION_TIMEOUT_SECONDS,
      hostname: world.hostname,
    }))
      this.#say(line);
  }

  get pid(): number | undefined {
    return this.#program.pid;
  }

  get isReady(): boolean {
    return this.#isReady && !this.#isOver;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get wishes(): Wishes {
    return { reports: this.#reports, phases: this.#phases };
  }

  /** When the program last said anything, in ms of the clock that never goes back. */
  get heardMs(): number {
    return this.#heardMs;
  }

  join(session: string, ears: SessionEars): void {
    this.#sessions.set(session, ears);
  }

  /** What the program still says about it is not heard. */
  leave(session: string): void {
    this.#sessions.delete(session);
  }

  /** What is not waited for. A program that does not read ends rather than fill our memory. */
  tell(line: string): void {
    if (this.#isOver) return;
    this.#say(line);
    if (this.#program.unreadBytes > MOST_UNREAD_BYTES) this.giveUp("does not read what it is told");
  }

  /** Resolves when the program has taken what waits for it, or is over. */
  async send(lines: string): Promise<void> {
    // oxlint-disable-next-line no-await-in-loop -- whoever comes first when it has read fills it again
    while (!this.#isOver && this.#program.unreadBytes > ENOUGH_UNREAD_BYTES) await this.#drained.promise;
    if (this.#isOver || this.#say(lines)) return;
    if (this.#program.unreadBytes > 0) await this.#drained.promise;
  }

  /** What the program wants people to know. */
  reported(text: string): void {
    this.#world.tell(`${this.#name} reports ${JSON.stringify(text.slice(0, 400))}`);
  }

  /** Between the two no more is read of what the program says. Calls are counted. */
  slowDown(): void {
    if (this.#slow++ === 0) this.#program.listen(false);
  }

  goOn(): void {
    if (--this.#slow === 0) this.#program.listen(true);
  }

  /** Ends a program that is of no use any more, by force. */
  giveUp(why: string): void {
    this.#over(why);
    this.#program.kill();
  }

  async close(): Promise<void> {
    this.#over("was closed");
    await this.#program.end(END_MS);
  }

  #say(line: string): boolean {
    const { trace } = this.#world;
    if (trace.isOn) trace.show(`${this.#name} < ${shown(line)}`);
    return this.#program.say(line);
  }

  #onLine(text: string): void {
    if (this.#isOver) return;
    this.#heardMs = this.#world.clock.monotonicMs();
    const { trace } = this.#world;
    if (trace.isOn) trace.show(`${this.#name} > ${shown(text)}`);
    const line = parseProgramLine(text);
    switch (line.kind) {
      case "garbage":
        this.giveUp(`breaks the protocol with ${JSON.stringify(text.slice(0, 100))}: ${line.text}`);
        return;
      case "wants-report":
        if (this.#isReady) this.giveUp("registers more after it was ready");
        else for (const event of line.events) this.#reports.add(event);
        return;
      case "wants-filter":
        if (this.#isReady) this.giveUp("registers more after it was ready");
        else this.#phases.add(line.phase);
        return;
      case "ready":
        this.#isReady = true;
        this.#handshake.cancel();
        this.#becomeReady.resolve();
        return;
      case "report":
        this.reported(line.text);
        return;
      case "decision":
      case "data-line":
        this.#answer(line);
    }
  }

  /** Before version 0.5 the token stood first, and some programs never learned otherwise. */
  #answer(line: Extract<ProgramLine, { kind: "decision" | "data-line" }>): void {
    const [first, second] = line.ids;
    const ears = this.#sessions.get(first);
    if (ears !== undefined) ears.onAnswer(line, second);
    // An answer about a session that is over comes too late and harms nobody.
    else this.#sessions.get(second)?.onAnswer(line, first);
  }

  #over(why: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#handshake.cancel();
    this.#drained.resolve();
    const error = filterFailed(`${this.#name} ${why}`, "see what it says in the log, and run it by hand");
    this.#onEnd(this, why);
    this.#becomeReady.reject(error);
    for (const ears of this.#sessions.values()) ears.onLost(error);
    this.#sessions.clear();
  }
}

/** Lines of content are not shown. */
function shown(text: string): string {
  const first = text.slice(0, text.indexOf("\n") < 0 ? 200 : Math.min(200, text.indexOf("\n")));
  if (first.includes("|data-line|")) return `${first.split("|").slice(0, 7).join("|")}|...`;
  if (first.startsWith("filter-dataline|")) return `${first.split("|").slice(0, 3).join("|")}|...`;
  return first;
}
