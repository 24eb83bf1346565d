import { messageOf } from "../../../foundation/error.ts";
import type { Reply } from "../../../protocol/smtp/reply.ts";
import type { SmtpClientSettings } from "../settings.ts";
import type { During, Ended } from "./failures.ts";
import { asBuffer, outgoingContent, totalBytes } from "./outgoing-content.ts";
import {
  beginTransaction,
  onChunkSent,
  onContentBroken,
  onContentSent,
  onTransactionLost,
  onTransactionReply,
  waitingFor,
  type Transaction,
  type TransactionAction,
  type TransactionPlan,
} from "./transaction.ts";
import type { Wire, WireListener } from "./wire.io.ts";

/** Chunks of BDAT whose answers are still on their way: enough to keep a long line busy. */
const MOST_CHUNKS_AHEAD = 8;
/** A write under TLS is told of as done after two or three, one behind others later. */
const MOST_TURNS_TO_WRITE = 50;
/** Content is put together to blocks of this size before a BDAT names them. */
const CHUNK_BYTES = 256 * 1024;

/** The content: in memory, or to be read. */
export type Content = Uint8Array | (() => AsyncIterable<Uint8Array>);

/** Obeys the transaction machine over a connection that is ready. Settles within the deadlines; never rejects. */
export function runTransaction(
  wire: Wire,
  plan: TransactionPlan,
  content: Content,
  isBinary: boolean,
  parts: { settings: SmtpClientSettings },
): Promise<Transaction> {
  return new Promise((resolve) => new Runner(wire, plan, content, isBinary, parts, resolve));
}

class Runner implements WireListener {
  readonly #wire: Wire;
  readonly #content: Content;
  readonly #isBinary: boolean;
  readonly #settings: SmtpClientSettings;
  readonly #transaction: Transaction;
  readonly #settle: (transaction: Transaction) => void;
  #isStopped = false;
  /** Replies that came while we do not know whether the content has left. */
  #held: Reply[] | undefined;
  #awaited: During | undefined;
  #onReplyTaken: (() => void) | undefined;

  constructor(
    wire: Wire,
    plan: TransactionPlan,
    content: Content,
    isBinary: boolean,
    parts: { settings: SmtpClientSettings },
    settle: (transaction: Transaction) => void,
  ) {
    this.#wire = wire;
    this.#content = content;
    this.#isBinary = isBinary;
    this.#settings = parts.settings;
    this.#settle = settle;
    wire.listener = this;
    const [transaction, actions] = beginTransaction(plan);
    this.#transaction = transaction;
    wire.transactionDeadline(parts.settings.transactionTimeout);
    if (wire.ended === undefined) this.#perform(actions);
    else this.onEnded(wire.ended);
  }

  onReply(reply: Reply): void {
    if (this.#held !== undefined) {
      this.#held.push(reply);
      return;
    }
    if (!this.#wire.hasUnsent || waitingFor(this.#transaction) !== "end of DATA") return this.#answered(reply);
    this.#held = [reply];
    void this.#whenWritten();
  }

  #answered(reply: Reply, isPremature = this.#wire.hasUnsent): void {
    // Every answer is progress, even if the same command waits for the next one.
    this.#awaited = undefined;
    this.#perform(onTransactionReply(this.#transaction, reply, isPremature));
    this.#takeReply();
  }

  /**
   * The answer to the content may be here before we know that its end has left: under TLS a write is told of as done some turns
   * of the event loop later. What is unsent even then has not been sent, and the answer is to something else.
   */
  async #whenWritten(): Promise<void> {
    for (let turn = 0; turn < MOST_TURNS_TO_WRITE && this.#wire.hasUnsent && this.#held !== undefined; turn++)
      await new Promise((resolve) => setImmediate(resolve));
    this.#release(this.#wire.hasUnsent);
  }

  #release(isPremature: boolean): void {
    const [first, ...others] = this.#held ?? [];
    this.#held = undefined;
    if (first !== undefined) this.#answered(first, isPremature);
    // Whoever listens by now.
    for (const reply of others) this.#wire.listener.onReply(reply);
  }

  onEnded(ended: Ended): void {
    // Who answers and leaves has answered.
    this.#release(this.#wire.hasMuchUnsent);
    this.#perform(onTransactionLost(this.#transaction, ended));
    this.#takeReply();
  }

  /** All that the machine wants at once leaves in one write. */
  #perform(actions: readonly TransactionAction[]): void {
    const isWriting = actions.length > 0 && this.#wire.ended === undefined;
    if (isWriting) this.#wire.cork();
    for (const action of actions) this.#do(action);
    if (isWriting) this.#wire.uncork();
    if (!this.#transaction.isOver) this.#watch();
  }

  #do(action: TransactionAction): void {
    switch (action.do) {
      case "send":
        this.#wire.write(action.text);
        return;
      case "emptyContent":
        this.#wire.write(".\r\n");
        return;
      case "content":
        if (typeof this.#content === "function") void this.#stream(this.#content);
        else this.#sendWhole(this.#content);
        return;
      case "stopContent":
        this.#isStopped = true;
        return;
      case "over":
        this.#wire.transactionDeadline(undefined);
        this.#wire.noDeadline();
        this.#settle(this.#transaction);
        return;
      default:
        return;
    }
  }

  #sendWhole(bytes: Uint8Array): void {
    const { by } = this.#transaction.plan;
    const outgoing = outgoingContent(by, this.#isBinary);
    const pieces = [...outgoing.push(asBuffer(bytes)), ...outgoing.end()];
    if (by === "BDAT") this.#wire.write(`BDAT ${totalBytes(pieces)} LAST\r\n`);
    for (const piece of pieces) this.#wire.writeContent(piece);
    if (by === "BDAT") onChunkSent(this.#transaction, true);
    else onContentSent(this.#transaction);
  }

  async #stream(open: () => AsyncIterable<Uint8Array>): Promise<void> {
    try {
      const sent =
        this.#transaction.plan.by === "DATA" ? await this.#streamData(open()) : await this.#streamChunks(open());
      if (!sent) return;
      this.#awaited = undefined;
      this.#watch();
    } catch (thrown) {
      // The host would take what it has for the whole, if we ended here in good order.
      this.#perform(onContentBroken(this.#transaction, `the content could not be read: ${messageOf(thrown)}`));
    }
  }

  async #streamData(content: AsyncIterable<Uint8Array>): Promise<boolean> {
    const outgoing = outgoingContent("DATA", this.#isBinary);
    for await (const chunk of content) {
      if (this.#isStopped) return false;
      await this.#write(outgoing.push(asBuffer(chunk)));
    }
    if (this.#isStopped) return false;
    const rest = outgoing.end();
    // From here on an answer is an answer to the whole.
    onContentSent(this.#transaction);
    await this.#write(rest);
    return true;
  }

  async #streamChunks(content: AsyncIterable<Uint8Array>): Promise<boolean> {
    const outgoing = outgoingContent("BDAT", this.#isBinary);
    let pieces: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of content) {
      if (this.#isStopped) return false;
      for (const piece of outgoing.push(asBuffer(chunk))) {
        pieces.push(piece);
        bytes += piece.length;
      }
      if (bytes < CHUNK_BYTES) continue;
      await this.#sendChunk(pieces, bytes, false);
      pieces = [];
      bytes = 0;
    }
    const rest = outgoing.end();
    if (this.#isStopped) return false;
    await this.#sendChunk([...pieces, ...rest], bytes + totalBytes(rest), true);
    return true;
  }

  async #sendChunk(pieces: readonly Buffer[], bytes: number, isLast: boolean): Promise<void> {
    // RFC 3030 section 4.2: without PIPELINING each chunk waits for the answer to the one before.
    const most = this.#transaction.plan.isPipelined ? MOST_CHUNKS_AHEAD : 1;
    while (this.#transaction.waiting.length >= most && !this.#isStopped) await this.#replyTaken();
    if (this.#isStopped) return;
    onChunkSent(this.#transaction, isLast);
    this.#wire.cork();
    this.#wire.write(`BDAT ${bytes}${isLast ? " LAST" : ""}\r\n`);
    for (const piece of pieces) this.#wire.writeContent(piece);
    this.#wire.uncork();
    this.#awaited = undefined;
    this.#watch();
    await this.#wire.drained();
  }

  async #write(pieces: readonly Buffer[]): Promise<void> {
    this.#wire.cork();
    for (const piece of pieces) this.#wire.writeContent(piece);
    this.#wire.uncork();
    // The host reads: its time for a block begins anew.
    this.#awaited = undefined;
    this.#watch();
    if (this.#wire.isFull) await this.#wire.drained();
  }

  #replyTaken(): Promise<void> {
    return new Promise((resolve) => {
      this.#onReplyTaken = resolve;
    });
  }

  #takeReply(): void {
    const taken = this.#onReplyTaken;
    this.#onReplyTaken = undefined;
    taken?.();
  }

  /** The deadline of what is waited for now, set anew only when that has changed. */
  #watch(): void {
    if (this.#transaction.isOver) return;
    const during = waitingFor(this.#transaction);
    if (during === this.#awaited) return;
    this.#awaited = during;
    this.#wire.during = during;
    this.#wire.deadline(this.#limitMs(during), during === "content" ? "room for content" : `answer to ${during}`);
  }

  #limitMs(during: During): number {
    if (during === "DATA") return this.#settings.dataTimeout;
    if (during === "content" || during === "BDAT") return this.#settings.blockTimeout;
    return during === "end of DATA" ? this.#settings.endOfDataTimeout : this.#settings.commandTimeout;
  }
}
