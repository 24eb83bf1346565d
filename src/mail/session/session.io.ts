import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { unreachable } from "../../foundation/assert.ts";
import { messageOf } from "../../foundation/error.ts";
import type { TlsConnection } from "../../service/tls/tls.ts";
import { DialogueTrace } from "../../protocol/smtp/dialogue-trace.ts";
import { LineReceiver, type LineEvent } from "../../protocol/smtp/line-receiver.ts";
import { ContentFlow } from "./content-flow.ts";
import { lineInput } from "./line-input.ts";
import { MovingDeadline } from "./moving-deadline.ts";
import { OpenQuestion } from "./open-question.ts";
import { endReason } from "./encryption.ts";
import { committing, questionOf, type Question } from "./questions.ts";
import { ReplyQueue } from "./reply-queue.ts";
import type { RunningSession, SessionOptions, SessionServices } from "./services.ts";
import { newSession, step } from "./session.ts";
import { SessionChain } from "./session-chain.ts";
import { SessionTls } from "./session-tls.io.ts";
import type { Action, Input, Session, Terms, World } from "./state.ts";
import { isTlsHello, StrayHello } from "./stray-hello.ts";
import { Tally } from "./tally.ts";
import { dialogueName, traceOf } from "./tls-trace.ts";
import { commandWait, contentWait, type Wait } from "./waits.ts";

/**
 * The driver of one session: reads the socket, feeds the receivers, gives inputs to the machine and obeys its actions.
 *
 * While a question is open (rules, password, commit, a body writer that is behind) nothing more is read from the client
 * and what has arrived already waits. Replies are collected and leave in one write when nothing more can be answered
 * without waiting, so a group of pipelined commands costs one write. One timer a session serves all deadlines: it is set
 * once and looks at the deadline in force when it fires.
 */
/** RFC 4954 section 4: the longest line of an AUTH exchange. */
const LONGEST_AUTH_LINE = 12_288;
/** How long we wait for the client to close after our last reply. */
const LINGER_MS = 5000;
/** The same when the server stops: what we said is with the client's system, and a stop waits for nobody's manners. */
const STOP_LINGER_MS = 500;
/** How long the rest of a ClientHello is waited for that nobody wanted. */
const HELLO_MS = 2000;

/** `hello`: the client speaks TLS where plaintext is due; its ClientHello is heard for the log. */
type Mode = "commands" | "content" | "handshake" | "hello" | "ended";

export function runSession(options: SessionOptions): RunningSession {
  return new SessionDriver(options);
}

class SessionDriver implements RunningSession {
  readonly #options: SessionOptions;
  readonly #services: SessionServices;
  readonly #terms: Terms;
  readonly #world: World;
  readonly #lines: LineReceiver;
  readonly #flow: ContentFlow;
  readonly #question: OpenQuestion;
  readonly #deadline: MovingDeadline;
  readonly #tally = new Tally();
  readonly #startedAt: number;
  readonly #tls: SessionTls;
  readonly #replies = new ReplyQueue(this.#tally);
  readonly #dialogue: DialogueTrace | undefined;
  /** Who answers questions. */
  readonly #asked: SessionServices;
  /** The filters at this listener; undefined: there are none. */
  readonly #filters: SessionChain | undefined;
  /** The question that is open, or was last, is one to filters. */
  #isFiltering = false;
  #socket: Socket;
  #session: Session;
  #mode: Mode = "commands";
  /** Our replies are not being taken. */
  #isBlocked = false;
  #isFirst = true;
  #hello: StrayHello | undefined;
  /** The client will send nothing more, and why. */
  #goneBecause: string | undefined;
  #isSocketClosed = false;
  /** Said all there was to say; what is left of the connection ends without us. */
  #hasLeft = false;
  #isOver = false;
  #isStopping = false;
  #contentStartedAt = 0;
  #waitedBefore = 0;

  constructor(options: SessionOptions) {
    const { terms, services } = options;
    const { clock } = services;
    this.#options = options;
    this.#services = services;
    this.#terms = terms;
    this.#socket = options.socket;
    this.#session = newSession(options.peer, options.tls?.facts, options.known);
    this.#startedAt = clock.monotonicMs();
    const line = terms.auth === "off" ? 0 : LONGEST_AUTH_LINE;
    this.#lines = new LineReceiver(Math.max(terms.settings.commandLine, line) - 2);
    this.#flow = new ContentFlow(terms, (message) => services.intake.begin(message));
    this.#question = new OpenQuestion(clock, () => this.#goOn());
    this.#deadline = new MovingDeadline(clock, (what) => this.#onDeadline(what));
    this.#filters = SessionChain.open(options, this.#session.facts);
    this.#asked = this.#filters === undefined ? services : { ...services, policy: this.#filters.policy };
    this.#world = {
      terms,
      filters: this.#filters?.world,
      allowance: options.allowance,
      now: () => clock.now(),
      offsetMinutes,
      shortage: () => services.intake.shortage(),
      paused: () => services.intake.paused?.(),
      wantsAuthor: (facts) => services.policy.wantsAuthor?.(facts) ?? false,
      newMessageId: services.newMessageId,
      binding: (kind) => this.#tls.binding(kind),
      nonce: () => randomBytes(24).toString("base64"),
    };
    this.#tls = new SessionTls({
      terms,
      services,
      session: () => this.#session,
      perform: (action) => this.#perform(action),
      onTrouble: (sentence) => (this.#goneBecause ??= sentence),
    });
    this.#dialogue = DialogueTrace.begin(services.trace, () => dialogueName(terms, options.peer));
    this.#attach(options.socket, options.tls);
    if (options.early !== undefined) {
      this.#isFirst = false;
      if (isTlsHello(options.early)) this.#onTlsHello(options.early);
      else this.#step({ kind: "spoke-too-soon", bytes: options.early.length });
    } else this.#step({ kind: "begin", flight: this.#tls.flight() });
    this.#run(true);
  }

  stop(): void {
    this.#isStopping = true;
    if (this.#isOver) return this.#hasLeft ? this.#tls.leave(STOP_LINGER_MS) : undefined;
    this.#step({ kind: "stop" });
    if (!this.#question.isOpen) this.#flush();
    return undefined;
  }

  destroy(): void {
    if (this.#tls.isUp) this.#tls.destroy();
    else this.#socket.destroy();
  }

  // The socket.

  #attach(socket: Socket, tls?: TlsConnection): void {
    this.#socket = socket;
    if (tls !== undefined) this.#tls.take(tls);
    socket.on("data", this.#onData);
    socket.on("drain", this.#onDrain);
    socket.on("end", this.#onFin);
    socket.on("error", this.#onError);
    socket.on("close", this.#onClose);
    // It may have been paused on its way to us, and may have ended before anybody listened.
    socket.resume();
    if (socket.readableEnded) this.#goneBecause ??= endReason(this.#tls.end);
  }

  /** The error listener stays: a socket without one would end the process. */
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
    if (this.#hello !== undefined) return this.#onTlsHello(bytes);
    if (this.#isFirst) {
      this.#isFirst = false;
      if (isTlsHello(bytes) && this.#session.facts.tls === undefined) return this.#onTlsHello(bytes);
    }
    this.#lines.push(bytes);
    if (this.#isWaiting) this.#socket.pause();
    else this.#run(false);
  };

  readonly #onDrain = (): void => {
    this.#isBlocked = false;
    if (!this.#question.isOpen) this.#goOn();
  };

  readonly #onFin = (): void => {
    if (this.#mode === "hello") return this.#refuseHello();
    this.#goneBecause ??= endReason(this.#tls.end);
    if (!this.#question.isOpen) this.#run(false);
  };

  readonly #onError = (error: Error): void => {
    this.#goneBecause ??= messageOf(error);
  };

  readonly #onClose = (): void => {
    this.#isSocketClosed = true;
    this.#goneBecause ??= "closed";
    if (this.#mode === "hello") return this.#refuseHello();
    // Nobody is there any more to hear what filters say; what is being kept, on the other hand, is ours whatever happens.
    if (this.#isFiltering && this.#question.isOpen) this.#question.expire();
    this.#finish();
  };

  // The work.

  get #isWaiting(): boolean {
    return this.#question.isOpen || this.#isBlocked;
  }

  /** Goes through what has arrived until it is used up or something must be waited for. */
  #run(hasProgressed: boolean): void {
    let isFresh = hasProgressed;
    while (!this.#isWaiting && this.#takeNext()) isFresh = true;
    if (this.#question.isOpen) return;
    this.#flush();
    if (this.#mode === "ended" || this.#mode === "handshake" || this.#mode === "hello") return;
    if (this.#goneBecause !== undefined && !this.#isBlocked)
      return this.#step({ kind: "lost", reason: this.#goneBecause, tls: this.#tls.end });
    // The deadline of a command is for the whole line: a client that sends it byte by byte gains nothing.
    if (isFresh && this.#mode === "commands" && !this.#isBlocked) this.#expectCommand();
    return undefined;
  }

  /** One line or one piece of content; false when nothing more has arrived. */
  #takeNext(): boolean {
    if (this.#mode === "content") return this.#onContent();
    if (this.#mode !== "commands") return false;
    const event = this.#lines.next();
    if (event === undefined) return false;
    this.#onLine(event);
    return true;
  }

  /** A question has been answered, or our replies have been taken: on with what waited, and with reading. */
  #goOn(): void {
    this.#run(true);
    if (this.#isWaiting) return;
    if (this.#isSocketClosed || this.#hasLeft) this.#finish();
    else if (this.#mode !== "handshake") this.#socket.resume();
  }

  #onLine(event: LineEvent): void {
    if (this.#dialogue !== undefined && event.kind === "line") this.#dialogue.client(event.bytes.toString("latin1"));
    if (event.kind === "line") this.#filters?.heard(event.bytes, this.#session.phase.at === "authenticating");
    const bytesBehind = this.#lines.heldBytes + this.#socket.readableLength;
    const heard = lineInput(event, this.#terms, this.#session, bytesBehind);
    if (heard === undefined) return;
    if (heard.verb !== undefined) this.#replies.expect(heard.verb);
    this.#step(heard.input);
  }

  #onTlsHello(bytes: Buffer): void {
    this.#mode = "hello";
    if (this.#hello === undefined) this.#hello = new StrayHello(bytes);
    else this.#hello.push(bytes);
    if (this.#hello.isWhole) this.#refuseHello();
    else this.#deadline.expect(HELLO_MS, "hello");
  }

  #refuseHello(): void {
    if (this.#hello !== undefined) this.#step({ kind: "tls-hello", finding: this.#tls.strayHello(this.#hello.bytes) });
  }

  #step(input: Input): void {
    if (input.kind === "lost" || input.kind === "timeout") this.#tls.breaksOff();
    const [next, actions] = step(this.#world, this.#session, input);
    this.#session = next;
    for (const action of actions) this.#perform(action);
  }

  #perform(action: Action): void {
    switch (action.do) {
      case "reply": {
        const { phase } = this.#session;
        const isInternational = phase.at === "transaction" && phase.transaction.parameters.isInternational === true;
        this.#filters?.said(action.reply);
        return this.#replies.push(action.reply, isInternational);
      }
      case "tell":
        return action.tell(this.#services.emit);
      case "filter":
        if (this.#filters !== undefined) this.#ask(this.#filters.asking(action));
        this.#isFiltering = true;
        return undefined;
      case "sift":
        return this.#sift(action);
      case "newMail":
        return this.#filters?.chain.begin();
      case "note":
        return this.#filters?.chain.note(action.notice);
      case "judge":
      case "weigh":
      case "wake":
      case "check":
      case "identify":
        return this.#ask(questionOf(this.#asked, this.#terms, action));
      case "receiveData":
        this.#flow.receiveData(action.opening);
        return this.#beginContent();
      case "receiveChunk":
        this.#flow.receiveChunk(action);
        return this.#beginContent();
      case "commit":
        return this.#commit(action);
      case "abandon":
        return this.#flow.abandon();
      case "startTls":
        return this.#startTls();
      case "close":
        return this.#close();
      default:
        return unreachable(action);
    }
  }

  #flush(): void {
    const bytes = this.#replies.take();
    if (bytes === undefined || !this.#socket.writable) return;
    this.#dialogue?.server(bytes.toString("latin1"));
    if (this.#socket.write(bytes) || this.#mode === "ended") return;
    this.#isBlocked = true;
    this.#socket.pause();
    this.#deadline.expect(this.#terms.settings.replyTimeout, "reply");
  }

  // Content.

  #beginContent(): void {
    this.#mode = "content";
    this.#isFiltering = false;
    this.#contentStartedAt = this.#services.clock.monotonicMs();
    this.#waitedBefore = this.#question.waitedMs;
    this.#expectContent();
  }

  #onContent(): boolean {
    const bytes = this.#lines.takeRest();
    if (bytes.length === 0 && !this.#flow.isDue) return false;
    const { isComplete, rest, written } = this.#flow.push(bytes);
    this.#dialogue?.content(bytes.length - rest.length);
    if (rest.length > 0) this.#lines.push(rest);
    if (written === undefined) this.#passed(isComplete);
    else {
      const { commitTimeout: limitMs } = this.#terms.settings;
      const passed = (): void => this.#passed(isComplete);
      this.#deadline.expect(limitMs, "storage");
      this.#question.ask(written, passed, {
        failed: (because) => {
          this.#flow.refuse(because);
          passed();
        },
        limitMs,
        what: "storage",
      });
    }
    return true;
  }

  /** A piece of content is where it belongs. */
  #passed(isComplete: boolean): void {
    if (!isComplete) {
      if (this.#flow.isHopeless) this.#step({ kind: "content-hopeless" });
      else this.#expectContent();
      return;
    }
    this.#mode = "commands";
    if (!this.#flow.endsMessage) return this.#step({ kind: "chunk-ended" });
    this.#ask({
      answer: this.#flow.end().then((content) => ({ kind: "content-ended", content })),
      otherwise: (because) => ({ kind: "timeout", reason: messageOf(because) }),
      limitMs: this.#terms.settings.commitTimeout,
      what: "storage",
    });
    return undefined;
  }

  /** Filters look at the whole mail, and may make another one of it. */
  #sift(action: Extract<Action, { do: "sift" }>): void {
    const { whole } = this.#flow;
    if (whole === undefined || this.#filters === undefined)
      return this.#step({ kind: "not-sifted", isFull: false, reason: "no content" });
    const { sifting, question } = this.#filters.sifting(whole, action);
    this.#isFiltering = true;
    this.#deadline.expect(question.limitMs, question.what);
    this.#question.ask(
      question.answer,
      ({ sifted, writer }) => {
        if (writer !== whole.writer) this.#flow.change(writer);
        this.#step({ kind: "sifted", sifted });
      },
      {
        ...question,
        failed: (because) => {
          sifting.cancel();
          this.#step(question.otherwise(because));
        },
      },
    );
    return undefined;
  }

  #commit(action: Extract<Action, { do: "commit" }>): void {
    const writer = this.#flow.take();
    if (writer === undefined) this.#step({ kind: "not-committed", isFull: false, reason: "no content" });
    else this.#ask(committing(this.#services, this.#terms, writer, action));
  }

  /** Nothing more is read until the answer is there, or its time is over. */
  #ask({ answer, otherwise, limitMs, what }: Question): void {
    this.#isFiltering = false;
    this.#deadline.expect(limitMs, what);
    this.#question.ask(answer, (input) => this.#step(input), {
      failed: (because) => this.#step(otherwise(because)),
      limitMs,
      what,
    });
  }

  // TLS.

  /**
   * The client has to wait for our reply, so what comes before it is somebody else's, or a fault. Two turns of the event
   * loop see what came while we read the command: reading goes on in the first.
   */
  #startTls(): void {
    this.#mode = "handshake";
    this.#replies.hold();
    setImmediate(() => setImmediate(() => this.#handshake()));
  }

  #handshake(): void {
    this.#replies.release();
    if (this.#mode !== "handshake") return;
    const socket = this.#socket;
    const bytes = this.#lines.heldBytes + socket.readableLength;
    if (bytes > 0) {
      // The 220 that nobody gets.
      this.#replies.dropLast();
      return this.#step({ kind: "injected", bytes });
    }
    this.#flush();
    this.#detach();
    // The acceptor has its own deadline and settles in any case.
    this.#deadline.cancel();
    const deadlineMs = this.#terms.settings.handshakeTimeout;
    const { watch } = traceOf(this.#services, this.#terms, this.#session.origin) ?? {};
    void this.#services.tls.accept(socket, { deadlineMs, watch, isUpgrade: true }).then((outcome) => {
      this.#isBlocked = false;
      if (outcome.ok) {
        this.#mode = "commands";
        const { connection } = outcome;
        this.#attach(connection.socket, connection);
        this.#step({ kind: "tls-started", tls: connection.facts, flight: this.#tls.flight() });
        this.#run(true);
      } else {
        this.#isSocketClosed = true;
        this.#step({ kind: "tls-failed", finding: this.#tls.bounded(outcome.finding) });
      }
    });
  }

  // The end.

  #close(): void {
    this.#mode = "ended";
    this.#replies.release();
    if (this.#isSocketClosed) return this.#finish();
    this.#flush();
    if (this.#tls.isUp) {
      this.#hasLeft = true;
      const { tlsCloseTimeout } = this.#terms.settings;
      this.#tls.leave(this.#isStopping ? Math.min(tlsCloseTimeout, STOP_LINGER_MS) : tlsCloseTimeout);
      return this.#finish();
    }
    if (this.#isNothingLeft) return void this.#socket.destroy();
    // What the client still sends is read and dropped for a while: closing with bytes unread would reset the connection,
    // and our last reply could be lost with it.
    this.#socket.end();
    this.#socket.resume();
    this.#deadline.expect(this.#isStopping ? STOP_LINGER_MS : LINGER_MS, "close");
    return undefined;
  }

  /**
   * Whether the system has our last reply and the client, who said QUIT, nothing more to say (RFC 5321 section 4.1.1.10):
   * the connection can be closed at once, in one call. TLS has its own goodbye.
   */
  get #isNothingLeft(): boolean {
    const isAgreed = this.#session.after === "QUIT" && this.#lines.heldBytes === 0;
    return isAgreed && this.#session.facts.tls === undefined && this.#socket.writableLength === 0;
  }

  /** The connection is over for us: the session ends too, once an open question is answered. */
  #finish(): void {
    if (this.#isOver || this.#question.isOpen) return;
    if (this.#mode !== "ended") {
      const reason = this.#goneBecause ?? "closed";
      return this.#step({ kind: "lost", reason, tls: this.#tls.end });
    }
    this.#isOver = true;
    this.#filters?.chain.end();
    this.#dialogue?.note(`ended${this.#goneBecause === undefined ? "" : `: ${this.#goneBecause}`}`);
    this.#deadline.cancel();
    this.#options.onEnd({ peer: this.#session.facts.peer, commands: this.#tally.text() });
    return undefined;
  }

  // Deadlines.

  #expectCommand(): void {
    this.#wait(commandWait(this.#terms.settings, this.#services.clock.monotonicMs() - this.#startedAt));
  }

  #expectContent(): void {
    const waitedMs = this.#question.waitedMs - this.#waitedBefore;
    const spentMs = this.#services.clock.monotonicMs() - this.#contentStartedAt - waitedMs;
    this.#wait(contentWait(this.#terms.settings, spentMs, this.#flow.bytes));
  }

  #wait({ ms, what }: Wait): void {
    this.#deadline.expect(ms, what);
  }

  #onDeadline(what: string): void {
    if (this.#question.isOpen) return this.#question.expire();
    if (this.#mode === "ended") return this.destroy();
    if (this.#mode === "hello") return this.#refuseHello();
    this.#step({ kind: "timeout", reason: what });
    // Somebody who does not take our replies will not take this one.
    if (what === "reply") this.destroy();
    return undefined;
  }
}

function offsetMinutes(): number {
  return -new Date().getTimezoneOffset();
}
