import { isAscii } from "node:buffer";
import { PosthornError } from "../../foundation/error.ts";
import type { EnvelopePolicy, Judgement, SessionFactsForRules } from "../envelope/policy.ts";
import type { ChosenTargets } from "../envelope/rules.ts";
import { filterFailed } from "../filter/failed.ts";
import type { ContentRoom, FilterFacts, KeptContent, MailFacts } from "../filter/filter.ts";
import { filterMail } from "../filter/filter-mail.ts";
import type { SiftedMail } from "../filter/outcome.ts";
import type { AskedChain } from "../filter/restricted-chain.ts";
import type { BodyWriter, WrittenContent } from "../queue/queue.ts";
import { headerSplit, type HeaderSplit } from "./header-split.ts";
import type { AcceptedRecipient, Sifted } from "./state.ts";
import { withoutSenders } from "./without-senders.ts";

/**
 * One mail's way through the filters. Its content has been received whole: the filters read it from where it was written, and
 * only when one of them changed something is it written anew, once, behind the last filter. What filters put aside on the way
 * lies in contents of the same message, of which at most one is committed; the others go here, or with the sweep after a crash.
 */
export interface SiftingParts {
  readonly chain: AskedChain;
  readonly writer: BodyWriter;
  /** Our Received field: the stored content begins with it, and filters see the mail without. */
  readonly trace: string;
  /** Another content for the same message. */
  readonly begin: (version: number) => BodyWriter;
  /** The largest mail, and what a header section may be. */
  readonly messageSize: number;
  readonly headerSize: number;
  /** The rules' word on a recipient of mail that has new tags or another sender; absent: neither changes anything. */
  readonly judgeAgain?: EnvelopePolicy["judgeRecipient"] | undefined;
  /** A rule asks for tags; without one, new ones alone are no reason to ask again. */
  readonly rulesAskTags?: boolean | undefined;
  /** What an added recipient stands for; absent: there is nobody to ask, and none is added. */
  readonly place?: ((recipient: string) => Promise<ChosenTargets>) | undefined;
}

export interface SiftingResult {
  readonly sifted: Sifted;
  /** What is to be committed. Another one than was given where the mail was changed; then the given one is forgotten already. */
  readonly writer: BodyWriter;
}

/** Versions of one message's content: far beyond what sane filters need. */
const MOST_VERSIONS = 200;
const EMPTY_LINE = Buffer.from("\r\n");
const NOWHERE: Pick<Sifted, "placed" | "misplaced"> = { placed: [], misplaced: [] };

export class Sifting {
  readonly #parts: SiftingParts;
  readonly #rooms = new Set<BodyWriter>();
  #version = 1;
  #isOver = false;

  constructor(parts: SiftingParts) {
    this.#parts = parts;
  }

  /** Rejects when the content cannot be read, or not be written anew: then the mail is not kept. */
  async run(
    facts: FilterFacts & { readonly mail: MailFacts },
    who: SessionFactsForRules,
    recipients: readonly AcceptedRecipient[],
  ): Promise<SiftingResult> {
    try {
      return await this.#run(facts, who, recipients);
    } finally {
      this.#forgetRooms();
    }
  }

  /** Nobody waits any more: whatever comes of it is forgotten. */
  cancel(): void {
    this.#isOver = true;
    this.#forgetRooms();
  }

  async #run(
    facts: FilterFacts & { readonly mail: MailFacts },
    who: SessionFactsForRules,
    recipients: readonly AcceptedRecipient[],
  ): Promise<SiftingResult> {
    const { chain, writer, trace } = this.#parts;
    const content = await writer.settle();
    const { header, body } =
      content.whole === undefined ? await this.#split(content) : this.#parted(content, content.whole);
    const mail = filterMail({ facts, trace, header, body, room: () => this.#room() });
    const judged = await chain.judge(mail, who);
    // The usual answer, and the shortest way behind it.
    if (
      judged.fate.kind === "keep" &&
      !judged.isChanged &&
      judged.sender === undefined &&
      judged.added.length === 0 &&
      judged.tags.length === 0
    )
      return { sifted: { ...judged, ...NOWHERE, storedBytes: content.sizeBytes }, writer };
    const found = await this.#judgedAgain(judged, who, recipients);
    const isKept = found.fate.kind === "keep" || found.fate.kind === "quarantine";
    const placing = isKept ? await this.#place(found) : NOWHERE;
    const { header: _header, body: _body, ...rest } = found;
    if (!isKept || !found.isChanged) return { sifted: { ...rest, ...placing, storedBytes: content.sizeBytes }, writer };
    const anew = await this.#writeAnew(found);
    await writer.abort();
    if (this.#isOver) {
      this.#forget(anew.writer);
      throw timeIsOver();
    }
    const { has8bit } = anew;
    return { sifted: { ...rest, ...placing, storedBytes: anew.writer.sizeBytes, has8bit }, writer: anew.writer };
  }

  /**
   * Tags that came with the content, or another sender: the rules are asked once more, and may choose otherwise. What SRS, VERP
   * and `as` make of the sender comes with their answer. There is one reply for all recipients, so they refuse the mail where
   * they refuse all of them; where it is some, those keep what was chosen before, and the sender as the filters left it.
   */
  async #judgedAgain(
    found: SiftedMail,
    who: SessionFactsForRules,
    recipients: readonly AcceptedRecipient[],
  ): Promise<SiftedMail & Pick<Sifted, "rejudged">> {
    const { judgeAgain, rulesAskTags = false } = this.#parts;
    const isKept = found.fate.kind === "keep" || found.fate.kind === "quarantine";
    const hasOtherSender = found.sender !== undefined && found.sender !== who.sender;
    const isOtherwise = hasOtherSender || (rulesAskTags && found.tags.length > 0);
    if (judgeAgain === undefined || !isOtherwise || !isKept) return found;
    const facts = {
      ...who,
      sender: found.sender ?? who.sender,
      tags: [...new Set([...(who.tags ?? []), ...found.tags])],
    };
    const removed = new Set(found.removed.map((one) => one.toLowerCase()));
    const stay = recipients.filter(({ given }) => !removed.has(given.toLowerCase()));
    const rejudged: AcceptedRecipient[] = [];
    let refused: Extract<Judgement, { kind: "reject" }> | undefined;
    let refusals = 0;
    for (const one of stay) {
      const judgement = await judgeAgain(facts, one.given);
      if (judgement.kind === "accept") rejudged.push({ ...one, targets: judgement.targets, rule: judgement.rule });
      else {
        // What could not be found out makes the client come again.
        const isTemporary = judgement.reply.code < 500;
        if (refused === undefined || isTemporary) refused = judgement;
        if (isTemporary) break;
        refusals++;
        rejudged.push(hasOtherSender ? withoutSenders(one) : one);
      }
    }
    if (refused === undefined) return { ...found, rejudged };
    if (refusals < stay.length && refused.reply.code >= 500) return { ...found, rejudged };
    const { rule, because } = refused;
    // Where no rule takes the mail, there is none to name.
    const by = { filter: "", restriction: "rules", rule, because };
    return { ...found, fate: { kind: "refuse", reply: refused.reply, by } };
  }

  async #split(content: WrittenContent): Promise<{ readonly header: Buffer; readonly body: KeptContent }> {
    const { trace, headerSize } = this.#parts;
    const traceBytes = Buffer.byteLength(trace);
    // Fields that were added to what the client sent stand in the section, too.
    const mostBytes = traceBytes + headerSize + ROOM_FOR_ADDED;
    let held: Buffer = Buffer.alloc(0);
    let found = headerSplit(held, traceBytes, false);
    for await (const piece of content.read()) {
      held = held.length === 0 ? piece : Buffer.concat([held, piece]);
      found = headerSplit(held, traceBytes, false);
      if (found !== undefined || held.length > mostBytes) break;
    }
    return this.#parted(content, held, found);
  }

  /** `held` is the beginning of the content, all of the header section at least. */
  #parted(
    content: WrittenContent,
    held: Buffer,
    found?: HeaderSplit,
  ): { readonly header: Buffer; readonly body: KeptContent } {
    const traceBytes = Buffer.byteLength(this.#parts.trace);
    const { end, bodyAt } = found ?? headerSplit(held, traceBytes, true);
    const section = held.subarray(traceBytes, end);
    const isEnded = section.length === 0 || section.at(-1) === 10;
    return {
      // A copy: what was held may be much more, and content of the queue is nobody's to write into.
      header: isEnded ? Buffer.from(section) : Buffer.concat([section, EMPTY_LINE]),
      body: { sizeBytes: content.sizeBytes - bodyAt, read: () => behind(content.read(), bodyAt) },
    };
  }

  #room(): ContentRoom {
    if (this.#isOver) throw timeIsOver();
    const writer = this.#next();
    this.#rooms.add(writer);
    const { messageSize } = this.#parts;
    return {
      write: (bytes) => {
        if (this.#isOver) throw timeIsOver();
        if (writer.sizeBytes + bytes.length > messageSize)
          throw filterFailed(`the filter gave more than ${messageSize} bytes`, "see what it does to the mail");
        return writer.write(bytes);
      },
      finish: () => writer.settle(),
      abort: () => this.#forget(writer),
    };
  }

  #next(): BodyWriter {
    this.#version++;
    if (this.#version > MOST_VERSIONS) throw filterFailed("filters replaced one mail too often", "see what they do");
    return this.#parts.begin(this.#version);
  }

  #forget(writer: BodyWriter): void {
    this.#rooms.delete(writer);
    writer.abort().catch(() => {});
  }

  #forgetRooms(): void {
    for (const writer of this.#rooms) this.#forget(writer);
  }

  async #writeAnew({ header, body }: SiftedMail): Promise<{ readonly writer: BodyWriter; readonly has8bit: boolean }> {
    const writer = this.#next();
    let has8bit = !isAscii(header);
    try {
      await writer.write(Buffer.concat([Buffer.from(this.#parts.trace), header, EMPTY_LINE]));
      for await (const piece of body.read()) {
        has8bit ||= !isAscii(piece);
        await writer.write(piece);
        if (this.#isOver) throw timeIsOver();
      }
    } catch (thrown) {
      writer.abort().catch(() => {});
      throw thrown;
    }
    return { writer, has8bit };
  }

  async #place({ added }: SiftedMail): Promise<Pick<Sifted, "placed" | "misplaced">> {
    const placed: AcceptedRecipient[] = [];
    const misplaced: { recipient: string; because: string }[] = [];
    for (const recipient of added) {
      const chosen = (await this.#parts.place?.(recipient)) ?? { kind: "none", because: "nobody knows the rules" };
      if (chosen.kind === "targets" && chosen.targets.length === 0)
        misplaced.push({ recipient, because: "it leads nowhere" });
      else if (chosen.kind === "targets") placed.push({ given: recipient, parameters: {}, targets: chosen.targets });
      else if (chosen.kind === "none") misplaced.push({ recipient, because: chosen.because });
      // What could not be found out is no refusal: the client comes again.
      else
        throw new PosthornError("ROLE_UNAVAILABLE", {
          message: `where mail for <${recipient}> goes, whom a filter added, cannot be found out: ${chosen.text}`,
          advice: "see what the table says",
        });
    }
    return { placed, misplaced };
  }
}

const ROOM_FOR_ADDED = 64 * 1024;

function timeIsOver(): PosthornError {
  return filterFailed("the filters' time is over", "give them more time, or less to do");
}

async function* behind(pieces: AsyncIterable<Buffer>, skipBytes: number): AsyncGenerator<Buffer> {
  let left = skipBytes;
  for await (const piece of pieces) {
    if (left >= piece.length) left -= piece.length;
    else {
      yield left === 0 ? piece : piece.subarray(left);
      left = 0;
    }
  }
}
