import type { Clock } from "../../../foundation/clock.ts";
import type { Random } from "../../../foundation/random.ts";
import { contentLine, END_OF_DATA, LineCutter } from "../../../protocol/opensmtpd-filter/data-lines.ts";
import type {
  Decision,
  FilterPhase,
  FilterVersion,
  Report,
} from "../../../protocol/opensmtpd-filter/opensmtpd-filter.ts";
import { dataLinePrefix, reportLine, requestLine } from "../../../protocol/opensmtpd-filter/server-lines.ts";
import { filterFailed } from "../failed.ts";
import type {
  FilterDialogue,
  FilterFacts,
  FilterMail,
  FilterNotice,
  FilterQuestion,
  MailEdit,
  MailVerdict,
  StageVerdict,
} from "../filter.ts";
import { AnsweredContent, LineDigest } from "./answered-content.ts";
import { JunkMark } from "./junk-mark.ts";
import { MOST_LINE_BYTES, type FilterProgram, type ProgramLife } from "./program.io.ts";
import { bracketed, SessionStory } from "./session-story.ts";
import { mailFate, stageVerdict } from "./stage-verdict.ts";

/** Session and life of the program belong together: a program that was started again gets a new story, under a new number. */
interface Bond {
  readonly life: ProgramLife;
  /** 16 hexadecimal digits. */
  readonly session: string;
  readonly story: SessionStory;
}

/** What the program has been asked and has not answered yet. */
interface Pending {
  readonly token: string;
  readonly onDecision?: ((decision: Decision) => void) | undefined;
  readonly onDataLine?: ((line: string) => void) | undefined;
  readonly fail: (error: unknown) => void;
}

/** The longest lines of content that are told, so that what comes back with its prefix is no longer than may be. */
const MOST_CONTENT_LINE_BYTES = MOST_LINE_BYTES / 2;
/**
 * Bytes that are told before the program has to have read some. In front of each line of content stand eighty: a piece of nothing
 * but empty lines is forty times its size, and so much unread would end the program for all sessions.
 */
const BYTES_AT_ONCE = 256 * 1024;

/** One session's conversation with the program. */
export class ProgramDialogue implements FilterDialogue {
  readonly #filter: string;
  readonly #version: FilterVersion;
  readonly #program: FilterProgram;
  readonly #clock: Clock;
  readonly #random: Random;
  #bond: Bond | undefined;
  #isOver = false;
  #pending: Pending | undefined;
  readonly #junk = new JunkMark();

  constructor(
    filter: string,
    version: FilterVersion,
    program: FilterProgram,
    session: { readonly clock: Clock; readonly random: Random; readonly facts: FilterFacts },
  ) {
    this.#filter = filter;
    this.#version = version;
    this.#program = program;
    this.#clock = session.clock;
    this.#random = session.random;
    program.enter();
    const life = program.running;
    if (life !== undefined) this.#tell(this.#bondWith(life), session.facts, "connection");
  }

  async ask(question: FilterQuestion, signal: AbortSignal): Promise<StageVerdict> {
    const { stage, facts } = question;
    const bond = await this.#bonded(signal);
    this.#tell(bond, facts, settledBefore(stage));
    const [phase, ...parameters] = requestOf(question);
    const decision = await this.#decide(bond, phase, parameters, signal);
    if (decision.kind === "junk") this.#junk.set(stage);
    return stageVerdict(decision, stage);
  }

  async judge(mail: FilterMail, signal: AbortSignal): Promise<MailVerdict> {
    const bond = await this.#bonded(signal);
    this.#tell(bond, mail.facts, "content");
    const edits = bond.life.wishes.phases.has("data-line") ? await this.#exchange(bond, mail, signal) : [];
    const decision = await this.#decide(bond, "commit", [], signal);
    if (decision.kind === "junk") this.#junk.set("message");
    const { edits: marks, ...junk } = this.#junk.take();
    return { fate: mailFate(decision), edits: [...edits, ...marks], ...junk };
  }

  note(what: FilterNotice): void {
    if (what.notice === "rollback" || what.notice === "reset") this.#junk.forgetMail();
    const bond = this.#bond;
    if (bond === undefined || bond.life.isOver) return;
    const { reports } = bond.life.wishes;
    // Lines are many, and few programs want them.
    if (what.notice === "client-line" && !reports.has("protocol-client")) return;
    if (what.notice === "server-line" && !reports.has("protocol-server")) return;
    this.#report(bond, bond.story.onNote(what));
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const bond = this.#bond;
    this.#bond = undefined;
    if (bond !== undefined) this.#part(bond);
    this.#pending?.fail(filterFailed("the session is over", "nothing is to be done"));
    this.#program.leave();
  }

  /** The program, which knows of this session. */
  async #bonded(signal: AbortSignal): Promise<Bond> {
    if (this.#bond !== undefined && !this.#bond.life.isOver) return this.#bond;
    this.#bond = undefined;
    const life = await until(this.#program.ready(), signal);
    return this.#bondWith(life);
  }

  #bondWith(life: ProgramLife): Bond {
    const session = this.#digits(16);
    const bond: Bond = { life, session, story: new SessionStory(() => this.#digits(8)) };
    this.#bond = bond;
    life.join(session, {
      onAnswer: (answer, token) => {
        const pending = this.#pending;
        if (pending?.token !== token) return life.giveUp(`answers what it was not asked, with the token ${token}`);
        if (answer.kind === "decision" && pending.onDecision !== undefined) return pending.onDecision(answer.decision);
        if (answer.kind === "data-line" && pending.onDataLine !== undefined) return pending.onDataLine(answer.line);
        return life.giveUp(`answers with a ${answer.kind} where it was asked for the other`);
      },
      onLost: (error) => this.#pending?.fail(error),
    });
    return bond;
  }

  async #decide(bond: Bond, phase: FilterPhase, parameters: readonly string[], signal: AbortSignal): Promise<Decision> {
    const { life, session } = bond;
    if (!life.wishes.phases.has(phase)) return { kind: "proceed" };
    const decision = await this.#asked<Decision>(bond, signal, (token, answered, fail) => {
      life.send(requestLine(this.#version, this.#clock.now(), phase, session, token, ...parameters)).catch(fail);
      return { onDecision: answered };
    });
    const reports: Report[] = [{ event: "filter-response", phase, response: decision.kind, ...parameterOf(decision) }];
    if (decision.kind === "report") {
      life.reported(decision.parameter);
      reports.push({ event: "filter-report", filter: this.#filter, text: decision.parameter });
    }
    this.#report(bond, reports);
    return decision;
  }

  /** The content goes to the program line by line, and what it says instead comes back. */
  async #exchange(bond: Bond, mail: FilterMail, signal: AbortSignal): Promise<readonly MailEdit[]> {
    const { life } = bond;
    const answered = new AnsweredContent(() => mail.room());
    const given = new LineDigest();
    try {
      await this.#asked<void>(bond, signal, (token, resolve, fail) => {
        const prefix = dataLinePrefix(this.#version, this.#clock.now(), bond.session, token);
        const sent = this.#send(life, mail, prefix, given, () => this.#pending?.token === token);
        sent.catch(fail);
        let written: Promise<void> | undefined;
        let isEnded = false;
        const onDataLine = (line: string): void => {
          if (isEnded) return life.giveUp("says more content after its end");
          if (line === END_OF_DATA) {
            isEnded = true;
            Promise.all([sent, written]).then(() => resolve(), fail);
            return;
          }
          try {
            const kept = answered.take(contentLine(line));
            if (kept === undefined) return;
            written = slowly(life, written, kept);
            written.catch(fail);
          } catch (thrown) {
            fail(thrown);
          }
        };
        return { onDataLine };
      });
      const edits = await answered.edits(given.digests());
      if (mail.facts.mail.body === "BINARYMIME" && edits.some(({ edit }) => edit === "replace-body"))
        throw filterFailed(
          "the mail is binary, and a program that reads lines changed it",
          "do not have binary mail filtered by it, with a listener of its own or `match`",
        );
      return edits;
    } catch (thrown) {
      answered.abort();
      throw thrown;
    }
  }

  async #send(
    life: ProgramLife,
    mail: FilterMail,
    prefix: string,
    given: LineDigest,
    isWanted: () => boolean,
  ): Promise<void> {
    const cutter = new LineCutter(MOST_CONTENT_LINE_BYTES);
    const send = async (lines: readonly string[]): Promise<void> => {
      if (cutter.isTooLong)
        throw filterFailed(
          `a line of the mail is longer than ${MOST_CONTENT_LINE_BYTES} bytes`,
          "no program can be asked about such mail: see `onFailure`",
        );
      if (lines.length === 0) return;
      given.add(lines.map(contentLine));
      let some: string[] = [];
      let bytes = 0;
      for (const [at, line] of lines.entries()) {
        some.push(prefix + line);
        // They are bytes, written as such.
        bytes += prefix.length + line.length + 1;
        if (bytes < BYTES_AT_ONCE && at < lines.length - 1) continue;
        if (!isWanted()) return;
        await life.send(some.join("\n"));
        some = [];
        bytes = 0;
      }
    };
    for await (const chunk of mail.content()) {
      if (!isWanted()) return;
      await send(cutter.push(chunk));
    }
    await send(cutter.end());
    if (isWanted()) await life.send(prefix + END_OF_DATA);
  }

  /**
   * One question, up to its answer. Whoever gives up on it gives up on what the program knows of this session, for nobody can
   * say how far it has come; a program that has said nothing at all since then to anybody hangs, and is ended.
   */
  async #asked<Answer>(
    bond: Bond,
    signal: AbortSignal,
    ask: (
      token: string,
      resolve: (answer: Answer) => void,
      fail: (error: unknown) => void,
    ) => Pick<Pending, "onDecision" | "onDataLine">,
  ): Promise<Answer> {
    signal.throwIfAborted();
    const { life } = bond;
    if (life.isOver) throw filterFailed(`${this.#program.name} ended`, "see what it says in the log");
    const token = this.#digits(16);
    const askedMs = this.#clock.monotonicMs();
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const onAbort = (): void => {
      reject(signal.reason);
      if (life.heardMs < askedMs) life.giveUp("does not answer");
    };
    signal.addEventListener("abort", onAbort, { once: true });
    this.#pending = { token, fail: reject, ...NOTHING_EXPECTED };
    try {
      this.#pending = { token, fail: reject, ...ask(token, resolve, reject) };
      return await promise;
    } catch (thrown) {
      if (this.#bond === bond) this.#bond = undefined;
      this.#part(bond);
      throw thrown;
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#pending = undefined;
    }
  }

  #part({ life, session, story }: Bond): void {
    if (!life.isOver) this.#report({ life, session, story }, story.end());
    life.leave(session);
  }

  #tell(bond: Bond, facts: FilterFacts, upTo: Parameters<SessionStory["catchUp"]>[1]): void {
    this.#report(bond, bond.story.catchUp(facts, upTo));
  }

  #report({ life, session }: Bond, reports: readonly Report[]): void {
    for (const report of reports)
      if (life.wishes.reports.has(report.event))
        life.tell(reportLine(this.#version, this.#clock.now(), session, report));
  }

  #digits(count: number): string {
    let digits = "";
    while (digits.length < count)
      digits += Math.floor(this.#random.next() * 2 ** 32)
        .toString(16)
        .padStart(8, "0");
    return digits;
  }
}

const NOTHING_EXPECTED = { onDecision: undefined, onDataLine: undefined };

/** What is settled before the question at a stage. */
function settledBefore(stage: FilterQuestion["stage"]): Parameters<SessionStory["catchUp"]>[1] {
  switch (stage) {
    case "connect":
      return "connection";
    case "helo":
    case "auth":
    case "mail":
      return "session";
    case "rcpt":
    case "data":
      return "recipients";
  }
}

function requestOf(question: FilterQuestion): readonly [FilterPhase, ...string[]] {
  const { facts } = question;
  switch (question.stage) {
    case "connect":
      return ["connect", facts.client.name ?? "<unknown>", bracketed(facts.client.address ?? "local")];
    case "helo":
      return [question.verb === "HELO" ? "helo" : "ehlo", question.name];
    case "auth":
      return ["auth", facts.mechanism ?? ""];
    case "mail":
      return ["mail-from", facts.mail?.sender ?? ""];
    case "rcpt":
      return ["rcpt-to", question.recipient.address];
    case "data":
      return ["data"];
  }
}

function parameterOf(decision: Decision): { readonly parameter?: string } {
  return "parameter" in decision ? { parameter: decision.parameter } : {};
}

/** One write after the other, and nothing more is read of the program until they are done. */
async function slowly(life: ProgramLife, before: Promise<void> | undefined, write: Promise<void>): Promise<void> {
  life.slowDown();
  try {
    await Promise.all([before, write]);
  } finally {
    life.goOn();
  }
}

async function until<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  signal.throwIfAborted();
  const { promise: cut, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, cut]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
