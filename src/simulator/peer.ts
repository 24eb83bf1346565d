import { Duplex } from "node:stream";
import { TLSSocket, type SecureContext } from "node:tls";
import type { Clock } from "../foundation/clock.ts";

/**
 * An SMTP or LMTP server that does what a scenario says: answers, refuses, greylists, is slow, hangs, closes or resets
 * at any point of the dialogue, and records what it was given. It speaks over any `Duplex`: a simulated connection or a
 * real socket.
 */
export type PeerPoint =
  | "connect"
  | "EHLO"
  | "HELO"
  | "LHLO"
  | "STARTTLS"
  | "AUTH"
  | "MAIL"
  | "RCPT"
  | "DATA"
  | "content"
  | "end"
  | "BDAT"
  | "RSET"
  | "QUIT";

export type PeerReaction =
  /** `text` is the whole reply without its last CRLF. */
  | {
      readonly do: "reply";
      readonly text: string;
      readonly thenClose?: boolean;
      readonly thenReset?: boolean;
      readonly afterMs?: number;
    }
  | { readonly do: "hang" | "close" | "reset" }
  /** The usual thing, later. */
  | { readonly do: "slow"; readonly afterMs: number };

export interface PeerMoment {
  /** Counts from 1: how often this point was reached, over all connections. */
  readonly count: number;
  /** The command's line, or the bytes of content so far as text. */
  readonly line: string;
  readonly contentBytes: number;
}

export interface PeerOptions {
  readonly clock: Clock;
  readonly name?: string | undefined;
  readonly protocol?: "smtp" | "lmtp" | undefined;
  /** Lines of the answer to EHLO; STARTTLS is added by itself while it can be had. */
  readonly extensions?: readonly string[] | undefined;
  readonly tls?: { readonly context: SecureContext; readonly isImplicit?: boolean | undefined } | undefined;
  /** Called at each point; `undefined`: the usual thing. */
  readonly at?: ((point: PeerPoint, moment: PeerMoment) => PeerReaction | undefined) | undefined;
  /** A recipient is refused with 450 until this long after it was first tried. */
  readonly greylistMs?: number | undefined;
  /** Accepts logins by PLAIN and LOGIN. */
  readonly login?: { readonly user: string; readonly password: string } | undefined;
  /** At the point `content`: after how many bytes of it (0: at once). */
  readonly contentPointBytes?: number | undefined;
}

export interface PeerMessage {
  readonly sender: string;
  readonly mailParameters: string;
  readonly recipients: readonly string[];
  readonly rcptParameters: readonly string[];
  /** Dots undone. */
  readonly content: string;
  readonly by: "DATA" | "BDAT";
  readonly isEncrypted: boolean;
  readonly account?: string | undefined;
}

export interface Peer {
  /** Serves one connection. */
  accept(connection: Duplex): void;
  readonly messages: readonly PeerMessage[];
  /** Every command line, passwords and all: this is a test's server. */
  readonly commands: readonly string[];
  /** Every byte, as text of U+0000 to U+00FF, before TLS. */
  readonly counters: { readonly connections: number; readonly open: number; readonly contentBytes: number };
}

export const USUAL_EXTENSIONS: readonly string[] = [
  "PIPELINING",
  "8BITMIME",
  "SMTPUTF8",
  "SIZE",
  "DSN",
  "ENHANCEDSTATUSCODES",
];

export function createPeer(options: PeerOptions): Peer {
  const messages: PeerMessage[] = [];
  const commands: string[] = [];
  const counters = { connections: 0, open: 0, contentBytes: 0 };
  const counts = new Map<PeerPoint, number>();
  const firstTried = new Map<string, number>();
  const shared: Shared = {
    options,
    messages,
    commands,
    counters,
    greylist(key) {
      if (options.greylistMs === undefined) return false;
      const now = options.clock.now();
      const first = firstTried.get(key) ?? now;
      firstTried.set(key, first);
      return now - first < options.greylistMs;
    },
    react(point, line, contentBytes) {
      const count = (counts.get(point) ?? 0) + 1;
      counts.set(point, count);
      return options.at?.(point, { count, line, contentBytes });
    },
  };
  return {
    messages,
    commands,
    counters,
    accept: (connection) => void new Conversation(connection, shared),
  };
}

interface Shared {
  readonly options: PeerOptions;
  readonly messages: PeerMessage[];
  readonly commands: string[];
  readonly counters: { connections: number; open: number; contentBytes: number };
  greylist(key: string): boolean;
  react(point: PeerPoint, line: string, contentBytes: number): PeerReaction | undefined;
}

class Conversation {
  readonly #shared: Shared;
  readonly #raw: Duplex;
  #stream: Duplex;
  #buffer = Buffer.alloc(0);
  #mode: "command" | "data" | "chunk" | "auth" | "dead" = "command";
  #isWaiting = false;
  #isEncrypted = false;
  #account: string | undefined;
  #authStep = "";
  #sender: { address: string; parameters: string } | undefined;
  #recipients: { address: string; parameters: string }[] = [];
  #content: Buffer[] = [];
  #contentBytes = 0;
  #hasReachedContent = false;
  #chunk = { left: 0, isLast: false };

  constructor(stream: Duplex, shared: Shared) {
    this.#shared = shared;
    this.#raw = stream;
    this.#stream = stream;
    shared.counters.connections++;
    shared.counters.open++;
    stream.once("close", () => shared.counters.open--);
    const { tls, name = "peer.example", protocol = "smtp" } = shared.options;
    if (tls?.isImplicit === true) this.#encrypt();
    else this.#attach();
    this.#at("connect", "", () => this.#say(`220 ${name} ${protocol.toUpperCase()} ready`));
  }

  #attach(): void {
    const stream = this.#stream;
    stream.on("error", () => this.#die());
    stream.on("data", (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#work();
    });
    stream.on("end", () => stream.end());
    stream.on("close", () => this.#die());
  }

  #die(): void {
    this.#mode = "dead";
  }

  #encrypt(): void {
    const context = this.#shared.options.tls?.context;
    if (context === undefined) return;
    this.#raw.removeAllListeners("data");
    this.#raw.removeAllListeners("end");
    this.#stream = new TLSSocket(this.#raw, { isServer: true, secureContext: context });
    this.#isEncrypted = true;
    this.#buffer = Buffer.alloc(0);
    this.#attach();
  }

  #work(): void {
    while (!this.#isWaiting && this.#mode !== "dead" && this.#buffer.length > 0) {
      const before = this.#buffer.length;
      if (this.#mode === "data") this.#takeData();
      else if (this.#mode === "chunk") this.#takeChunk();
      else this.#takeLine();
      if (this.#buffer.length === before) return;
    }
  }

  #takeLine(): void {
    const end = this.#buffer.indexOf("\n");
    if (end < 0) return;
    const line = this.#buffer.subarray(0, end).toString("utf8").replace(/\r$/, "");
    this.#buffer = this.#buffer.subarray(end + 1);
    this.#shared.commands.push(line);
    if (this.#mode === "auth") this.#onAuthLine(line);
    else this.#onCommand(line);
  }

  #onCommand(line: string): void {
    const verb = /^[a-z]+/i.exec(line)?.[0].toUpperCase() ?? "";
    const { protocol = "smtp" } = this.#shared.options;
    const handlers: Readonly<Record<string, [PeerPoint, () => void]>> = {
      [protocol === "lmtp" ? "LHLO" : "EHLO"]: [protocol === "lmtp" ? "LHLO" : "EHLO", () => this.#onHello()],
      HELO: ["HELO", () => this.#say("250 hello")],
      STARTTLS: ["STARTTLS", () => this.#onStartTls()],
      AUTH: ["AUTH", () => this.#onAuth(line)],
      MAIL: ["MAIL", () => this.#onMail(line)],
      RCPT: ["RCPT", () => this.#onRcpt(line)],
      DATA: ["DATA", () => this.#onData()],
      BDAT: ["BDAT", () => this.#onBdat(line)],
      RSET: ["RSET", () => this.#onReset()],
      QUIT: ["QUIT", () => this.#say("221 2.0.0 bye", { close: true })],
    };
    const handler = handlers[verb];
    if (handler === undefined) this.#say("500 5.5.2 what?");
    // A chunk's bytes come whatever is answered: its reaction is looked up when they are here.
    else if (verb === "BDAT") handler[1]();
    else this.#at(handler[0], line, handler[1]);
  }

  #onHello(): void {
    const { extensions = USUAL_EXTENSIONS, tls, name = "peer.example" } = this.#shared.options;
    const offered = [...extensions, ...(tls !== undefined && !this.#isEncrypted ? ["STARTTLS"] : [])];
    const lines = [name, ...offered];
    this.#reset();
    this.#say(lines.map((line, at) => `250${at === lines.length - 1 ? " " : "-"}${line}`).join("\r\n"));
  }

  #onStartTls(): void {
    if (this.#shared.options.tls === undefined) return this.#say("502 5.5.1 no");
    this.#say("220 2.0.0 go ahead");
    return this.#encrypt();
  }

  #onAuth(line: string): void {
    const [, mechanism = "", initial] = line.split(" ");
    this.#authStep = mechanism.toUpperCase();
    if (this.#authStep === "PLAIN" && initial !== undefined) return this.#onPlain(initial);
    if (this.#authStep !== "PLAIN" && this.#authStep !== "LOGIN") return this.#say("504 5.5.4 no such mechanism");
    this.#mode = "auth";
    return this.#say(this.#authStep === "PLAIN" ? "334 " : "334 VXNlcm5hbWU6");
  }

  #onAuthLine(line: string): void {
    const text = Buffer.from(line, "base64").toString();
    if (line === "*") {
      this.#mode = "command";
      this.#say("501 5.7.0 cancelled");
    } else if (this.#authStep === "PLAIN") this.#onPlain(line);
    else if (this.#authStep === "LOGIN") {
      this.#authStep = `LOGIN ${text}`;
      this.#say("334 UGFzc3dvcmQ6");
    } else this.#judgeLogin(this.#authStep.slice(6), text);
  }

  #onPlain(line: string): void {
    const [, user = "", password = ""] = Buffer.from(line, "base64").toString().split("\0");
    this.#judgeLogin(user, password);
  }

  #judgeLogin(user: string, password: string): void {
    const { login } = this.#shared.options;
    this.#mode = "command";
    if (login === undefined || user !== login.user || password !== login.password) return this.#say("535 5.7.8 no");
    this.#account = user;
    return this.#say("235 2.7.0 welcome");
  }

  #onMail(line: string): void {
    if (this.#sender !== undefined) return this.#say("503 5.5.1 nested MAIL");
    const match = /^MAIL FROM:<(.*?)>(.*)$/i.exec(line);
    this.#sender = { address: match?.[1] ?? "", parameters: (match?.[2] ?? "").trim() };
    return this.#say("250 2.1.0 ok");
  }

  #onRcpt(line: string): void {
    const match = /^RCPT TO:<(.*?)>(.*)$/i.exec(line);
    if (this.#sender === undefined) return this.#say("503 5.5.1 MAIL first");
    const address = match?.[1] ?? "";
    if (this.#shared.greylist(`${this.#sender.address} ${address}`))
      return this.#say("450 4.7.1 greylisted, try again later");
    this.#recipients.push({ address, parameters: (match?.[2] ?? "").trim() });
    return this.#say("250 2.1.5 ok");
  }

  #onData(): void {
    if (this.#recipients.length === 0) return this.#say("554 5.5.1 no valid recipients");
    this.#mode = "data";
    this.#hasReachedContent = false;
    return this.#say("354 go ahead");
  }

  #onBdat(line: string): void {
    const [, size = "0", last] = line.split(" ");
    this.#chunk = { left: Number(size), isLast: last?.toUpperCase() === "LAST" };
    this.#mode = "chunk";
    if (this.#chunk.left === 0) this.#onChunkEnd();
  }

  /** Whether the scenario wants something at this place of the content. */
  #reachesContent(): boolean {
    const { contentPointBytes } = this.#shared.options;
    if (this.#hasReachedContent || contentPointBytes === undefined || this.#contentBytes < contentPointBytes)
      return false;
    this.#hasReachedContent = true;
    const reaction = this.#shared.react("content", "", this.#contentBytes);
    if (reaction === undefined) return false;
    this.#perform(reaction, () => {});
    return true;
  }

  #takeData(): void {
    if (this.#reachesContent()) return;
    const isEmpty = this.#contentBytes === 0 && this.#buffer.subarray(0, 3).equals(Buffer.from(".\r\n"));
    const mark = isEmpty ? 0 : this.#buffer.indexOf("\r\n.\r\n");
    if (mark < 0) {
      // The last four bytes may be the beginning of the end.
      const keep = Math.min(4, this.#buffer.length);
      const limit = this.#shared.options.contentPointBytes;
      let take = this.#buffer.length - keep;
      if (limit !== undefined && this.#contentBytes < limit) take = Math.min(take, limit - this.#contentBytes);
      this.#keep(this.#buffer.subarray(0, take));
      this.#buffer = this.#buffer.subarray(take);
      if (take > 0) this.#reachesContent();
      return;
    }
    this.#keep(this.#buffer.subarray(0, isEmpty ? 0 : mark + 2));
    this.#buffer = this.#buffer.subarray(isEmpty ? 3 : mark + 5);
    if (this.#reachesContent()) return;
    this.#mode = "command";
    this.#at("end", "", () => this.#accept("DATA"));
  }

  #takeChunk(): void {
    const taken = this.#buffer.subarray(0, this.#chunk.left);
    this.#buffer = this.#buffer.subarray(taken.length);
    this.#chunk.left -= taken.length;
    this.#keep(taken);
    if (this.#reachesContent()) return;
    if (this.#chunk.left === 0) this.#onChunkEnd();
  }

  #onChunkEnd(): void {
    this.#mode = "command";
    if (this.#recipients.length === 0) this.#at("BDAT", "BDAT", () => this.#say("503 5.5.1 no valid recipients"));
    else if (this.#chunk.isLast) this.#at("end", "BDAT LAST", () => this.#accept("BDAT"));
    else this.#at("BDAT", "BDAT", () => this.#say("250 2.0.0 chunk ok"));
  }

  #keep(bytes: Buffer): void {
    this.#content.push(Buffer.from(bytes));
    this.#contentBytes += bytes.length;
    this.#shared.counters.contentBytes += bytes.length;
  }

  #accept(by: "DATA" | "BDAT"): void {
    const raw = Buffer.concat(this.#content).toString("latin1");
    this.#shared.messages.push({
      sender: this.#sender?.address ?? "",
      mailParameters: this.#sender?.parameters ?? "",
      recipients: this.#recipients.map((one) => one.address),
      rcptParameters: this.#recipients.map((one) => one.parameters),
      content: by === "DATA" ? raw.replace(/^\./gm, "") : raw,
      by,
      isEncrypted: this.#isEncrypted,
      account: this.#account,
    });
    const isLmtp = this.#shared.options.protocol === "lmtp";
    const replies = isLmtp ? this.#recipients.map((one) => `250 2.1.5 <${one.address}> stored`) : ["250 2.0.0 queued"];
    this.#reset();
    this.#say(replies.join("\r\n"));
  }

  #onReset(): void {
    this.#reset();
    this.#say("250 2.0.0 reset");
  }

  #reset(): void {
    this.#sender = undefined;
    this.#recipients = [];
    this.#content = [];
    this.#contentBytes = 0;
    this.#hasReachedContent = false;
  }

  #at(point: PeerPoint, line: string, usual: () => void): void {
    const reaction = this.#shared.react(point, line, this.#contentBytes);
    if (reaction === undefined) return usual();
    if (point === "end" || point === "QUIT") {
      this.#perform(reaction, usual);
      if (point === "end" && reaction.do === "reply") this.#reset();
      return undefined;
    }
    return this.#perform(reaction, usual);
  }

  #perform(reaction: PeerReaction, usual: () => void): void {
    switch (reaction.do) {
      case "hang":
        this.#isWaiting = true;
        this.#stream.pause();
        return;
      case "close":
        this.#die();
        this.#stream.end();
        return;
      case "reset":
        this.#die();
        resetStream(this.#raw);
        return;
      case "slow":
        this.#later(reaction.afterMs, usual);
        return;
      case "reply": {
        const say = (): void => {
          this.#say(reaction.text, { close: reaction.thenClose === true, reset: reaction.thenReset === true });
        };
        if (reaction.afterMs === undefined) say();
        else this.#later(reaction.afterMs, say);
        return;
      }
      default:
        return;
    }
  }

  #later(afterMs: number, work: () => void): void {
    this.#isWaiting = true;
    this.#shared.options.clock.after(afterMs, () => {
      if (this.#mode === "dead") return;
      this.#isWaiting = false;
      work();
      this.#work();
    });
  }

  #say(text: string, then: { close?: boolean; reset?: boolean } = {}): void {
    if (this.#mode === "dead") return;
    this.#stream.write(`${text}\r\n`);
    if (then.reset === true) {
      this.#die();
      this.#stream.once("drain", () => {});
      queueMicrotask(() => resetStream(this.#raw));
    } else if (then.close === true) {
      this.#die();
      this.#stream.end();
    }
  }
}

function resetStream(stream: Duplex): void {
  if ("resetAndDestroy" in stream && typeof stream.resetAndDestroy === "function") stream.resetAndDestroy();
  else stream.destroy();
}
