import { isAscii } from "node:buffer";
import type { Clock } from "../../../foundation/clock.ts";
import type { Emit } from "../../../foundation/events.ts";
import { MovingTimer } from "../../../foundation/moving-timer.ts";
import { announcedLimits, offers, sizeLimit, type Extensions } from "../../../protocol/smtp/extensions.ts";
import { lesserNotice } from "../../../protocol/dsn/lesser-notice.ts";
import { replyText, type Reply } from "../../../protocol/smtp/reply.ts";
import { formatXforward } from "../../../protocol/smtp/xforward.ts";
import type { TlsFacts } from "../../../service/tls/facts.ts";
import type { Message } from "../../envelope/envelope.ts";
import type { Failure } from "../../envelope/failure.ts";
import type {
  ConnectRequest,
  Outcome,
  RecipientTrial,
  RecipientTried,
  SessionFacts,
  SessionTls,
  Transacted,
  TransactRequest,
} from "../delivery.ts";
import type { SmtpClientSettings } from "../settings.ts";
import type { TlsVariant } from "../tls-policy/demand.ts";
import { ContentScan, type ContentNeeds } from "./content-needs.ts";
import * as events from "./events.ts";
import { isTooMany, lostFailure } from "./failures.ts";
import { asBuffer } from "./outgoing-content.ts";
import { commandsOf, firstBatch, needsScan, offerOf, type Commands, type Offer } from "./requirements.ts";
import { runTransaction, type Content } from "./run-transaction.io.ts";
import type { Fate, Transaction } from "./transaction.ts";
import type { Wire } from "./wire.io.ts";

export interface ClientSessionParts {
  readonly clock: Clock;
  readonly emit: Emit;
  readonly settings: SmtpClientSettings;
}

/** A session that is ready for mail, or resting between transactions. */
export class ClientSession {
  readonly request: ConnectRequest;
  readonly facts: SessionFacts;
  readonly #parts: ClientSessionParts;
  readonly #wire: Wire;
  readonly #extensions: Extensions;
  readonly #offer: Offer;
  #needsReset = false;
  #transactions = 0;
  readonly #idle: MovingTimer;
  #isBusy = false;
  /** QUIT has been said, or need not be: settles when the connection has its end, or all that is waited for of it. */
  #left: Promise<void> | undefined;

  constructor(
    request: ConnectRequest,
    wire: Wire,
    extensions: Extensions,
    facts: SessionFacts,
    parts: ClientSessionParts,
  ) {
    this.request = request;
    this.facts = facts;
    this.#parts = parts;
    this.#idle = new MovingTimer(parts.clock, () => void this.leave());
    this.#wire = wire;
    this.#offer = offerOf(extensions, facts, parts.settings, request.isContentFilter === true);
    this.#extensions = this.#offer.extensions;
    this.#rest();
  }

  /** It takes no more transactions. */
  get hasEnded(): boolean {
    return this.#left !== undefined || this.#wire.ended !== undefined;
  }

  /** As what mail fails that is handed to a session which has ended: it was not tried, and goes to another one. */
  get lost(): Failure {
    const { reason = "closed", text = "" } = this.#wire.ended ?? {};
    // Whatever was said between two mails, it is over with that session.
    return lostFailure({ reason: reason === "protocol" ? "other" : reason, text }, "idle", this.facts.host);
  }

  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** One message to all its recipients, in as many transactions as limits ask for. */
  async transact(request: TransactRequest, stored: Content): Promise<Transacted> {
    const startedAt = this.#parts.clock.monotonicMs();
    this.#isBusy = true;
    this.#idle.clear();
    const { envelopes } = request;
    let { message } = request;
    let content = stored;
    const fates: (Fate | undefined)[] = Array.from<undefined>({ length: envelopes.length });
    let needs: ContentNeeds | undefined;
    let end: Failure | undefined;
    let dsnPassedOn = false;
    if (needsScan(message, this.#offer)) {
      const scanned = await scan(content);
      if (scanned.ok) needs = scanned.needs;
      else fillRest(fates, internalFailure(scanned.text, this.facts.host));
    }
    const now = this.#parts.clock.now();
    let commands = commandsOf(message, envelopes, this.#offer, now, needs);
    for (let before: NoticeLacks | undefined; "cause" in commands;) {
      const lacking = lackingForNotice(request.message, commands);
      if (lacking === undefined || lacking === before) break;
      // Of what is stored each time: in ASCII all of it may be too large, and what is small enough is without the message.
      const lesser = await lesserOf(request.message, stored, lacking);
      if (lesser === undefined) break;
      before = lacking;
      ({ message, content } = lesser);
      commands = commandsOf(message, envelopes, this.#offer, now);
    }
    if ("cause" in commands) fillRest(fates, commands);
    else {
      dsnPassedOn = commands.dsnPassedOn;
      for (const [index, recipient] of commands.recipients.entries())
        if (typeof recipient !== "string") fates[index] ??= { is: "failed", failure: recipient };
      end = await this.#runAll({ ...request, message }, commands, fates, content);
    }
    const tookMs = this.#parts.clock.monotonicMs() - startedAt;
    const outcomes = envelopes.map((envelope, index) => this.#outcome(envelope.id, fates[index], dsnPassedOn, tookMs));
    const limit = this.facts.mostTransactions;
    this.#isBusy = false;
    const isUsable = end === undefined && !this.hasEnded && (limit === undefined || this.#transactions < limit);
    if (isUsable) this.#rest();
    else if (end !== undefined) this.#cut();
    else await this.leave();
    return {
      outcomes,
      isUsable,
      ...(end === undefined ? {} : { ended: { failure: end, scope: "address" } as const }),
    };
  }

  /** Whether it would take mail for an address. Not for a session that carries mail: it is left afterwards. */
  async tryRecipient({ from, recipient }: RecipientTrial): Promise<RecipientTried> {
    const { commandTimeout } = this.#parts.settings;
    const isInternational = /[^\x00-\x7f]/.test(from + recipient);
    if (isInternational && !offers(this.#extensions, "SMTPUTF8"))
      return { kind: "failed", text: `${this.facts.host} takes no international addresses` };
    this.#isBusy = true;
    this.#idle.clear();
    const { host } = this.facts;
    const mail = await this.#say(`MAIL FROM:<${from}>${isInternational ? " SMTPUTF8" : ""}`, "MAIL", commandTimeout);
    const isOpen = mail !== undefined && mail.code < 300;
    const rcpt = isOpen ? await this.#say(`RCPT TO:<${recipient}>`, "RCPT", commandTimeout) : undefined;
    this.#isBusy = false;
    if (mail !== undefined && !isOpen) return { kind: "answered", to: "MAIL", reply: mail, host };
    if (rcpt !== undefined) return { kind: "answered", to: "RCPT", reply: rcpt, host };
    return { kind: "failed", text: `${host}: ${this.#wire.ended?.text ?? "no answer"}` };
  }

  /** One command and its reply; undefined when the connection has ended. */
  #say(command: string, during: "MAIL" | "RCPT", limitMs: number): Promise<Reply | undefined> {
    if (this.#wire.ended !== undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#wire.listener = { onReply: resolve, onEnded: () => resolve(undefined) };
      this.#wire.during = during;
      this.#wire.deadline(limitMs, `answer to ${during}`);
      this.#wire.write(`${command}\r\n`);
    });
  }

  /**
   * QUIT, its answer, and the end of the connection, within the deadline. In the middle of a transaction the connection
   * is cut: the transaction ends as a temporary failure.
   */
  leave(): Promise<void> {
    if (this.#left !== undefined) return this.#left;
    if (this.#isBusy) {
      this.#wire.end({ reason: "closed", text: "we are leaving" });
      return Promise.resolve();
    }
    this.#left = this.#quit();
    return this.#left;
  }

  async #quit(): Promise<void> {
    this.#idle.stop();
    const { quitTimeout } = this.#parts.settings;
    if (this.#wire.ended === undefined) {
      await new Promise<void>((resolve) => {
        this.#wire.listener = { onReply: () => resolve(), onEnded: () => resolve() };
        this.#wire.during = "QUIT";
        this.#wire.deadline(quitTimeout, "answer to QUIT");
        this.#wire.write("QUIT\r\n");
      });
    }
    await this.#wire.close(quitTimeout);
  }

  async #runAll(
    request: TransactRequest,
    commands: Commands,
    fates: (Fate | undefined)[],
    content: Content,
  ): Promise<Failure | undefined> {
    const announced = announcedLimits(this.#extensions);
    const limits = {
      // How many go to a filter together the scheduler says.
      recipients: Math.min(
        this.request.isContentFilter === true ? Infinity : this.#parts.settings.mostRecipients,
        announced.rcptMax ?? Infinity,
      ),
      domains: announced.rcptDomainMax ?? Infinity,
    };
    for (;;) {
      const waiting = fates.flatMap((fate, index) => (fate === undefined ? [index] : []));
      if (waiting.length === 0) return undefined;
      const batch = firstBatch(request.envelopes, waiting, limits);
      const transaction = await this.#run(request.message, commands, batch, content);
      this.#transactions++;
      this.#needsReset = transaction.isOpen;
      const wasAccepted = transaction.fates.some((fate) => fate?.is === "accepted");
      for (const [at, index] of batch.entries()) {
        const fate = transaction.fates[at];
        // RFC 5321 section 4.5.3.1.10: those beyond the host's limit go in a transaction of their own, at once; each
        // round delivers at least one, so there is an end to it.
        if (wasAccepted && transaction.end === undefined && isRefusedAsTooMany(fate)) continue;
        fates[index] = fate;
      }
      if (transaction.end !== undefined || this.hasEnded) {
        // Those of later transactions were not asked for: what ended this one is nothing about them.
        fillRest(fates, this.lost);
        return transaction.end ?? this.lost;
      }
      const limit = this.facts.mostTransactions;
      if (limit !== undefined && this.#transactions >= limit)
        fillRest(fates, internalFailure("the host takes no more transactions in one session", this.facts.host));
    }
  }

  #run(message: Message, commands: Commands, batch: readonly number[], content: Content): Promise<Transaction> {
    const { settings } = this.#parts;
    const hasChunking = offers(this.#extensions, "CHUNKING");
    const isPipelined = offers(this.#extensions, "PIPELINING");
    const by = commands.isBinary || (hasChunking && isPipelined && settings.chunking === "offered") ? "BDAT" : "DATA";
    const plan = {
      host: this.facts.host,
      before: this.#toldOf(message),
      mail: commands.mail,
      recipients: batch.flatMap((index) => {
        const command = commands.recipients[index];
        // Those that can have no command have their fate already and are in no batch.
        return typeof command === "string" ? [command] : [];
      }),
      isPipelined,
      isLmtp: this.request.protocol === "lmtp",
      by,
      isEager: by === "BDAT" && isPipelined && typeof content !== "function" && content.length <= settings.eagerBody,
      needsReset: this.#needsReset,
      isPlaintext: this.facts.tls === undefined,
      mayBeEncrypted:
        this.facts.tls === undefined && (this.#offer.mayOfferMore || offers(this.#extensions, "STARTTLS")),
    } as const;
    return runTransaction(this.#wire, plan, content, commands.isBinary, this.#parts);
  }

  /** Who gave us the mail, where the host is to know and wants to. */
  #toldOf({ id, origin }: Message): readonly string[] {
    const offered = this.request.xforward === true ? this.#extensions.keywords.get("XFORWARD") : undefined;
    if (offered === undefined) return [];
    const { clientName: name, address, port, protocol, helo, account } = origin;
    return formatXforward(origin.forwarded ?? { name, address, port, protocol, helo, account }, id, offered);
  }

  /** Between transactions: nobody may say anything but goodbye, and not for ever. */
  #rest(): void {
    const { settings } = this.#parts;
    this.#wire.noDeadline();
    this.#wire.during = "idle";
    this.#wire.listener = {
      onReply: (reply) => this.#onIdleReply(reply),
      onEnded: (ended) => this.#onIdleEnd(ended.text),
    };
    this.#idle.set(settings.idleTimeout);
    const { ended } = this.#wire;
    if (ended !== undefined) this.#onIdleEnd(ended.text);
  }

  #onIdleReply(reply: Reply): void {
    this.#wire.end({ reason: "closed", text: replyText(reply) });
  }

  #onIdleEnd(how: string): void {
    this.#idle.stop();
    if (!this.#isBusy)
      this.#parts.emit(events.closedIdle, {
        session: this.request.session,
        protocol: this.request.protocol,
        host: this.facts.host,
        how,
      });
  }

  #cut(): void {
    this.#idle.stop();
    // In the middle of content there is no goodbye that the host would understand as one.
    this.#wire.listener = { onReply: () => {}, onEnded: () => {} };
    this.#wire.end({ reason: "closed", text: "cut" });
  }

  #outcome(envelope: string, fate: Fate | undefined, dsnPassedOn: boolean, tookMs: number): Outcome {
    const relay = this.facts.host;
    if (fate?.is !== "accepted") {
      const failure = fate?.failure ?? internalFailure("no fate was told", relay);
      return { kind: "failed", envelope, relay, failure, tookMs };
    }
    const status = fate.reply.status ?? "2.0.0";
    // From a filter it comes back: nobody has it yet.
    const isFinal = this.request.protocol === "lmtp" && this.request.isContentFilter !== true;
    return { kind: "delivered", envelope, relay, text: replyText(fate.reply), status, dsnPassedOn, isFinal, tookMs };
  }
}

/** What `connect` says of a session. */
export function factsOf(
  host: string,
  extensions: Extensions,
  security: Pick<SessionFacts, "tls" | "tlsRule" | "plaintextBecause" | "mayOfferMore">,
): SessionFacts {
  const limits = announcedLimits(extensions);
  return {
    host,
    extensions: [...extensions.keywords.keys()],
    ...security,
    mostRecipients: limits.rcptMax,
    mostDomains: limits.rcptDomainMax,
    mostTransactions: limits.mailMax,
    sizeLimitBytes: sizeLimit(extensions),
  };
}

/** What of a connection's facts is told of its session. */
export function sessionTls(facts: TlsFacts, variant: TlsVariant | undefined): SessionTls {
  const { version, cipher, bits, group, isResumed, serverName, verdict } = facts;
  return { version, cipher, bits, group, isResumed, serverName, verdict, variant };
}

async function scan(
  content: Content,
): Promise<{ readonly ok: true; readonly needs: ContentNeeds } | { readonly ok: false; readonly text: string }> {
  const scanner = new ContentScan();
  try {
    if (typeof content !== "function") scanner.push(asBuffer(content));
    else for await (const chunk of content()) scanner.push(asBuffer(chunk));
    return { ok: true, needs: scanner.end() };
  } catch (thrown) {
    return { ok: false, text: `the content could not be read: ${String(thrown)}` };
  }
}

type NoticeLacks = "8BITMIME" | "SIZE";

/** What a host lacks for a notice of ours that can do without: nobody would be told that it went nowhere. */
function lackingForNotice({ sender, origin }: Message, { cause }: Failure): NoticeLacks | undefined {
  const isNotice = sender === "" && origin.listener === "bounce" && origin.protocol === "local";
  if (!isNotice || cause.kind !== "unsupported") return undefined;
  return cause.extension === "8BITMIME" || cause.extension === "SIZE" ? cause.extension : undefined;
}

async function lesserOf(
  message: Message,
  content: Content,
  lacking: NoticeLacks,
): Promise<{ readonly message: Message; readonly content: Buffer } | undefined> {
  try {
    const chunks: Uint8Array[] = [];
    if (typeof content !== "function") chunks.push(content);
    else for await (const chunk of content()) chunks.push(chunk);
    const lesser = lesserNotice(Buffer.concat(chunks), lacking);
    const needs = lesser === undefined || isAscii(lesser) ? "7bit" : "8bit";
    return lesser && { message: { ...message, content: needs, sizeBytes: lesser.length }, content: lesser };
  } catch {
    // What cannot be read fails as what it is when it is sent.
    return undefined;
  }
}

function isRefusedAsTooMany(fate: Fate | undefined): boolean {
  if (fate?.is !== "failed") return false;
  const { cause, reply } = fate.failure;
  return cause.kind === "reply" && cause.during === "RCPT" && reply !== undefined && isTooMany(reply);
}

function fillRest(fates: (Fate | undefined)[], failure: Failure): void {
  for (let index = 0; index < fates.length; index++) fates[index] ??= { is: "failed", failure };
}

function internalFailure(text: string, host: string): Failure {
  return { lasting: "temporary", status: "4.3.0", cause: { kind: "internal", text }, host };
}
