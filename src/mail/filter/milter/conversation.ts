import type { MilterAnswer, MilterChange, MilterDecision } from "../../../protocol/milter/answer.ts";
import { bodyLines } from "../../../protocol/milter/body-lines.ts";
import { milterCommand, type MilterClient } from "../../../protocol/milter/command.ts";
import { valueForMilter } from "../../../protocol/milter/field-value.ts";
import { doesWithout, type MacroStage, type MILTER_STEPS } from "../../../protocol/milter/negotiation.ts";
import { BODY_CHUNK_BYTES } from "../../../protocol/milter/packet.ts";
import { rawFieldsOf, unfoldedValue, type RawField } from "../../../protocol/message/raw-fields.ts";
import type { ContentRoom, FilterMail, KeptContent } from "../filter.ts";
import { MilterBroken, type MilterLink } from "./link.ts";
import type { MacroMoment, MacroSource } from "./macros.ts";

/** Which parts of the dialogue a milter may do without, or hear in silence, and which macros go with them. */
const STEPS = {
  connect: { code: "C", without: "noConnect", silent: "noReplyConnect", macros: "connect" },
  helo: { code: "H", without: "noHelo", silent: "noReplyHelo", macros: "helo" },
  mail: { code: "M", without: "noMail", silent: "noReplyMail", macros: "mail" },
  rcpt: { code: "R", without: "noRcpt", silent: "noReplyRcpt", macros: "rcpt" },
  data: { code: "T", without: "noData", silent: "noReplyData", macros: "data" },
  unknown: { code: "U", without: "noUnknown", silent: "noReplyUnknown", macros: undefined },
  header: { code: "L", without: "noHeaders", silent: "noReplyHeader", macros: undefined },
  endOfHeader: { code: "N", without: "noEndOfHeader", silent: "noReplyEndOfHeader", macros: "endOfHeader" },
  body: { code: "B", without: "noBody", silent: "noReplyBody", macros: undefined },
} as const satisfies Record<string, Step>;

interface Step {
  readonly code: string;
  readonly without: keyof typeof MILTER_STEPS;
  readonly silent: keyof typeof MILTER_STEPS;
  readonly macros: MacroStage | undefined;
}

export interface ConversationLimits {
  readonly commandMs: number;
  readonly contentMs: number;
}

/** What became of a mail that a milter was shown. */
export interface Judgement {
  /** It heard the mail to its end: the next thing it expects is another mail. */
  readonly isWhole: boolean;
  readonly decision: MilterDecision;
  readonly changes: readonly Exclude<MilterChange, { says: "replace-body" }>[];
  readonly body?: KeptContent | undefined;
}

const CONTINUE: MilterDecision = { says: "continue" };
/** More "I work on it" in a row than this is no work. The filter's own deadline comes long before, or should. */
const MOST_PROGRESS = 10_000;
const MOST_CHANGES = 10_000;
/** All changes of a mail's header and envelope together, in characters: each may be as long as a packet. */
const MOST_CHANGED = 16 << 20;
/** What is written together where no answer is waited for. */
const WRITTEN_TOGETHER = 64 * 1024;

/**
 * One connection's conversation: which commands and macros are sent, what is waited for, in the order that libmilter expects.
 * A step that the milter does without costs nothing; its macros go with what is said next. Rejects with `MilterBroken`.
 */
export class MilterConversation {
  readonly #link: MilterLink;
  readonly #macros: MacroSource;
  readonly #limits: ConversationLimits;
  /** Not yet written. */
  #unsent: Buffer[] = [];
  #unsentBytes = 0;

  constructor(link: MilterLink, macros: MacroSource, limits: ConversationLimits) {
    this.#link = link;
    this.#macros = macros;
    this.#limits = limits;
  }

  get isOpen(): boolean {
    return this.#link.isOpen;
  }

  get wantsRefusedRecipients(): boolean {
    return doesWithout(this.#link.agreement, "refusedRecipients");
  }

  get keepsSpace(): boolean {
    return doesWithout(this.#link.agreement, "leadingSpace");
  }

  connect(moment: MacroMoment, hostname: string, client: MilterClient): Promise<MilterDecision> {
    return this.#step(STEPS.connect, moment, () => milterCommand.connect(hostname, client));
  }

  helo(moment: MacroMoment, name: string): Promise<MilterDecision> {
    return this.#step(STEPS.helo, moment, () => milterCommand.helo(name));
  }

  mail(moment: MacroMoment, sender: string, parameters: readonly string[]): Promise<MilterDecision> {
    return this.#step(STEPS.mail, moment, () => milterCommand.mail(sender, parameters));
  }

  rcpt(moment: MacroMoment, recipient: string, parameters: readonly string[]): Promise<MilterDecision> {
    return this.#step(STEPS.rcpt, moment, () => milterCommand.rcpt(recipient, parameters));
  }

  data(moment: MacroMoment): Promise<MilterDecision> {
    return this.#step(STEPS.data, moment, () => milterCommand.data());
  }

  unknown(moment: MacroMoment, line: string): Promise<MilterDecision> {
    return this.#step(STEPS.unknown, moment, () => milterCommand.unknown(line));
  }

  /** The mail at work comes to nothing. */
  async abort(): Promise<void> {
    this.#say(milterCommand.abort());
    await this.#flush(this.#limits.commandMs);
  }

  /** Shows a mail, whose recipients the milter knows, and hears what it makes of it. */
  async message(mail: FilterMail): Promise<Judgement> {
    const fields = rawFieldsOf(mail.header).filter((field) => field.name !== "");
    const moment = { facts: mail.facts, messageId: messageIdOf(fields) };
    const { contentMs } = this.#limits;
    const early = (decision: MilterDecision): Judgement => ({ isWhole: false, decision, changes: [] });

    for (const { name, raw, valueAt } of fields) {
      const value = raw.subarray(valueAt, raw.length - (raw.at(-2) === CR ? 2 : 1));
      const header = milterCommand.header(Buffer.from(name, "latin1"), valueForMilter(value, this.keepsSpace));
      const decision = await this.#step(STEPS.header, moment, () => header, contentMs);
      if (decision.says !== "continue") return early(decision);
    }
    const afterHeader = await this.#step(STEPS.endOfHeader, moment, milterCommand.endOfHeader, contentMs);
    if (afterHeader.says !== "continue") return early(afterHeader);

    if (!doesWithout(this.#link.agreement, "noBody")) {
      for await (const chunk of inChunks(mail.body.read())) {
        const decision = await this.#step(STEPS.body, moment, () => milterCommand.body(chunk), contentMs);
        if (decision.says === "skip") break;
        if (decision.says !== "continue") return early(decision);
      }
    }
    this.#sayMacros("E", "endOfMessage", moment);
    this.#say(milterCommand.endOfBody());
    await this.#flush(contentMs);
    return this.#judgement(mail, contentMs);
  }

  async #judgement(mail: FilterMail, limitMs: number): Promise<Judgement> {
    const changes: Exclude<MilterChange, { says: "replace-body" }>[] = [];
    const isBinary = mail.facts.mail.body === "BINARYMIME";
    const lines = bodyLines();
    let room: ContentRoom | undefined;
    let size = 0;
    try {
      for (;;) {
        const answer = await this.#progressed(limitMs);
        if (isDecision(answer)) {
          if (room === undefined) return { isWhole: true, decision: answer, changes };
          if (!isBinary) await room.write(lines.end());
          return { isWhole: true, decision: answer, changes, body: await room.finish() };
        }
        if (answer.says === "replace-body") {
          room ??= mail.room();
          await room.write(isBinary ? answer.piece : lines.push(answer.piece));
        } else if (changes.length < MOST_CHANGES) {
          size += sizeOf(answer);
          if (size > MOST_CHANGED) throw new MilterBroken("wants changes of one mail that are larger than any header");
          changes.push(answer);
        } else throw new MilterBroken(`wants more than ${MOST_CHANGES} changes of one mail`);
      }
    } catch (thrown) {
      room?.abort();
      throw thrown;
    }
  }

  async #step(
    step: Step,
    moment: MacroMoment,
    packet: () => Buffer,
    limitMs = this.#limits.commandMs,
  ): Promise<MilterDecision> {
    const { agreement } = this.#link;
    if (step.macros !== undefined) this.#sayMacros(step.code, step.macros, moment);
    if (doesWithout(agreement, step.without)) return CONTINUE;
    // It would be taken for the answer to what is asked now.
    if (this.#link.hasUnheard) throw new MilterBroken("spoke without being asked");
    this.#say(packet());
    if (doesWithout(agreement, step.silent)) {
      if (this.#unsentBytes >= WRITTEN_TOGETHER) await this.#flush(limitMs);
      return CONTINUE;
    }
    await this.#flush(limitMs);
    const answer = await this.#progressed(limitMs);
    if (isDecision(answer)) return answer;
    throw new MilterBroken(`wants a change (${answer.says}) before the end of the mail`);
  }

  async #progressed(limitMs: number): Promise<MilterDecision | MilterChange> {
    for (let turn = 0; turn < MOST_PROGRESS; turn++) {
      const answer = await this.#link.answer(limitMs);
      if (answer.says === "negotiate") throw new MilterBroken("began to negotiate anew");
      if (answer.says !== "progress") return answer;
    }
    throw new MilterBroken("works and works, and comes to no answer");
  }

  #sayMacros(code: string, stage: MacroStage, moment: MacroMoment): void {
    const macros = this.#macros.at(stage, moment, this.#link.agreement);
    if (macros.length > 0) this.#say(milterCommand.macros(code, macros));
  }

  #say(packet: Buffer): void {
    this.#unsent.push(packet);
    this.#unsentBytes += packet.length;
  }

  async #flush(limitMs: number): Promise<void> {
    const packets = Buffer.concat(this.#unsent);
    this.#unsent = [];
    this.#unsentBytes = 0;
    await this.#link.write(packets, limitMs);
  }
}

const CR = 0x0d;

function isDecision(answer: MilterDecision | MilterChange): answer is MilterDecision {
  return DECISIONS.has(answer.says);
}

const DECISIONS: ReadonlySet<MilterAnswer["says"]> = new Set<MilterDecision["says"]>([
  "continue",
  "accept",
  "reject",
  "tempfail",
  "discard",
  "reply",
  "shutdown",
  "skip",
]);

function sizeOf(change: MilterChange): number {
  let size = 0;
  for (const value of Object.values(change)) if (typeof value === "string") size += value.length;
  return size;
}

function messageIdOf(fields: readonly RawField[]): string | undefined {
  const field = fields.find(({ name }) => name.toLowerCase() === "message-id");
  return field === undefined ? undefined : unfoldedValue(field);
}

/** The same bytes in the pieces that libmilter takes, all of them full but the last. */
async function* inChunks(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  for await (const piece of pieces) {
    held.push(piece);
    heldBytes += piece.length;
    while (heldBytes >= BODY_CHUNK_BYTES) {
      const all = Buffer.concat(held);
      yield all.subarray(0, BODY_CHUNK_BYTES);
      held = [all.subarray(BODY_CHUNK_BYTES)];
      heldBytes -= BODY_CHUNK_BYTES;
    }
  }
  if (heldBytes > 0) yield Buffer.concat(held);
}
