import { randomInt } from "node:crypto";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createConnection } from "node:net";
import type { Clock, Timer } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import { answersQuestion } from "../../protocol/dns/answer.ts";
import { decodeMessage, encodeQuery, type DnsMessage, type QuestionType } from "../../protocol/dns/message.ts";
import type { Exchange, Exchanged } from "./dns.ts";
import { serverText, type DnsServer } from "./servers.ts";
import type { DnsSettings } from "./settings.ts";

/** A socket carries this many questions, or lives this long, and then makes room for one with another port. */
const MOST_USES = 100;
const LONGEST_LIFE_MS = 20_000;
const SOCKETS_PER_SERVER = 4;
const TCP_MESSAGE_LIMIT = 65_535;
const FORMERR = 1;
/** A forwarder may only have passed on what was said of one name, and without EDNS nobody hears why DNSSEC fails. */
const PLAIN_FOR_MS = 15 * 60_000;

/**
 * Questions over UDP and TCP. Ids and ports come from the system's random source; a socket is connected, so the kernel
 * drops what another address sends. An answer that does not fit its question is passed over and the wait goes on: it may
 * be a forgery ahead of the true one.
 */
export class DnsNetwork implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #settings: DnsSettings;
  readonly #links = new Map<string, UdpLink[]>();
  /** Servers that are asked without EDNS, and until when, by the monotonic clock. */
  readonly #plainUntilMs = new Map<string, number>();
  readonly #tcp = new Set<{ destroy(): unknown }>();
  #isRetired = false;

  constructor(clock: Clock, settings: DnsSettings) {
    this.#clock = clock;
    this.#settings = settings;
  }

  /** Few will ask from now on, and nobody says when the last one has: each socket closes with its answers. */
  retire(): void {
    this.#isRetired = true;
    for (const links of this.#links.values()) for (const link of links) link.retire();
    this.#links.clear();
  }

  readonly exchange: Exchange = async (server, name, type, limitMs) => {
    const startedAt = this.#clock.monotonicMs();
    const leftMs = (): number => Math.max(1, limitMs - (this.#clock.monotonicMs() - startedAt));
    const key = serverText(server);
    const isPlain = (this.#plainUntilMs.get(key) ?? 0) > startedAt;
    const first = await this.#overUdp(server, name, type, leftMs(), !isPlain);
    if (isPlain || !first.ok || first.message.rcode !== FORMERR) return first;
    // A server from before EDNS answers it with FORMERR (RFC 6891 section 7). One that says so again did not mean EDNS.
    const plain = await this.#overUdp(server, name, type, leftMs(), false);
    if (plain.ok && plain.message.rcode !== FORMERR)
      this.#plainUntilMs.set(key, this.#clock.monotonicMs() + PLAIN_FOR_MS);
    return plain;
  };

  async #overUdp(
    server: DnsServer,
    name: string,
    type: QuestionType,
    limitMs: number,
    withEdns: boolean,
  ): Promise<Exchanged> {
    const startedAt = this.#clock.monotonicMs();
    const asked = this.#settings.mixedCase ? mixCase(name) : name;
    const link = this.#link(server);
    const answer = link.ask(asked, type, limitMs, withEdns ? this.#settings.payload : undefined);
    if (this.#isRetired) link.retire();
    const udp = await answer;
    if (!udp.ok || !udp.message.isTruncated) return udp;
    return this.#overTcp(server, asked, type, Math.max(1, limitMs - (this.#clock.monotonicMs() - startedAt)), withEdns);
  }

  #link(server: DnsServer): UdpLink {
    const key = serverText(server);
    // Those of all servers: one that is not asked any more has nobody else to close its sockets.
    for (const [of, known] of this.#links) {
      for (const link of known) if (!link.isFresh) link.retire();
      const fresh = known.filter((link) => link.isFresh);
      if (fresh.length === 0) this.#links.delete(of);
      else if (fresh.length < known.length) this.#links.set(of, fresh);
    }
    if (this.#isRetired) return new UdpLink(this.#clock, server, this.#settings.mixedCase);
    const links = this.#links.get(key) ?? [];
    this.#links.set(key, links);
    if (links.length < SOCKETS_PER_SERVER) {
      const link = new UdpLink(this.#clock, server, this.#settings.mixedCase);
      links.push(link);
      return link;
    }
    const link = links[randomInt(links.length)];
    return link ?? new UdpLink(this.#clock, server, this.#settings.mixedCase);
  }

  #overTcp(
    server: DnsServer,
    name: string,
    type: QuestionType,
    limitMs: number,
    withEdns: boolean,
  ): Promise<Exchanged> {
    return new Promise((resolve) => {
      const id = randomInt(65_536);
      const query = encodeQuery(id, name, type, withEdns ? this.#settings.payload : undefined);
      if (query === undefined) return resolve({ ok: false, reason: "malformed", text: "the name cannot be asked for" });
      const socket = createConnection({ host: server.address, port: server.port });
      this.#tcp.add(socket);
      const settle = (exchanged: Exchanged): void => {
        timer.cancel();
        this.#tcp.delete(socket);
        socket.destroy();
        resolve(exchanged);
      };
      const timer = this.#clock.after(limitMs, () =>
        settle({ ok: false, reason: "timeout", text: "no answer over TCP in time" }),
      );
      const head = Buffer.alloc(2);
      head.writeUInt16BE(query.length);
      socket.write(Buffer.concat([head, query]));
      let received = Buffer.alloc(0);
      socket.on("data", (bytes) => {
        received = Buffer.concat([received, bytes]);
        const length = received.length < 2 ? TCP_MESSAGE_LIMIT : received.readUInt16BE(0);
        if (received.length < 2 + length) return;
        const decoded = decodeMessage(received.subarray(2, 2 + length));
        if (!decoded.ok)
          settle({ ok: false, reason: "malformed", text: `answer over TCP: expected ${decoded.problem.expected}` });
        else if (!answersQuestion(decoded.value, id, name, type, this.#settings.mixedCase))
          settle({ ok: false, reason: "malformed", text: "the answer over TCP is not to our question" });
        // RFC 2181 section 9: what it has is not all, and over TCP there is no other way to ask for the rest.
        else if (decoded.value.isTruncated)
          settle({ ok: false, reason: "malformed", text: "the answer is cut short over TCP, too" });
        else settle({ ok: true, message: decoded.value });
      });
      socket.on("error", (error) => settle({ ok: false, reason: "unreachable", text: messageOf(error) }));
      socket.on("close", () => settle({ ok: false, reason: "unreachable", text: "the server closed the connection" }));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const links = [...this.#links.values()].flat();
    this.retire();
    for (const link of links) link.end("the resolver is closing");
    for (const socket of this.#tcp) socket.destroy();
    await Promise.resolve();
  }
}

interface Waiting {
  readonly name: string;
  readonly type: QuestionType;
  readonly timer: Timer;
  readonly settle: (exchanged: Exchanged) => void;
  /** What came in the meantime and was not the answer. */
  lie?: string;
}

/** One connected UDP socket with the questions that are on their way over it. */
class UdpLink {
  readonly #clock: Clock;
  readonly #exactCase: boolean;
  readonly #socket: UdpSocket;
  readonly #waiting = new Map<number, Waiting>();
  readonly #bornAt: number;
  readonly #unsent: Uint8Array[] = [];
  #uses = 0;
  #isConnected = false;
  #isRetired = false;
  #hasEnded = false;

  constructor(clock: Clock, server: DnsServer, exactCase: boolean) {
    this.#clock = clock;
    this.#exactCase = exactCase;
    this.#bornAt = clock.monotonicMs();
    this.#socket = createSocket(server.address.includes(":") ? "udp6" : "udp4");
    this.#socket.unref();
    this.#socket.on("message", (bytes) => this.#take(bytes));
    this.#socket.on("error", (error) => this.end(messageOf(error)));
    this.#socket.on("connect", () => {
      this.#isConnected = true;
      for (const query of this.#unsent.splice(0)) this.#send(query);
    });
    this.#socket.connect(server.port, server.address);
  }

  get isFresh(): boolean {
    return !this.#isRetired && this.#uses < MOST_USES && this.#clock.monotonicMs() - this.#bornAt < LONGEST_LIFE_MS;
  }

  ask(name: string, type: QuestionType, limitMs: number, payload: number | undefined): Promise<Exchanged> {
    return new Promise((resolve) => {
      let id = randomInt(65_536);
      while (this.#waiting.has(id)) id = randomInt(65_536);
      const query = encodeQuery(id, name, type, payload);
      if (query === undefined) return resolve({ ok: false, reason: "malformed", text: "the name cannot be asked for" });
      if (this.#hasEnded) return resolve({ ok: false, reason: "unreachable", text: "the socket is closed" });
      this.#uses++;
      const settle = (exchanged: Exchanged): void => {
        waiting.timer.cancel();
        this.#waiting.delete(id);
        resolve(exchanged);
        if (!this.isFresh) this.retire();
      };
      const timer = this.#clock.after(limitMs, () =>
        settle(
          waiting.lie === undefined
            ? { ok: false, reason: "timeout", text: `no answer within ${Math.round(limitMs)} ms` }
            : { ok: false, reason: "malformed", text: waiting.lie },
        ),
      );
      const waiting: Waiting = { name, type, timer, settle };
      this.#waiting.set(id, waiting);
      if (this.#isConnected) this.#send(query);
      else this.#unsent.push(query);
    });
  }

  /** Closes as soon as nobody waits on it any more. */
  retire(): void {
    this.#isRetired = true;
    if (this.#waiting.size === 0) this.end("retired");
  }

  end(text: string): void {
    if (this.#hasEnded) return;
    this.#isRetired = true;
    this.#hasEnded = true;
    this.#socket.close();
    for (const waiting of this.#waiting.values()) waiting.settle({ ok: false, reason: "unreachable", text });
  }

  #send(query: Uint8Array): void {
    this.#socket.send(query, (error) => {
      if (error !== null) this.end(messageOf(error));
    });
  }

  #take(bytes: Buffer): void {
    if (bytes.length < 2) return;
    const waiting = this.#waiting.get(bytes.readUInt16BE(0));
    if (waiting === undefined) return;
    const decoded = decodeMessage(bytes);
    if (!decoded.ok) {
      waiting.lie = `unreadable answer: expected ${decoded.problem.expected} at ${decoded.problem.at}`;
      return;
    }
    if (isAnswer(decoded.value, waiting, this.#exactCase)) waiting.settle({ ok: true, message: decoded.value });
    else waiting.lie = "an answer to another question came";
  }
}

function isAnswer(message: DnsMessage, waiting: Waiting, exactCase: boolean): boolean {
  return answersQuestion(message, message.id, waiting.name, waiting.type, exactCase);
}

function mixCase(name: string): string {
  return name.replace(/[a-z]/g, (letter) => (randomInt(2) === 0 ? letter : letter.toUpperCase()));
}
