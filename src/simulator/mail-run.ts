import type { Outcome, Transacted, TransactRequest } from "../mail/delivery/delivery.ts";
import type { Failure } from "../mail/envelope/failure.ts";
import { isTooMany, lostFailure, type During, type Ended } from "../mail/delivery/smtp/failures.ts";
import { commandsOf, firstBatch, offerOf, type Commands } from "../mail/delivery/smtp/requirements.ts";
import {
  beginTransaction,
  onChunkSent,
  onContentSent,
  onTransactionLost,
  onTransactionReply,
  waitingFor,
  type Fate,
  type Transaction,
  type TransactionAction,
} from "../mail/delivery/smtp/transaction.ts";
import { announcedLimits, offers, type Extensions } from "../protocol/smtp/extensions.ts";
import { replyText, type Reply } from "../protocol/smtp/reply.ts";
import type { Dialogue, Listener } from "./dialogue.ts";

/**
 * The mails of one session: the real transaction machine, driven as `client-session.io.ts` drives it over sockets, with
 * as many transactions for a message as limits ask for.
 */
export class MailRun implements Listener {
  readonly #dialogue: Dialogue;
  readonly #extensions: Extensions;
  readonly #host: string;
  #transactions = 0;
  #needsReset = false;
  #request: TransactRequest | undefined;
  #commands: Commands | undefined;
  #fates: (Fate | undefined)[] = [];
  #batch: readonly number[] = [];
  #presented = 0;
  #transaction: Transaction | undefined;
  #startedAt = 0;
  #onDone: (transacted: Transacted) => void = () => {};

  constructor(dialogue: Dialogue, extensions: Extensions) {
    this.#dialogue = dialogue;
    this.#extensions = extensions;
    const { host } = dialogue.request;
    this.#host = "ip" in host.address ? `${host.name}[${host.address.ip}]:${host.address.port}` : host.name;
  }

  begin(request: TransactRequest, onDone: (transacted: Transacted) => void): void {
    const { now, parts } = this.#dialogue;
    this.#request = request;
    this.#onDone = onDone;
    this.#startedAt = now;
    this.#fates = Array.from<undefined>({ length: request.envelopes.length });
    const isContentFilter = this.#dialogue.request.isContentFilter === true;
    const offer = offerOf(this.#extensions, { host: this.#host }, parts.settings, isContentFilter);
    const commands = commandsOf(request.message, request.envelopes, offer, now);
    if ("cause" in commands) {
      this.#fillRest(commands);
      this.#done(undefined);
      return;
    }
    this.#commands = commands;
    for (const [index, recipient] of commands.recipients.entries())
      if (typeof recipient !== "string") this.#fates[index] = { is: "failed", failure: recipient };
    this.#next(commands, request);
  }

  onReply(reply: Reply): void {
    if (this.#transaction !== undefined) this.#perform(onTransactionReply(this.#transaction, reply, false));
  }

  onEnded(ended: Ended): void {
    if (this.#transaction !== undefined) this.#perform(onTransactionLost(this.#transaction, ended));
  }

  limitMs(): number {
    const { settings } = this.#dialogue.parts;
    const during: During = this.#transaction === undefined ? "idle" : waitingFor(this.#transaction);
    if (during === "DATA") return settings.dataTimeout;
    if (during === "content" || during === "BDAT") return settings.blockTimeout;
    return during === "end of DATA" ? settings.endOfDataTimeout : settings.commandTimeout;
  }

  /** The next transaction, or the end. */
  #next(commands: Commands, request: TransactRequest): void {
    const waiting: number[] = [];
    for (let index = 0; index < this.#fates.length; index++) if (this.#fates[index] === undefined) waiting.push(index);
    if (waiting.length === 0) {
      this.#done(undefined);
      return;
    }
    const { settings } = this.#dialogue.parts;
    const announced = announcedLimits(this.#extensions);
    this.#batch = firstBatch(request.envelopes, waiting, {
      recipients: Math.min(settings.mostRecipients, announced.rcptMax ?? Infinity),
      domains: announced.rcptDomainMax ?? Infinity,
    });
    const isPipelined = offers(this.#extensions, "PIPELINING");
    const hasChunking = offers(this.#extensions, "CHUNKING");
    const by = hasChunking && isPipelined && settings.chunking === "offered" ? "BDAT" : "DATA";
    const [transaction, actions] = beginTransaction({
      host: this.#host,
      mail: commands.mail,
      recipients: this.#batch.flatMap((index) => {
        const command = commands.recipients[index];
        return typeof command === "string" ? [command] : [];
      }),
      isPipelined,
      isLmtp: this.#dialogue.request.protocol === "lmtp",
      by,
      isEager: by === "BDAT" && request.message.sizeBytes <= settings.eagerBody,
      needsReset: this.#needsReset,
      isPlaintext: false,
      mayBeEncrypted: false,
    });
    this.#transaction = transaction;
    this.#presented = 0;
    this.#dialogue.listen(this);
    const { ended } = this.#dialogue;
    if (ended === undefined) this.#perform(actions);
    else this.onEnded(ended);
  }

  /** All that the machine wants at once leaves in one flight. */
  #perform(actions: readonly TransactionAction[]): void {
    const transaction = this.#transaction;
    const request = this.#request;
    if (transaction === undefined || request === undefined) return;
    const bytes = request.message.sizeBytes;
    let text = "";
    for (const action of actions) {
      switch (action.do) {
        case "send":
          text += action.text;
          this.#present(transaction, request, action.text);
          break;
        case "content":
          if (transaction.plan.by === "BDAT") {
            this.#dialogue.send(`${text}BDAT ${bytes} LAST\r\n`, bytes);
            onChunkSent(transaction, true);
          } else {
            this.#dialogue.send(text, bytes, true);
            onContentSent(transaction);
          }
          text = "";
          break;
        case "emptyContent":
          this.#dialogue.send(text, 0, true);
          text = "";
          break;
        case "stopContent":
          break;
        case "over":
          this.#over(transaction, request);
          return;
      }
    }
    if (text !== "") this.#dialogue.send(text);
  }

  #present(transaction: Transaction, request: TransactRequest, text: string): void {
    const { onPresented } = this.#dialogue.parts;
    const many = transaction.plan.isPipelined ? this.#batch.length : text.startsWith("RCPT") ? 1 : 0;
    for (let count = 0; count < many; count++) {
      const index = this.#batch[this.#presented++];
      if (index !== undefined) onPresented(request, index);
    }
  }

  #over(transaction: Transaction, request: TransactRequest): void {
    this.#transaction = undefined;
    this.#transactions++;
    this.#needsReset = transaction.isOpen;
    const wasAccepted = transaction.fates.some((fate) => fate?.is === "accepted");
    for (const [at, index] of this.#batch.entries()) {
      const fate = transaction.fates[at];
      // RFC 5321 section 4.5.3.1.10: those beyond the host's limit follow in a transaction of their own.
      if (wasAccepted && transaction.end === undefined && isBeyond(fate)) continue;
      this.#fates[index] = fate;
    }
    const { ended } = this.#dialogue;
    const end = transaction.end ?? (ended === undefined ? undefined : lostFailure(ended, "idle", this.#host));
    if (end !== undefined) {
      this.#fillRest(end);
      this.#done(end);
      return;
    }
    const limit = announcedLimits(this.#extensions).mailMax;
    if (limit !== undefined && this.#transactions >= limit)
      this.#fillRest(internal("the host takes no more transactions in one session", this.#host));
    if (this.#commands !== undefined) this.#next(this.#commands, request);
  }

  #done(end: Failure | undefined): void {
    const request = this.#request;
    if (request === undefined) return;
    this.#request = undefined;
    const tookMs = this.#dialogue.now - this.#startedAt;
    const relay = this.#host;
    const isFinal = this.#dialogue.request.protocol === "lmtp";
    const dsnPassedOn = this.#commands?.dsnPassedOn ?? false;
    const outcomes = request.envelopes.map((envelope, index): Outcome => {
      const fate = this.#fates[index];
      if (fate?.is !== "accepted") {
        const failure = fate?.failure ?? internal("no fate was told", relay);
        return { kind: "failed", envelope: envelope.id, relay, failure, tookMs };
      }
      const text = replyText(fate.reply);
      const status = fate.reply.status ?? "2.0.0";
      return { kind: "delivered", envelope: envelope.id, relay, text, status, dsnPassedOn, isFinal, tookMs };
    });
    const limit = announcedLimits(this.#extensions).mailMax;
    const isUsable = end === undefined && (limit === undefined || this.#transactions < limit);
    this.#onDone({
      outcomes,
      isUsable,
      ...(end === undefined ? {} : { ended: { failure: end, scope: "address" } as const }),
    });
  }

  #fillRest(failure: Failure): void {
    for (let index = 0; index < this.#fates.length; index++) this.#fates[index] ??= { is: "failed", failure };
  }
}

function isBeyond(fate: Fate | undefined): boolean {
  if (fate?.is !== "failed") return false;
  const { cause, reply } = fate.failure;
  return cause.kind === "reply" && cause.during === "RCPT" && reply !== undefined && isTooMany(reply);
}

function internal(text: string, host: string): Failure {
  return { lasting: "temporary", status: "4.3.0", cause: { kind: "internal", text }, host };
}
