import { messageOf } from "../../foundation/error.ts";
import { reply, type Reply } from "../../protocol/smtp/reply.ts";
import type { EnvelopePolicy, Judgement, SessionFactsForRules, StageJudgement } from "../envelope/policy.ts";
import type { MailChange, RestrictionStage } from "../envelope/restrictions/mail-change.ts";
import type { FilterChain } from "./chain.ts";
import { filterMail } from "./filter-mail.ts";
import type { FilterFacts, FilterMail, FilterNotice, FilterQuestion, FilterRecipient, FilterStage } from "./filter.ts";
import { isSameRecipient } from "./recipient-edits.ts";
import type { By, SiftedFate, SiftedMail, StageOutcome } from "./outcome.ts";

/** What a session asks at its stages. */
export type AskedChain = Pick<
  FilterChain,
  "wants" | "wantsNotes" | "begin" | "beginAnew" | "ask" | "judge" | "note" | "end"
>;

const STAGES: Readonly<Record<FilterStage, RestrictionStage>> = {
  connect: "connect",
  helo: "helo",
  auth: "auth",
  mail: "mail",
  rcpt: "rcpt",
  data: "data",
  message: "end-of-data",
};

/** What is found there is kept until RCPT, and may be nothing for a recipient by then. */
const EARLY: ReadonlySet<RestrictionStage> = new Set(["connect", "helo", "auth", "mail"]);

/**
 * The restrictions of one session at all stages, in front of its filters. What they refuse before RCPT is kept until RCPT,
 * unless the settings want it said at once; what they want done to a mail is kept until it is complete, and done then, as if
 * the first of the filters had wanted it.
 */
export class RestrictedChain implements AskedChain {
  readonly #policy: EnvelopePolicy;
  readonly #stages: ReadonlySet<RestrictionStage>;
  readonly #filters: AskedChain | undefined;
  /** What was refused and not yet said, by the stage. */
  readonly #earlier = new Map<RestrictionStage, Extract<StageJudgement, { kind: "reject" }>>();
  /** Wanted before RCPT, by the stage: at connect, EHLO and AUTH of every mail of the session. */
  readonly #wanted = new Map<RestrictionStage, readonly MailChange[]>();
  /** From which restriction on none of that is wanted of any recipient of the mail under way; not known before the first. */
  #excusedFrom: number | undefined;
  /** Wanted of the mail under way at RCPT and behind it. */
  #later: MailChange[] = [];
  #mails = 0;

  constructor(policy: EnvelopePolicy, listener: string, filters: AskedChain | undefined) {
    this.#policy = policy;
    this.#stages = policy.stagesAt?.(listener) ?? new Set();
    this.#filters = filters;
  }

  get wantsNotes(): boolean {
    return this.#filters?.wantsNotes === true;
  }

  wants(stage: FilterStage): boolean {
    const isOurs = stage !== "rcpt" && this.#stages.has(STAGES[stage]);
    return isOurs || (stage === "message" && this.#changes.length > 0) || this.#filters?.wants(stage) === true;
  }

  begin(): void {
    this.#mails++;
    this.#later = [];
    this.#excusedFrom = undefined;
    this.#wanted.delete("mail");
    this.#earlier.delete("mail");
    this.#filters?.begin();
  }

  /** What was refused or wanted before was about somebody else. */
  beginAnew(facts: FilterFacts): void {
    this.#earlier.clear();
    this.#wanted.clear();
    this.#later = [];
    this.#filters?.beginAnew(facts);
  }

  async judgeRecipient(facts: SessionFactsForRules, recipient: string): Promise<Judgement> {
    const earlier = [...this.#earlier.values()];
    const wanted = [...this.#wanted.values()].flat();
    const judgement = await this.#policy.judgeRecipient({ ...this.#numbered(facts), earlier, wanted }, recipient);
    // VRFY and EXPN name no recipient of the mail under way.
    if (judgement.kind !== "accept" || facts.accepted === undefined) return judgement;
    const { changes = [], excusedFrom = Number.POSITIVE_INFINITY } = judgement;
    this.#later.push(...changes);
    this.#excusedFrom = Math.max(this.#excusedFrom ?? 0, excusedFrom);
    return judgement;
  }

  async ask(question: FilterQuestion, who: SessionFactsForRules): Promise<StageOutcome> {
    const stage = STAGES[question.stage];
    const judged = await this.#judge(stage, { ...this.#numbered(who), ...heard(question) });
    const notes = judged.notes ?? [];
    if (judged.kind === "reject" && judged.isAtOnce) {
      const kind = stage === "connect" ? "disconnect" : "refuse";
      return { kind, reply: judged.reply, by: byRestriction(judged), tags: [], told: [], notes };
    }
    const outcome = await this.#filters?.ask(question, who);
    // A command that is refused did not happen: the name or login before it is still the client's.
    if (outcome === undefined || outcome.kind === "proceed" || stage === "connect") this.#remember(stage, judged);
    if (outcome === undefined) return { kind: "proceed", tags: [], told: [], notes };
    return notes.length === 0 ? outcome : { ...outcome, notes: [...notes, ...(outcome.notes ?? [])] };
  }

  #remember(stage: RestrictionStage, judged: StageJudgement): void {
    const { changes = [] } = judged;
    if (EARLY.has(stage)) this.#wanted.set(stage, changes);
    else this.#later.push(...changes);
    if (judged.kind === "reject") this.#earlier.set(stage, judged);
    else this.#earlier.delete(stage);
  }

  async judge(mail: FilterMail, who: SessionFactsForRules): Promise<SiftedMail> {
    const facts = this.#numbered(who);
    const sized = facts.more === undefined ? facts : { ...facts, more: { ...facts.more, sizeBytes: mail.sizeBytes } };
    const judged = await this.#judge("end-of-data", sized);
    const notes = judged.notes ?? [];
    if (judged.kind === "reject")
      return { ...asItCame(mail), fate: { kind: "refuse", reply: judged.reply, by: byRestriction(judged) }, notes };
    const changes = [...this.#changes, ...(judged.changes ?? [])];
    const shown = asChanged(mail, changes);
    const isHeldBack = changes.some(({ change }) => change === "hold" || change === "discard");
    const isWanted = this.#filters?.wants("message") === true;
    const sifted =
      isWanted && this.#filters !== undefined ? await this.#filters.judge(shown, who, isHeldBack) : asItCame(shown);
    const all = {
      ...sifted,
      isChanged: sifted.isChanged || shown.header !== mail.header,
      notes: [...notes, ...(sifted.notes ?? [])],
    };
    return changedBy(all, changes, mail);
  }

  /** Wanted of the mail under way, in the order in which it was found. */
  get #changes(): readonly MailChange[] {
    const from = this.#excusedFrom ?? Number.POSITIVE_INFINITY;
    const wanted = [...this.#wanted.values()].flat();
    return [...wanted.filter(({ place = -1 }) => place < from), ...this.#later];
  }

  note(what: FilterNotice): void {
    this.#filters?.note(what);
  }

  end(): void {
    this.#filters?.end();
  }

  /** Never rejects. */
  async #judge(stage: RestrictionStage, facts: SessionFactsForRules): Promise<StageJudgement> {
    const isAsked = this.#stages.has(stage) || (stage === "end-of-data" && this.#changes.length > 0);
    if (!isAsked || stage === "rcpt") return { kind: "accept" };
    try {
      const judged = this.#policy.judgeStage?.(facts, stage, this.#changes);
      return (await judged) ?? { kind: "accept" };
    } catch (thrown) {
      return { kind: "reject", reply: UNDECIDED, because: messageOf(thrown), isAtOnce: true };
    }
  }

  #numbered(facts: SessionFactsForRules): SessionFactsForRules {
    const { more } = facts;
    if (more === undefined) return facts;
    return { ...facts, more: { ...more, transaction: `${more.session}.${this.#mails}` } };
  }
}

const UNDECIDED: Reply = reply(451, "4.3.0", "Cannot decide at present; come again");

/** What the command says that is judged, and that is no fact of the session yet. */
function heard(question: FilterQuestion): Partial<SessionFactsForRules> {
  return question.stage === "helo" ? { helo: question.name } : {};
}

function byRestriction({ restriction = "restriction", because }: Extract<StageJudgement, { kind: "reject" }>): By {
  return { filter: restriction, restriction, because };
}

function asItCame({ header, body }: FilterMail): SiftedMail {
  return {
    fate: { kind: "keep" },
    header,
    body,
    isChanged: false,
    added: [],
    removed: [],
    tags: [],
    told: [],
  };
}

/** Fields in front of those that the client sent, the first on top; and for whom it is now. */
function asChanged(mail: FilterMail, changes: readonly MailChange[]): FilterMail {
  const fields = changes.flatMap((change) => (change.change === "add-field" ? [`${change.field}\r\n`] : []));
  const recipients = recipientsOf(mail.facts.mail.recipients, changes);
  if (fields.length === 0 && recipients === mail.facts.mail.recipients) return mail;
  return filterMail({
    facts: { ...mail.facts, mail: { ...mail.facts.mail, recipients } },
    trace: mail.trace,
    header: fields.length === 0 ? mail.header : Buffer.concat([Buffer.from(fields.join("")), mail.header]),
    body: mail.body,
    room: () => mail.room(),
  });
}

function recipientsOf(given: readonly FilterRecipient[], changes: readonly MailChange[]): readonly FilterRecipient[] {
  const redirect = changes.findLast((one) => one.change === "redirect");
  const copies = changes.flatMap((change) => (change.change === "copy" ? [change.to] : []));
  if (redirect === undefined && copies.length === 0) return given;
  const stay = redirect === undefined ? given : given.filter(({ address }) => isSameRecipient(address, redirect.to));
  const all = [...stay];
  for (const to of redirect === undefined ? copies : [redirect.to, ...copies])
    if (all.every(({ address }) => !isSameRecipient(address, to))) all.push({ address: to, parameters: [] });
  return all;
}

/** A refusal stands; nobody's wish for a mail to be looked at is lost to another's that it be thrown away. */
function changedBy(sifted: SiftedMail, changes: readonly MailChange[], mail: FilterMail): SiftedMail {
  const last = <Kind extends MailChange["change"]>(kind: Kind) =>
    changes.findLast((one): one is Extract<MailChange, { change: Kind }> => one.change === kind);
  const fate = fateOf(sifted.fate, last("hold"), last("discard"));
  const redirect = last("redirect");
  const copies = changes.flatMap((change) => (change.change === "copy" ? [change.to] : []));
  const action = last("action");
  return {
    ...sifted,
    fate,
    added: [...(redirect === undefined ? sifted.added : [redirect.to]), ...copies],
    removed: redirect === undefined ? sifted.removed : othersThan(redirect.to, mail),
    ...(action === undefined || sifted.action !== undefined
      ? {}
      : { action: { filter: action.by, restriction: action.by, action: action.action } }),
  };
}

function othersThan(to: string, mail: FilterMail): readonly string[] {
  const addresses = mail.facts.mail.recipients.map(({ address }) => address);
  return addresses.filter((address) => !isSameRecipient(address, to));
}

function fateOf(
  found: SiftedFate,
  hold: Extract<MailChange, { change: "hold" }> | undefined,
  discard: Extract<MailChange, { change: "discard" }> | undefined,
): SiftedFate {
  if (found.kind === "refuse" || found.kind === "handed-over" || found.kind === "quarantine") return found;
  const byOf = ({ by, because }: { by: string; because: string }): By => ({ filter: by, restriction: by, because });
  if (hold !== undefined) return { kind: "quarantine", by: byOf(hold) };
  if (found.kind === "discard") return found;
  return discard === undefined ? found : { kind: "discard", by: byOf(discard) };
}
