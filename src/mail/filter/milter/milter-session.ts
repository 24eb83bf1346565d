import type { MilterDecision } from "../../../protocol/milter/answer.ts";
import type { Reply } from "../../../protocol/smtp/reply.ts";
import { aboutRecipient } from "../about-recipient.ts";
import type {
  FilterFacts,
  FilterMail,
  FilterQuestion,
  FilterRecipient,
  MailEdit,
  MailVerdict,
  StageVerdict,
} from "../filter.ts";
import type { Judgement, MilterConversation } from "./conversation.ts";
import { clientOf, type MacroMoment } from "./macros.ts";
import { editOf, fateOf, quarantineFate, stageVerdictOf } from "./milter-verdict.ts";
import type { MilterSettings } from "./settings.ts";

/** What the milter knows of the mail at work. */
interface Told {
  /** `over`: it has decided about this mail before it heard all of it. */
  at: "none" | "mail" | "data" | "over";
  /** It refused the mail: so it does, whatever the client tries next. */
  refused: StageVerdict | undefined;
  readonly recipients: Set<string>;
  /**
   * Of recipients that had been answered 250 before the milter heard of them, and that it does not want. The client has to hear
   * of it, and one reply is all that is left for it: so nobody gets the mail. Those for now go first: who comes again tells it all.
   */
  late: LateRefusal | undefined;
}

interface LateRefusal {
  readonly kind: "refuse";
  readonly reply: Reply;
  readonly because: string;
}

type Asked = FilterQuestion | { readonly stage: "message"; readonly facts: FilterFacts };

/**
 * What one connection to a milter was told of a session, and what it said to that. Before each question it is told what it
 * should know by then and does not, because it was not asked before (the settings' `match`) or because the connection is new.
 */
export class MilterSession {
  readonly #conversation: MilterConversation;
  readonly #quarantine: MilterSettings["quarantine"];
  readonly #quit: () => void;
  #hasConnected = false;
  /** The greeting that it was told, and how it was encrypted. */
  #greeted = "";
  #told: Told = nothingTold();
  /** Said about the whole session: nothing more is asked, and the connection is closed. */
  #forSession: StageVerdict | undefined;

  constructor(conversation: MilterConversation, quarantine: MilterSettings["quarantine"], quit: () => void) {
    this.#conversation = conversation;
    this.#quarantine = quarantine;
    this.#quit = quit;
  }

  /** Whether it can still be asked, or need not be. */
  get isUsable(): boolean {
    return this.#forSession !== undefined || this.#conversation.isOpen;
  }

  async ask(question: FilterQuestion): Promise<StageVerdict> {
    const before = this.#forSession ?? (await this.#catchUp(question)) ?? this.#told.refused;
    const { late } = this.#told;
    if (late === undefined) return before ?? (await this.#asked(question));
    if (question.stage === "data") return before?.kind === "disconnect" ? before : late;
    const said = before ?? (await this.#asked(question));
    // Whoever has nothing more to say is not asked at DATA: but then it is that the mail is refused.
    return said.kind === "content" || said.kind === "discard" ? { ...said, kind: "proceed" } : said;
  }

  async judge(mail: FilterMail): Promise<MailVerdict> {
    const said =
      this.#forSession ?? (await this.#catchUp({ stage: "message", facts: mail.facts })) ?? this.#told.refused;
    const { late } = this.#told;
    if (late !== undefined && said?.kind !== "disconnect")
      return { fate: fateOfStage(late), because: late.because, edits: [] };
    if (said !== undefined) return { fate: fateOfStage(said), edits: [] };
    if (this.#told.at === "over") return { fate: { kind: "keep" }, edits: [] };
    const judgement = await this.#conversation.message(mail);
    const verdict = this.#verdictOf(judgement);
    if (judgement.isWhole) this.#told = nothingTold();
    else this.#told.at = "over";
    return verdict;
  }

  /** The mail before is over: what the milter still holds of it is to be thrown away. */
  async forget(): Promise<void> {
    const { at } = this.#told;
    this.#told = nothingTold();
    // Also behind a mail that it decided about: libmilter stays in that mail unless it heard all of it.
    if (at !== "none" && this.#conversation.isOpen) await this.#conversation.abort();
  }

  /** A recipient that others refused, for milters that count them. */
  async noteRefused(facts: FilterFacts, address: string, refused: string): Promise<void> {
    // The milter itself refused those that it knows.
    const isNews = this.#told.at === "mail" && !this.#told.recipients.has(address);
    if (!isNews || !this.#conversation.wantsRefusedRecipients) return;
    await this.#conversation.rcpt({ facts, recipient: { address, refused } }, address, []);
  }

  /** A command that nobody knows, and that was answered. */
  async noteUnknown(facts: FilterFacts, line: string): Promise<void> {
    if (this.#hasConnected && this.#conversation.isOpen) await this.#conversation.unknown({ facts }, line);
  }

  /** Tells what comes before this question; a verdict, when the milter does not want to hear the question any more. */
  async #catchUp({ stage, facts }: Asked): Promise<StageVerdict | undefined> {
    const conversation = this.#conversation;
    if (!this.#hasConnected) {
      this.#hasConnected = true;
      const { hostname, ...client } = clientOf(facts);
      const verdict = this.#sessionVerdict(await conversation.connect({ facts }, hostname, client));
      if (verdict.kind !== "proceed" || stage === "connect") return verdict;
    }
    if (stage === "helo") return undefined;
    if (facts.helo !== undefined && this.#greeted !== greetingOf(facts)) {
      const verdict = await this.#greet(facts, facts.helo);
      if (verdict.kind !== "proceed") return verdict;
    }
    const { mail } = facts;
    if (mail === undefined || stage === "mail") return undefined;
    if (this.#told.at === "none") {
      const verdict = this.#mailVerdict("mail", await conversation.mail({ facts }, mail.sender, mail.parameters));
      if (verdict.kind !== "proceed") return verdict;
    }
    if (this.#told.at !== "mail") return undefined;
    for (const recipient of mail.recipients) {
      if (this.#told.recipients.has(recipient.address)) continue;
      const verdict = await this.#recipient(facts, recipient);
      if (verdict.kind === "refuse") this.#refusedLate(recipient, verdict.reply);
      else if (verdict.kind !== "proceed") return verdict;
    }
    if (stage !== "message" || this.#told.late !== undefined) return undefined;
    const verdict = this.#mailVerdict("data", await conversation.data({ facts }));
    return verdict.kind === "proceed" ? undefined : verdict;
  }

  async #asked(question: FilterQuestion): Promise<StageVerdict> {
    const { facts } = question;
    switch (question.stage) {
      // Told by catching up.
      case "connect":
      case "auth":
        return PROCEED;
      case "helo":
        return this.#greet({ ...facts, helo: question.name }, question.name);
      case "mail": {
        const { mail } = facts;
        if (mail === undefined) return PROCEED;
        return this.#mailVerdict("mail", await this.#conversation.mail({ facts }, mail.sender, mail.parameters));
      }
      case "rcpt":
        return this.#told.at === "mail" ? this.#recipient(facts, question.recipient) : PROCEED;
      case "data":
        if (this.#told.at !== "mail") return PROCEED;
        return this.#mailVerdict("data", await this.#conversation.data({ facts }));
    }
  }

  async #greet(facts: FilterFacts, name: string): Promise<StageVerdict> {
    this.#greeted = greetingOf(facts);
    return this.#sessionVerdict(await this.#conversation.helo({ facts }, name));
  }

  async #recipient(facts: FilterFacts, { address, parameters }: FilterRecipient): Promise<StageVerdict> {
    this.#told.recipients.add(address);
    const moment: MacroMoment = { facts, recipient: { address } };
    return this.#ending(stageVerdictOf(await this.#conversation.rcpt(moment, address, parameters), true));
  }

  #refusedLate({ address }: FilterRecipient, reply: Reply): void {
    const { late } = this.#told;
    if (late !== undefined && (late.reply.code < 500 || reply.code >= 500)) return;
    const because = `refused <${address}> when it was told of it, after that had been answered 250`;
    this.#told.late = { kind: "refuse", reply: aboutRecipient(address, reply), because };
  }

  /** At MAIL and DATA a refusal is about the whole mail. */
  #mailVerdict(at: "mail" | "data", decision: MilterDecision): StageVerdict {
    this.#told.at = at;
    const verdict = stageVerdictOf(decision, true);
    if (verdict.kind === "refuse") this.#told.refused = verdict;
    return this.#ending(verdict);
  }

  /** Whether it has said all that it will about this mail. */
  #ending(verdict: StageVerdict): StageVerdict {
    if (verdict.kind === "content" || verdict.kind === "discard") this.#told.at = "over";
    return verdict;
  }

  /** Before MAIL, anything but "go on" is about the whole session; libmilter expects nothing more then. */
  #sessionVerdict(decision: MilterDecision): StageVerdict {
    const verdict = stageVerdictOf(decision, false);
    if (verdict.kind !== "proceed") {
      this.#forSession = verdict;
      this.#quit();
    }
    return verdict;
  }

  #verdictOf({ decision, changes, body }: Judgement): MailVerdict {
    const { keepsSpace } = this.#conversation;
    const edits: MailEdit[] = [];
    let quarantine: string | undefined;
    for (const change of changes) {
      if (change.says === "quarantine") quarantine ??= change.reason;
      else edits.push(editOf(change, keepsSpace));
    }
    if (body !== undefined) edits.push({ edit: "replace-body", body });
    const fate = fateOf(decision);
    if (fate.kind !== "keep" || quarantine === undefined) return { fate, edits };
    return { fate: quarantineFate(this.#quarantine, quarantine), edits, because: quarantine };
  }
}

const PROCEED: StageVerdict = { kind: "proceed" };

function nothingTold(): Told {
  return { at: "none", refused: undefined, late: undefined, recipients: new Set() };
}

function greetingOf(facts: FilterFacts): string {
  return `${facts.helo ?? ""} ${facts.tls?.version ?? ""}`;
}

/** A verdict on a stage that is heard only with the content. */
function fateOfStage(verdict: StageVerdict): MailVerdict["fate"] {
  if (verdict.kind === "refuse" || verdict.kind === "disconnect") return { kind: "refuse", reply: verdict.reply };
  return verdict.kind === "discard" ? { kind: "discard" } : { kind: "keep" };
}
