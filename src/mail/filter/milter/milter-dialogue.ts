import { messageOf } from "../../../foundation/error.ts";
import type {
  FilterDialogue,
  FilterFacts,
  FilterMail,
  FilterNotice,
  FilterQuestion,
  MailVerdict,
  StageVerdict,
} from "../filter.ts";
import { filterFailed } from "../failed.ts";
import { MilterConversation, type ConversationLimits } from "./conversation.ts";
import type { MilterLink } from "./link.ts";
import type { MacroSource } from "./macros.ts";
import { MilterSession } from "./milter-session.ts";
import type { MilterSettings } from "./settings.ts";
import { unknownCommands } from "./unknown-commands.ts";

export interface MilterDialogueWorld {
  /** `opendkim at inet:127.0.0.1:8891`, for people. */
  readonly where: string;
  readonly open: (signal: AbortSignal) => Promise<MilterLink>;
  readonly macros: MacroSource;
  readonly limits: ConversationLimits;
  readonly quarantine: MilterSettings["quarantine"];
}

/** Notices that wait for the milter; a client that makes more of them at once is not worth more. */
const MOST_WAITING = 200;

/**
 * A session's conversation with a milter: one connection for all of its mails, made at the first question, and another one
 * when that is gone. After a failure nothing more is said of that mail, and the next one begins with a new connection.
 */
export class MilterDialogue implements FilterDialogue {
  readonly #world: MilterDialogueWorld;
  #link: MilterLink | undefined;
  #session: MilterSession | undefined;
  #failure: Error | undefined;
  /** One thing after the other: questions wait for the notices before them. */
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #asking = 0;
  #isEnded = false;
  readonly #hearLine = unknownCommands();
  #facts: FilterFacts;

  constructor(facts: FilterFacts, world: MilterDialogueWorld) {
    this.#facts = facts;
    this.#world = world;
  }

  ask(question: FilterQuestion, signal: AbortSignal): Promise<StageVerdict> {
    return this.#inTurn(async () => {
      this.#facts = question.facts;
      if (question.stage === "mail") await this.#forget();
      return this.#answered(signal, (session) => session.ask(question));
    });
  }

  judge(mail: FilterMail, signal: AbortSignal): Promise<MailVerdict> {
    return this.#inTurn(() => {
      this.#facts = mail.facts;
      return this.#answered(signal, (session) => session.judge(mail));
    });
  }

  note(what: FilterNotice): void {
    switch (what.notice) {
      case "client-line":
      case "server-line": {
        const line = this.#hearLine(what);
        if (line !== undefined) this.#later(() => this.#session?.noteUnknown(this.#facts, line));
        break;
      }
      case "rcpt": {
        if (what.outcome === "ok") break;
        const why = what.outcome === "permfail" ? "550 5.0.0 Recipient refused" : "450 4.0.0 Recipient refused for now";
        this.#later(() => this.#session?.noteRefused(what.facts, what.recipient, why));
        break;
      }
      case "commit":
      case "rollback":
      case "reset":
        this.#later(() => this.#forget());
        break;
      case "tls":
      case "auth":
      case "mail":
      case "data":
      case "timeout":
        break;
    }
  }

  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (this.#asking > 0) this.#link?.drop("was let go in the middle of an answer");
    // Behind the notices that it has not heard yet.
    else void this.#last.then(() => this.#link?.quit());
  }

  async #forget(): Promise<void> {
    this.#failure = undefined;
    await this.#session?.forget().catch((thrown: unknown) => this.#link?.drop(messageOf(thrown)));
  }

  /** What nobody waits for; what fails then shows at the next question. */
  #later(work: () => Promise<void> | undefined): void {
    if (this.#waiting >= MOST_WAITING) return;
    this.#inTurn(async () => work()).catch((thrown: unknown) => this.#link?.drop(messageOf(thrown)));
  }

  async #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    this.#waiting++;
    const before = this.#last;
    const run = (async () => {
      await before;
      return work();
    })();
    this.#last = run.then(
      () => {},
      () => {},
    );
    try {
      return await run;
    } finally {
      this.#waiting--;
    }
  }

  /** Whatever fails in here is the milter's failure, ends the connection, and holds until the next mail. */
  async #answered<Value>(signal: AbortSignal, ask: (session: MilterSession) => Promise<Value>): Promise<Value> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#asking++;
    const onAbort = (): void => this.#link?.drop("took too long");
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      if (signal.aborted) throw new Error("took too long");
      if (this.#session?.isUsable !== true) this.#session = await this.#opened(signal);
      return await ask(this.#session);
    } catch (thrown) {
      this.#link?.drop(messageOf(thrown));
      this.#session = undefined;
      this.#failure = filterFailed(
        `the milter ${this.#world.where} ${messageOf(thrown)}`,
        "see whether it runs, and what it logged; on-failure says what becomes of mail meanwhile",
        thrown,
      );
      throw this.#failure;
    } finally {
      this.#asking--;
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #opened(signal: AbortSignal): Promise<MilterSession> {
    const { macros, limits, quarantine } = this.#world;
    const link = await this.#world.open(signal);
    this.#link = link;
    // The session may have ended meanwhile.
    if (this.#isEnded) link.quit();
    return new MilterSession(new MilterConversation(link, macros, limits), quarantine, () => link.quit());
  }
}
