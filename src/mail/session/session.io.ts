import type { Socket } from "node:net";
import type { Clock, Timer } from "../../foundation/clock.ts";
import { DeadlinePassed } from "../../foundation/deadline.ts";
import { messageOf, PosthornError } from "../../foundation/error.ts";
import type { Emit } from "../../foundation/events.ts";
import type { MessageId } from "../../foundation/ids.ts";
import { parseCommand } from "../../protocol/smtp/command.ts";
import { LineReceiver, type LineEvent } from "../../protocol/smtp/line-receiver.ts";
import { formatReply } from "../../protocol/smtp/reply-format.ts";
import type { Authenticator } from "../../service/account/authenticator.ts";
import type { EnvelopePolicy } from "../envelope/policy.ts";
import type { Intake, QueuePort } from "../queue/queue.ts";
import type { Allowance } from "./allowance.ts";
import { IncomingContent } from "./incoming-content.ts";
import { replies } from "./replies.ts";
import type { TlsAcceptor } from "./server-tls.io.ts";
import { newSession, step } from "./session.ts";
import type { Action, Content, Input, Opening, Peer, Session, Terms, TlsFacts, World } from "./state.ts";
import { Tally } from "./tally.ts";

/**
 * The driver of one session: reads the socket, feeds the receivers, gives inputs to the machine and obeys its actions.
 *
 * While a question is open (rules, password, commit, a body writer that is behind) nothing more is read from the client
 * and what has arrived already waits. Replies are collected and leave in one write when nothing more can be answered
 * without waiting, so a group of pipelined commands costs one write. One timer a session serves all deadlines: it is set
 * once and looks at the deadline in force when it fires.
 */
export interface SessionServices {
  readonly clock: Clock;
  readonly emit: Emit;
  readonly newMessageId: () => MessageId;
  readonly intake: Intake;
  readonly queue: QueuePort;
  readonly policy: EnvelopePolicy;
  readonly authenticator: Authenticator | undefined;
  readonly tls: TlsAcceptor;
}

export interface SessionOptions {
  readonly socket: Socket;
  readonly terms: Terms;
  readonly peer: Peer;
  /** Implicit TLS is up. */
  readonly tls?: TlsFacts | undefined;
  readonly allowance: Allowance;
  readonly services: SessionServices;
  /** What the client sent before it was greeted. */
  readonly early?: Buffer | undefined;
  /** The session is over and its socket closed. */
  readonly onEnd: (summary: SessionSummary) => void;
}

export interface SessionSummary {
  /** As the session knew it in the end: XCLIENT may have changed it. */
  readonly peer: Peer;
  /** `ehlo=1 mail=1 … commands=5` */
  readonly commands: string;
}

export interface RunningSession {
  /** No new transaction; an idle session ends at once with 421, others when their transaction is done. */
  stop(): void;
  /** At once, without a word. */
  destroy(): void;
}

/** RFC 4954 section 4: the longest line of an AUTH exchange. */
const LONGEST_AUTH_LINE = 12_288;
/** How long we wait for the client to close after our last reply. */
const LINGER_MS = 5000;

type Mode = "commands" | "data" | "chunk" | "handshake" | "ended";

export function runSession(options: SessionOptions): RunningSession {
  return new SessionDriver(options);
}

class SessionDriver implements RunningSession {
  readonly #options: SessionOptions;
  readonly #services: SessionServices;
  readonly #terms: Terms;
  readonly #world: World;
  readonly #lines: LineReceiver;
  readonly #tally = new Tally();
  readonly #startedAt: number;
  #socket: Socket;
  #session: Session;
  #mode: Mode = "commands";
  #out: Buffer[] = [];
  /** The command whose final reply is still to come, for the tally. */
  #verb: string | undefined;
  #content: IncomingContent | undefined;
  /** The chunk is refused already: so many octets of it are still to be swallowed. */
  #swallowBytes: number | undefined;
  #isLastChunk = false;
  /** A question is open; its number, so that an answer after the deadline is not taken for another's. */
  #question = 0;
  #isBusy = false;
  /** What to say when the open question's deadline passes. */
  #onUnanswered: (() => void) | undefined;
  /** Our replies are not being taken. */
  #isBlocked = false;
  #isFirst = true;
  /** The client will send nothing more, and why. */
  #goneBecause: string | undefined;
  #isSocketClosed = false;
  #isOver = false;
  #timer: Timer | undefined;
  #timerAt = Infinity;
  #deadlineAt = Infinity;
  #deadlineFor = "command";
  #contentStartedAt = 0;
  #busySince = 0;
  /** Time that the client lost to us while it sent content. */
  #contentWaitedMs = 0;

  constructor(options: SessionOptions) {
    const { terms, services } = options;
    this.#options = options;
    this.#services = services;
    this.#terms = terms;
    this.#socket = options.socket;
    this.#session = newSession(options.peer, options.tls);
    this.#startedAt = services.clock.monotonicMs();
    const line = terms.auth === "off" ? 0 : LONGEST_AUTH_LINE;
    this.#lines = new LineReceiver(Math.max(terms.settings.commandLine, line) - 2);
    this.#world = {
      terms,
      allowance: options.allowance,
      now: () => services.clock.now(),
      offsetMinutes,
      shortage: () => services.intake.shortage(),
      newMessageId: services.newMessageId,
    };
    this.#attach(options.socket);
    if (options.early !== undefined) {
      this.#isFirst = false;
      this.#step({ kind: isTlsHello(options.early) ? "tls-hello" : "spoke-too-soon" });
    } else this.#step({ kind: "begin" });
    this.#run(true);
  }

  stop(): void {
    if (this.#isOver) return;
    this.#step({ kind: "stop" });
    if (!this.#isBusy) this.#flush();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  // The socket.

  #attach(socket: Socket): void {
    this.#socket = socket;
    socket.on("data", this.#onData);
    socket.on("drain", this.#onDrain);
    socket.on("end", this.#onFin);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
    // It may have been paused on its way to us, and may have ended before anybody listened.
    socket.resume();
    if (socket.readableEnded) this.#goneBecause ??= "closed by the client";
  }

  #detach(): void {
    const socket = this.#socket;
    socket.pause();
    socket.off("data", this.#onData);
    socket.off("drain", this.#onDrain);
    socket.off("end", this.#onFin);
    socket.off("close", this.#onClose);
  }

  readonly #onData = (bytes: Buffer): void => {
    if (this.#mode === "ended") return;
    if (this.#isFirst) {
      this.#isFirst = false;
      if (isTlsHello(bytes) && this.#session.facts.tls === undefined) {
        this.#step({ kind: "tls-hello" });
        return this.#flush();
      }
    }
    this.#lines.push(bytes);
    if (this.#isBusy || this.#isBlocked) this.#socket.pause();
    else this.#run(false);
  };

  readonly #onDrain = (): void => {
    this.#isBlocked = false;
    if (this.#isBusy) return;
    this.#socket.resume();
    this.#run(true);
  };

  readonly #onFin = (): void => {
    this.#goneBecause ??= "closed by the client";
    if (!this.#isBusy) this.#run(false);
  };

  readonly #onError = (error: Error): void => {
    this.#goneBecause ??= messageOf(error);
  };

  readonly #onClose = (): void => {
    this.#isSocketClosed = true;
    this.#goneBecause ??= "closed";
    if (!this.#isBusy && this.#mode !== "ended") this.#step({ kind: "lost", reason: this.#goneBecause });
    this.#finishIfOver();
  };

  // The work.

  /** Goes through what has arrived until it is used up or something must be waited for. */
  #run(hasProgressed: boolean): void {
    let isFresh = hasProgressed;
    while (!this.#isBusy && !this.#isBlocked) {
      if (this.#mode === "commands") {
        const event = this.#lines.next();
        if (event === undefined) break;
        isFresh = true;
        this.#onLine(event);
      } else if (this.#mode === "data" || this.#mode === "chunk") {
        if (!this.#onContent()) break;
        isFresh = true;
      } else break;
    }
    if (this.#isBusy) return;
    this.#flush();
    if (this.#mode === "ended") return;
    if (this.#goneBecause !== undefined && !this.#isBlocked) {
      this.#step({ kind: "lost", reason: this.#goneBecause });
      return;
    }
    // The deadline of a command is for the whole line: a client that sends it byte by byte gains nothing.
    if (isFresh && this.#mode === "commands") this.#expectCommand();
  }

  #onLine(event: LineEvent): void {
    if (event.kind === "too-long") return this.#step({ kind: "line-too-long" });
    if (event.kind === "bare" && this.#terms.bareLineEnds === "reject") return this.#step({ kind: "bare-line-end" });
    // A bare CR that is normalised may have had its LF swallowed already; an empty line is then no command.
    if (event.kind === "bare" && event.bytes.length === 0) return undefined;
    // The receiver's limit leaves room for AUTH; other commands have the setting's.
    if (event.bytes.length > this.#terms.settings.commandLine - 2 && !this.#mayBeLong(event.bytes))
      return this.#step({ kind: "line-too-long" });
    const isMoreBehind = this.#lines.heldBytes > 0;
    if (this.#session.phase.at === "authenticating")
      return this.#step({ kind: "response", line: event.bytes.toString("latin1"), isMoreBehind });
    const parsed = parseCommand(event.bytes);
    const verb = parsed.ok ? parsed.value.verb : parsed.problem.verb;
    this.#verb = verb;
    if (!parsed.ok) return this.#step({ kind: "malformed", problem: parsed.problem });
    return this.#step({ kind: "command", command: parsed.value, isMoreBehind });
  }

  #mayBeLong(line: Buffer): boolean {
    return this.#session.phase.at === "authenticating" || /^auth[ \t]/i.test(line.toString("latin1", 0, 5));
  }

  /** Takes what has arrived of the content; false when there was nothing. */
  #onContent(): boolean {
    const bytes = this.#lines.takeRest();
    if (this.#swallowBytes !== undefined) return this.#swallow(bytes, this.#swallowBytes);
    const content = this.#content;
    if (content === undefined || bytes.length === 0) return false;
    const { rest, written } = this.#mode === "data" ? content.pushData(bytes) : content.pushChunk(bytes);
    if (rest !== undefined && rest.length > 0) this.#lines.push(rest);
    if (written !== undefined)
      this.#wait(
        written.catch(() => content.refuse("storage")),
        () => this.#passed(rest),
      );
    else this.#passed(rest);
    return true;
  }

  /** A piece of content is where it belongs; `rest` is set when it was the last. */
  #passed(rest: Buffer | undefined): void {
    const content = this.#content;
    if (content === undefined) return;
    if (rest === undefined) {
      if (this.#mode === "data" && content.isHopeless) this.#step({ kind: "content-hopeless" });
      else this.#expectContent();
    } else if (this.#mode === "data" || this.#isLastChunk) {
      this.#mode = "commands";
      this.#ask(content.end(), (found) => this.#step({ kind: "content-ended", content: found }), {
        failed: () => this.#step({ kind: "content-ended", content: nothingKept(content) }),
        limitMs: this.#terms.settings.commitTimeout,
        what: "storage",
      });
    } else {
      this.#mode = "commands";
      this.#step({ kind: "chunk-ended" });
    }
  }

  #swallow(bytes: Buffer, missingBytes: number): boolean {
    const taken = Math.min(bytes.length, missingBytes);
    if (taken < bytes.length) this.#lines.push(bytes.subarray(taken));
    if (taken < missingBytes) {
      this.#swallowBytes = missingBytes - taken;
      this.#expectContent();
      return taken > 0;
    }
    this.#swallowBytes = undefined;
    this.#mode = "commands";
    this.#step({ kind: "chunk-ended" });
    return true;
  }

  #step(input: Input): void {
    const [next, actions] = step(this.#world, this.#session, input);
    this.#session = next;
    for (const action of actions) this.#perform(action);
  }

  #perform(action: Action): void {
    switch (action.do) {
      case "reply":
        this.#reply(action.reply);
        break;
      case "tell":
        action.tell(this.#services.emit);
        break;
      case "judge":
        this.#judge(action);
        break;
      case "check":
        this.#check(action);
        break;
      case "receiveData":
        this.#open(action.opening);
        this.#mode = "data";
        this.#beginContent();
        break;
      case "receiveChunk":
        this.#receiveChunk(action);
        break;
      case "commit":
        this.#commit(action);
        break;
      case "abandon":
        this.#abandon();
        break;
      case "startTls":
        this.#startTls();
        break;
      case "close":
        this.#close();
        break;
    }
  }

  #reply(reply: Extract<Action, { do: "reply" }>["reply"]): void {
    const isFinal = reply.code < 300 || reply.code >= 400;
    if (isFinal && this.#verb !== undefined) {
      this.#tally.record(this.#verb, reply.code < 400);
      this.#verb = undefined;
    }
    if (this.#isSocketClosed) return;
    const { phase } = this.#session;
    const isInternational = phase.at === "transaction" && phase.transaction.parameters.isInternational === true;
    this.#out.push(formatReply(reply, isInternational));
  }

  #flush(): void {
    const [first, ...others] = this.#out;
    if (first === undefined) return;
    this.#out = [];
    if (this.#socket.writable && !this.#socket.write(others.length === 0 ? first : Buffer.concat([first, ...others])))
      this.#onFullPipe();
  }

  #onFullPipe(): void {
    if (this.#mode === "ended") return;
    this.#isBlocked = true;
    this.#socket.pause();
    this.#expect(this.#terms.settings.replyTimeout, "reply");
  }

  // Content.

  #open(opening: Opening): void {
    this.#content ??= new IncomingContent(opening, this.#terms, this.#services.intake.begin(opening.message));
  }

  #beginContent(): void {
    this.#contentStartedAt = this.#services.clock.monotonicMs();
    this.#contentWaitedMs = 0;
    this.#expectContent();
  }

  #receiveChunk(action: Extract<Action, { do: "receiveChunk" }>): void {
    this.#mode = "chunk";
    this.#isLastChunk = action.isLast;
    this.#beginContent();
    if (action.opening === undefined) {
      this.#swallowBytes = action.sizeBytes;
      // Nothing more comes of an empty chunk, so nothing would bring us to its end.
      if (action.sizeBytes === 0) this.#swallow(Buffer.alloc(0), 0);
      return;
    }
    this.#open(action.opening);
    this.#content?.beginChunk(action.sizeBytes);
    if (action.sizeBytes === 0) this.#passed(Buffer.alloc(0));
  }

  #abandon(): void {
    const content = this.#content;
    this.#content = undefined;
    // Nothing hangs on it: what cannot be removed now is swept at the next start.
    content?.writer.abort().catch(() => {});
  }

  #commit(action: Extract<Action, { do: "commit" }>): void {
    const content = this.#content;
    this.#content = undefined;
    if (content === undefined) return this.#step({ kind: "not-committed", isFull: false, reason: "no content" });
    const { queue } = this.#services;
    const { writer } = content;
    const done = writer
      .finish()
      .then((body) => queue.commit({ message: action.message, body, envelopes: action.envelopes }));
    this.#ask(done, () => this.#step({ kind: "committed" }), {
      failed: (because) => {
        writer.abort(because).catch(() => {});
        const isFull = because instanceof PosthornError && because.code === "SPOOL_FULL";
        this.#step({ kind: "not-committed", isFull, reason: messageOf(because) });
      },
      limitMs: this.#terms.settings.commitTimeout,
      what: "commit",
    });
  }

  // Questions.

  #judge({ facts, recipient }: Extract<Action, { do: "judge" }>): void {
    this.#ask(
      Promise.try(() => this.#services.policy.judgeRecipient(facts, recipient)),
      (judgement) => this.#step({ kind: "judged", judgement }),
      {
        failed: (because) => {
          const judgement = { kind: "reject", reply: replies.policyUnavailable, because: messageOf(because) } as const;
          this.#step({ kind: "judged", judgement });
        },
        limitMs: this.#terms.settings.questionTimeout,
        what: "rules",
      },
    );
  }

  #check({ user, password }: Extract<Action, { do: "check" }>): void {
    const { authenticator } = this.#services;
    const none = { kind: "failed", text: "no accounts are set" } as const;
    this.#ask(
      Promise.try(() => authenticator?.checkPassword(user, password) ?? none),
      (verdict) => this.#step({ kind: "password-checked", verdict }),
      {
        failed: (because) =>
          this.#step({ kind: "password-checked", verdict: { kind: "failed", text: messageOf(because) } }),
        limitMs: this.#terms.settings.questionTimeout,
        what: "password check",
      },
    );
  }

  /** Waits for an answer, with a deadline; exactly one of the two functions is called, and then the work goes on. */
  #ask<Answer>(
    answer: Promise<Answer>,
    onAnswer: (answer: Answer) => void,
    otherwise: { readonly failed: (because: unknown) => void; readonly limitMs: number; readonly what: string },
  ): void {
    const question = ++this.#question;
    this.#isBusy = true;
    this.#busySince = this.#services.clock.monotonicMs();
    const settle = (act: () => void): void => {
      if (question !== this.#question || !this.#isBusy) return;
      this.#isBusy = false;
      this.#onUnanswered = undefined;
      this.#contentWaitedMs += this.#services.clock.monotonicMs() - this.#busySince;
      act();
      if (!this.#isBusy) this.#goOn();
    };
    this.#onUnanswered = () => settle(() => otherwise.failed(new DeadlinePassed(otherwise.what, otherwise.limitMs)));
    this.#expect(otherwise.limitMs, otherwise.what);
    answer.then(
      (value) => settle(() => onAnswer(value)),
      (because: unknown) => settle(() => otherwise.failed(because)),
    );
  }

  /** Waits for the body writer; its own deadlines end the wait, and ours behind them. */
  #wait(written: Promise<void>, onWritten: () => void): void {
    this.#ask(written, onWritten, {
      failed: () => {
        this.#content?.refuse("storage");
        onWritten();
      },
      limitMs: this.#terms.settings.commitTimeout,
      what: "storage",
    });
  }

  /** An answer has come: on with what waited, and with reading. */
  #goOn(): void {
    this.#run(true);
    if (this.#isBusy || this.#isBlocked) return;
    if (this.#isSocketClosed) this.#finishIfOver();
    else if (this.#mode !== "handshake") this.#socket.resume();
  }

  // TLS.

  #startTls(): void {
    const socket = this.#socket;
    this.#mode = "handshake";
    this.#flush();
    this.#detach();
    // The acceptor has its own deadline and settles in any case.
    this.#disarm();
    void this.#services.tls.accept(socket, this.#terms.settings.handshakeTimeout).then((outcome) => {
      this.#isBlocked = false;
      if (outcome.ok) {
        this.#mode = "commands";
        this.#attach(outcome.socket);
        this.#step({ kind: "tls-started", tls: outcome.facts, tookMs: Math.round(outcome.tookMs) });
        this.#expectCommand();
      } else {
        this.#isSocketClosed = true;
        this.#step({ kind: "tls-failed", reason: outcome.reason });
      }
      this.#finishIfOver();
    });
  }

  // The end.

  #close(): void {
    this.#mode = "ended";
    if (this.#isSocketClosed) return this.#finishIfOver();
    this.#flush();
    // What the client still sends is read and dropped for a while: closing with bytes unread would reset the connection,
    // and our last reply could be lost with it.
    this.#socket.end();
    this.#socket.resume();
    this.#expect(LINGER_MS, "close");
  }

  #finishIfOver(): void {
    if (this.#isOver || !this.#isSocketClosed || this.#isBusy) return;
    if (this.#mode !== "ended") {
      this.#step({ kind: "lost", reason: this.#goneBecause ?? "closed" });
      return;
    }
    this.#isOver = true;
    this.#disarm();
    this.#options.onEnd({ peer: this.#session.facts.peer, commands: this.#tally.text() });
  }

  // Deadlines.

  #expectCommand(): void {
    const { settings } = this.#terms;
    const now = this.#services.clock.monotonicMs();
    const leftMs = Math.max(0, this.#startedAt + settings.sessionTimeout - now);
    if (leftMs < settings.commandTimeout) this.#expect(leftMs, "session");
    else this.#expect(settings.commandTimeout, "command");
  }

  /** Silence has its limit, and so has slowness: each byte buys its share of time at the slowest rate. */
  #expectContent(): void {
    const { settings } = this.#terms;
    const now = this.#services.clock.monotonicMs();
    const silentAt = now + settings.dataTimeout;
    const bytes = this.#content?.facts.bytes ?? 0;
    const slowAt =
      settings.slowestRate === 0
        ? Infinity
        : this.#contentStartedAt + this.#contentWaitedMs + settings.slowGrace + (bytes / settings.slowestRate) * 1000;
    if (slowAt < silentAt) this.#expect(slowAt - now, "content, too slow");
    else this.#expect(settings.dataTimeout, "content");
  }

  #expect(limitMs: number, what: string): void {
    this.#deadlineAt = this.#services.clock.monotonicMs() + limitMs;
    this.#deadlineFor = what;
    // The timer in force fires early enough, and then sees the new deadline.
    if (this.#timerAt <= this.#deadlineAt) return;
    this.#arm(limitMs);
  }

  #arm(delayMs: number): void {
    this.#timer?.cancel();
    this.#timerAt = this.#services.clock.monotonicMs() + delayMs;
    this.#timer = this.#services.clock.after(delayMs, this.#onTimer);
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = Infinity;
    this.#deadlineAt = Infinity;
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#timerAt = Infinity;
    const leftMs = this.#deadlineAt - this.#services.clock.monotonicMs();
    if (leftMs === Infinity) return;
    // Timers may fire a moment early.
    if (leftMs > 1) return this.#arm(leftMs);
    if (this.#isBusy) return this.#onUnanswered?.();
    if (this.#mode === "ended") return void this.#socket.destroy();
    const reason = this.#deadlineFor;
    this.#step({ kind: "timeout", reason });
    // Somebody who does not take our replies will not take this one.
    if (reason === "reply") this.#socket.destroy();
  };
}

/** What is known of content that the queue could not take. */
function nothingKept(content: IncomingContent): Content {
  return { facts: content.facts, storedBytes: 0, hops: 0, refusal: "storage" };
}

/** A TLS record of a handshake (RFC 8446 section 5.1): type 22, major version 3. */
function isTlsHello(bytes: Buffer): boolean {
  return bytes[0] === 0x16 && (bytes.length < 2 || bytes[1] === 0x03);
}

function offsetMinutes(): number {
  return -new Date().getTimezoneOffset();
}
