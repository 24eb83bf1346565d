import { unreachable } from "../../foundation/assert.ts";
import type { Clock } from "../../foundation/clock.ts";
import { reply, type Reply } from "../../protocol/smtp/reply.ts";
import { DeadlinePassed, withDeadlineIfWaiting } from "../../foundation/deadline.ts";
import { messageOf } from "../../foundation/error.ts";
import type { Tables } from "../../service/table/tables.ts";
import type { SessionFactsForRules } from "../envelope/policy.ts";
import { filterFailed } from "./failed.ts";
import { holdsFor } from "./filter-match.ts";
import type { FilterInUse } from "./filters.ts";
import type {
  FilterDialogue,
  FilterFacts,
  FilterMail,
  FilterNotice,
  FilterQuestion,
  FilterStage,
  MailVerdict,
  StageVerdict,
} from "./filter.ts";
import { filterMail } from "./filter-mail.ts";
import { applyEdits, type Edited } from "./header-edits.ts";
import { isSameRecipient, RecipientEdits } from "./recipient-edits.ts";
import { rewritable } from "./rewritable.ts";
import {
  failureReply,
  refusalOf,
  type By,
  type SiftedFate,
  type SiftedMail,
  type StageOutcome,
  type Told,
} from "./outcome.ts";

/**
 * The filters of one session, asked in the order of the settings. What one of them changed the next one sees. Neither method
 * rejects: a filter that fails, throws, or does not answer in time becomes what its `onFailure` says, and the session goes on.
 *
 * Refusing wins over everything, whoever says it. Of mail that one filter wants discarded and another one in quarantine, it goes
 * into quarantine: nothing is lost that somebody wanted to look at. Filters behind one that discards are asked all the same, for
 * they may refuse; but for those that pass mail on themselves.
 */
export interface ChainWorld {
  readonly clock: Clock;
  readonly tables: Tables;
  /** Whether a filter may choose this action; absent: none. */
  readonly isAction?: ((name: string) => boolean) | undefined;
}

/** All of the judging of one mail together: RFC 5321 section 4.5.3.2.6 lets the client wait for ten minutes. */
export const WHOLE_CHAIN_MS = 8 * 60_000;

interface Link {
  readonly used: FilterInUse;
  readonly dialogue: FilterDialogue;
  /** Has said that it has nothing more to say about this mail, or in this session. */
  silent: "no" | "mail" | "session";
  /** Let a deadline pass: not waited for again in this mail. */
  hasHung: boolean;
}

export class FilterChain {
  readonly #filters: readonly FilterInUse[];
  #links: readonly Link[];
  readonly #world: ChainWorld;
  readonly wantsNotes: boolean;
  /** Of the mail under way. */
  #discard: By | undefined;
  #quarantine: By | undefined;
  /** Aborted when the session is over: whoever is asked is not waited for any more, and nobody else is asked. */
  readonly #over = new AbortController();

  constructor(filters: readonly FilterInUse[], facts: FilterFacts, world: ChainWorld) {
    this.#world = world;
    this.#filters = filters;
    this.#links = linksTo(filters, facts);
    this.wantsNotes = filters.some(({ filter }) => filter.wantsNotes === true);
  }

  /** Whether a question at this stage, or the judging of a mail, concerns anybody. */
  wants(stage: FilterStage): boolean {
    return (
      this.#links.some((link) => listens(link, stage)) ||
      (stage === "message" && (this.#discard !== undefined || this.#quarantine !== undefined))
    );
  }

  /** A new mail begins: what was said about the last one is forgotten. */
  begin(): void {
    this.#discard = undefined;
    this.#quarantine = undefined;
    for (const link of this.#links) {
      link.hasHung = false;
      if (link.silent === "mail") link.silent = "no";
    }
  }

  /**
   * The client turns out to be another one, as XCLIENT said. Whatever a filter knows and said was about the one before, so each
   * gets a new dialogue, and is asked from connect on.
   */
  beginAnew(facts: FilterFacts): void {
    if (this.#isEnded) return;
    const before = this.#links;
    // First: a filter of settings that are gone ends with the last of its dialogues.
    this.#links = linksTo(this.#filters, facts);
    this.#discard = undefined;
    this.#quarantine = undefined;
    before.forEach(endLink);
  }

  async ask(question: FilterQuestion, who: SessionFactsForRules): Promise<StageOutcome> {
    const { stage } = question;
    const told: Told[] = [];
    const tags: string[] = [];
    let asked = question;
    let rewrite: string | undefined;
    const silenced: Link[] = [];
    for (const link of this.#links) {
      if (!listens(link, stage)) continue;
      const { name } = link.used.filter;
      const shown = asked;
      const read = (verdict: StageVerdict): StageVerdict =>
        verdict.kind === "rewrite" ? { ...verdict, to: rewritable(stage, verdict.to) } : verdict;
      const asking = this.#answerOf(link, who, shown.facts, link.used.settings.timeout, (signal) =>
        readAs(read, (link.dialogue.atOnce ?? link.dialogue).ask(shown, signal)),
      );
      const answer = asking instanceof Promise ? await asking : asking;
      if (answer.kind === "not-asked") continue;
      if (answer.kind === "over") return { kind: "refuse", ...sessionOver(name), tags, told };
      if (answer.kind === "failed") {
        told.push({ filter: name, stage, verdict: "failed", because: answer.text });
        const reply = failureReply(link.used.settings.onFailure);
        if (reply === undefined) continue;
        return { kind: "refuse", reply, by: { filter: name, because: answer.text }, tags, told };
      }
      const verdict = answer.value;
      const by = { filter: name, because: verdict.because };
      if (verdict.kind !== "proceed" || verdict.because !== undefined)
        told.push({ filter: name, stage, verdict: verdict.kind, because: verdict.because });
      asked = tagged(asked, fresh(verdict.tags, asked.facts.tags, tags));
      if (verdict.kind === "refuse" || verdict.kind === "disconnect")
        return { kind: verdict.kind, reply: refusalOf(verdict.reply), by, tags, told };
      if (verdict.kind === "bypass") break;
      if (verdict.kind === "rewrite") {
        rewrite = verdict.to;
        asked = rewritten(asked, verdict.to);
      } else if (verdict.kind === "content" && (stage === "helo" || stage === "auth")) silenced.push(link);
      else this.#remember(link, verdict, stage, by);
    }
    // Where another one refuses the name or the login, nobody is here of whom that was said.
    for (const link of silenced) link.silent = "session";
    return { kind: "proceed", rewrite, tags, told };
  }

  #remember(link: Link, verdict: StageVerdict, stage: FilterStage, by: By): void {
    const isInMail = stage === "mail" || stage === "rcpt" || stage === "data";
    if (verdict.kind === "content") link.silent = isInMail ? "mail" : "session";
    if (!isInMail) return;
    if (verdict.kind === "discard") this.#discard ??= by;
    if (verdict.kind === "quarantine") this.#quarantine ??= by;
  }

  /**
   * All filters have their look at a mail. What they said of it at the stages before counts, too. `isHeldBack`: somebody else
   * wants it discarded or in quarantine.
   */
  async judge(given: FilterMail, who: SessionFactsForRules, isHeldBack = false): Promise<SiftedMail> {
    const startedAt = this.#world.clock.monotonicMs();
    const told: Told[] = [];
    const tags: string[] = [];
    const recipients = new RecipientEdits();
    let mail = given;
    let sender: string | undefined;
    let action: SiftedMail["action"];
    const result = (fate: SiftedFate): SiftedMail => ({
      fate,
      header: mail.header,
      body: mail.body,
      isChanged: mail.header !== given.header || mail.body !== given.body,
      sender,
      added: recipients.added,
      removed: recipients.removed,
      action,
      tags,
      told,
    });
    for (const link of this.#links) {
      if (!listens(link, "message")) continue;
      const { filter, settings } = link.used;
      const { name } = filter;
      const isTooBig = settings.maxSize > 0 && mail.sizeBytes > settings.maxSize;
      const because = isTooBig
        ? `${mail.sizeBytes} bytes are too many`
        : filter.handsOver === true
          ? this.#whyNotHandedOver(mail, isHeldBack)
          : undefined;
      if (because !== undefined) {
        told.push({ filter: name, stage: "message", verdict: "skipped", because });
        continue;
      }
      const leftMs = Math.max(0, WHOLE_CHAIN_MS - (this.#world.clock.monotonicMs() - startedAt));
      const shown = mail;
      const read = (verdict: MailVerdict): { readonly verdict: MailVerdict; readonly edited: Edited } => {
        if (verdict.action !== undefined && this.#world.isAction?.(verdict.action) !== true)
          throw filterFailed(`it chose the action ${verdict.action}, which takes no mail here`, "name it in `actions`");
        // What makes no sense is a failure of the filter.
        return { verdict, edited: applyEdits(shown.header, editsOf(verdict)) };
      };
      const asking = this.#answerOf(link, who, shown.facts, Math.min(settings.messageTimeout, leftMs), (signal) =>
        readAs(read, (link.dialogue.atOnce ?? link.dialogue).judge(shown, signal)),
      );
      // A hook that has nothing to say has said so already.
      const answer = asking instanceof Promise ? await asking : asking;
      if (answer.kind === "not-asked") continue;
      if (answer.kind === "over") return result({ kind: "refuse", ...sessionOver(name) });
      if (answer.kind === "failed") {
        told.push({ filter: name, stage: "message", verdict: "failed", because: answer.text });
        const reply = failureReply(settings.onFailure);
        if (reply === undefined) continue;
        return result({ kind: "refuse", reply, by: { filter: name, because: answer.text } });
      }
      const { verdict, edited } = answer.value;
      const { fate, score } = verdict;
      const by = { filter: name, because: verdict.because };
      if (saysMore(verdict)) told.push({ ...by, stage: "message", verdict: fate.kind, score });
      const newTags = fresh(verdict.tags, mail.facts.tags, tags);
      if (fate.kind === "refuse") return result({ kind: "refuse", reply: refusalOf(fate.reply), by });
      if (fate.kind === "handed-over") return result({ kind: "handed-over", reply: refusalOf(fate.reply, 200), by });
      if (fate.kind === "discard") this.#discard ??= by;
      if (fate.kind === "quarantine") this.#quarantine ??= by;
      if (verdict.action !== undefined) action = { ...by, action: verdict.action };
      sender = edited.sender ?? sender;
      for (const one of edited.removed) recipients.remove(one);
      for (const one of edited.added) recipients.add(one);
      mail = changed(mail, edited, newTags, verdict.resultsOf);
    }
    if (this.#quarantine !== undefined) return result({ kind: "quarantine", by: this.#quarantine });
    if (this.#discard !== undefined) return result({ kind: "discard", by: this.#discard });
    return result({ kind: "keep" });
  }

  #whyNotHandedOver({ facts }: FilterMail, isHeldBack: boolean): string | undefined {
    if (isHeldBack || this.#discard !== undefined || this.#quarantine !== undefined)
      return "the mail is not to be passed on";
    return facts.mail.recipients.length === 0 ? "no recipient is left" : undefined;
  }

  note(what: FilterNotice): void {
    if (!this.wantsNotes || this.#isEnded) return;
    for (const { used, dialogue } of this.#links) {
      if (used.filter.wantsNotes !== true) continue;
      try {
        dialogue.note?.(what);
      } catch (thrown) {
        used.trouble.failed(`it failed at a notice: ${messageOf(thrown)}`);
      }
    }
  }

  get #isEnded(): boolean {
    return this.#over.signal.aborted;
  }

  end(): void {
    if (this.#isEnded) return;
    this.#over.abort(new Error(SESSION_OVER));
    this.#links.forEach(endLink);
  }

  /** Neither throws nor rejects. */
  #answerOf<Value>(
    link: Link,
    who: SessionFactsForRules,
    facts: FilterFacts,
    limitMs: number,
    work: (signal: AbortSignal) => Value | Promise<Value>,
  ): Answer<Value> | Promise<Answer<Value>> {
    const { match } = link.used.settings;
    if (match === undefined) return this.#answerNow(link, limitMs, work);
    return holdsFor(match, { ...who, tags: facts.tags }, facts.mail, this.#world.tables).then((holds) => {
      if (holds === false) return { kind: "not-asked" };
      // Whether it would have been asked is not known, and that is not no.
      if (holds !== true) return { kind: "failed", text: `whether it is to be asked: ${holds.failed}` };
      return this.#answerNow(link, limitMs, work);
    });
  }

  #answerNow<Value>(
    link: Link,
    limitMs: number,
    work: (signal: AbortSignal) => Value | Promise<Value>,
  ): Answer<Value> | Promise<Answer<Value>> {
    if (this.#isEnded) return { kind: "over" };
    if (link.hasHung) return { kind: "failed", text: "it did not answer in time before" };
    const { clock } = this.#world;
    const { trouble } = link.used;
    const askedAt = clock.monotonicMs();
    const answered = (value: Value): Answer<Value> => {
      trouble.answered(clock.monotonicMs() - askedAt);
      return { kind: "answered", value };
    };
    const failed = (thrown: unknown): Answer<Value> => {
      // Nobody is to blame for what nobody waits for.
      if (this.#isEnded) return { kind: "over" };
      link.hasHung = thrown instanceof DeadlinePassed;
      const text = link.hasHung ? `no answer within ${limitMs} ms` : messageOf(thrown);
      trouble.failed(text);
      return { kind: "failed", text: text.slice(0, 500) };
    };
    try {
      const given = withDeadlineIfWaiting(clock, limitMs, "an answer", work, this.#over.signal);
      return given instanceof Promise ? given.then(answered, failed) : answered(given);
    } catch (thrown) {
      return failed(thrown);
    }
  }
}

function readAs<Given, Read>(read: (given: Given) => Read, given: Given | Promise<Given>): Read | Promise<Read> {
  return given instanceof Promise ? given.then(read) : read(given);
}

function linksTo(filters: readonly FilterInUse[], facts: FilterFacts): readonly Link[] {
  return filters.map((used) => ({ used, dialogue: opened(used, facts), silent: "no", hasHung: false }));
}

function endLink({ used, dialogue }: Link): void {
  try {
    dialogue.end();
  } catch (thrown) {
    used.trouble.failed(`it failed at the session's end: ${messageOf(thrown)}`);
  }
}

/** One that can't even begin fails at each question. */
function opened({ filter }: FilterInUse, facts: FilterFacts): FilterDialogue {
  try {
    return filter.open(facts);
  } catch (thrown) {
    const fails = async (): Promise<never> => {
      throw thrown;
    };
    return { ask: fails, judge: fails, end: () => {} };
  }
}

type Answer<Value> =
  | { readonly kind: "answered"; readonly value: Value }
  | { readonly kind: "failed"; readonly text: string }
  | { readonly kind: "not-asked" }
  /** The session is. */
  | { readonly kind: "over" };

const SESSION_OVER = "the session is over";

/** For a client that has gone. */
function sessionOver(filter: string): { readonly reply: Reply; readonly by: By } {
  return { reply: reply(421, "4.4.2", "The connection was lost"), by: { filter, because: SESSION_OVER } };
}

function listens({ used, silent }: Link, stage: FilterStage): boolean {
  return silent === "no" && used.filter.stages.has(stage);
}

/** The tags that are not known yet; they are added to `all`. */
function fresh(given: readonly string[] = [], known: readonly string[], all: string[]): readonly string[] {
  if (given.length === 0) return given;
  const some = given.slice(0, MOST_TAGS).map((tag) => tag.slice(0, 63));
  const news = [...new Set(some)].filter((tag) => tag !== "" && !known.includes(tag) && !all.includes(tag));
  all.push(...news);
  return news;
}

const MOST_TAGS = 100;

function tagged<Question extends FilterQuestion>(question: Question, tags: readonly string[]): Question {
  if (tags.length === 0) return question;
  return { ...question, facts: { ...question.facts, tags: [...question.facts.tags, ...tags] } };
}

function rewritten(question: FilterQuestion, to: string): FilterQuestion {
  const { facts } = question;
  switch (question.stage) {
    case "helo":
      return { ...question, name: to, facts: { ...facts, helo: to } };
    case "mail":
      return facts.mail === undefined
        ? question
        : { ...question, facts: { ...facts, mail: { ...facts.mail, sender: to } } };
    case "rcpt":
      return { ...question, recipient: { ...question.recipient, address: to } };
    case "connect":
    case "auth":
    case "data":
      return question;
    default:
      return unreachable(question);
  }
}

/** Edits hold only for mail that is kept or quarantined. */
function editsOf({ fate, edits = [] }: MailVerdict): NonNullable<MailVerdict["edits"]> {
  return fate.kind === "keep" || fate.kind === "quarantine" ? edits : [];
}

/** The mail as the next filter sees it. */
function changed(mail: FilterMail, edited: Edited, tags: readonly string[], resultsOf: string | undefined): FilterMail {
  const { facts } = mail;
  const isSame = !edited.hasNewHeader && edited.body === undefined;
  const isSameAddressed = edited.sender === undefined && edited.added.length === 0 && edited.removed.length === 0;
  if (isSame && isSameAddressed && tags.length === 0 && resultsOf === undefined) return mail;
  const { removed, added } = edited;
  const stays = facts.mail.recipients.filter(({ address }) => !removed.some((one) => isSameRecipient(one, address)));
  const comes = added.filter((one) => stays.every(({ address }) => !isSameRecipient(one, address)));
  return filterMail({
    facts: {
      ...facts,
      tags: [...facts.tags, ...tags],
      mail: {
        ...facts.mail,
        sender: edited.sender ?? facts.mail.sender,
        recipients: [...stays, ...comes.map((address) => ({ address, parameters: [] }))],
        ...(resultsOf === undefined ? {} : { resultsOf: [...(facts.mail.resultsOf ?? []), resultsOf] }),
      },
    },
    trace: mail.trace,
    header: edited.hasNewHeader ? edited.header : mail.header,
    body: edited.body ?? mail.body,
    room: () => mail.room(),
  });
}

/** Whether there is something to tell besides that the mail goes on as it is. */
function saysMore({ fate, because, score, edits = [], tags = [], action }: MailVerdict): boolean {
  const isChanged = edits.length > 0 || tags.length > 0 || action !== undefined;
  return fate.kind !== "keep" || because !== undefined || score !== undefined || isChanged;
}
