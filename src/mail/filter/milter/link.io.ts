import { connect, type Socket } from "node:net";
import type { Clock, Timer } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { LineTrace } from "../../../foundation/line-trace.ts";
import { formatDuration } from "../../../foundation/units.ts";
import { parseMilterAnswer, type MilterAnswer } from "../../../protocol/milter/answer.ts";
import { milterCommand } from "../../../protocol/milter/command.ts";
import { agree, milterOffer, type MilterAgreement } from "../../../protocol/milter/negotiation.ts";
import { milterPacketReader } from "../../../protocol/milter/packet.ts";
import { connectError } from "../../../service/table/pool/server-tls.io.ts";
import { MilterBroken, type MilterLink } from "./link.ts";
import type { MilterSettings } from "./settings.ts";

export interface LinkWorld {
  readonly clock: Clock;
  readonly trace: LineTrace;
}

/** Answers that wait to be heard; more than that, and the milter waits until some are. */
const MOST_UNHEARD = 32;
/** For the goodbye to leave, before the connection is cut. */
const GOODBYE_MS = 2000;

/** Connects and agrees on the protocol; rejects with `MilterBroken`. */
export async function openMilterLink(
  name: string,
  settings: MilterSettings,
  world: LinkWorld,
  signal: AbortSignal,
): Promise<MilterLink> {
  const { address, connectTimeout, protocol } = settings;
  const socket =
    address.kind === "unix"
      ? connect({ path: address.path })
      : connect({ host: address.host, port: address.port, noDelay: true });
  const link = new Link(name, socket, world);
  const onAbort = (): void => link.drop("took too long to connect");
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    await link.connected(connectTimeout);
    await link.write(milterOffer(protocol), connectTimeout);
    const answer = await link.answer(connectTimeout);
    if (answer.says !== "negotiate") throw new MilterBroken(`answered our offer with "${answer.says}"`);
    const agreed = agree(protocol, answer.data);
    if (!agreed.ok) throw new MilterBroken(`does not agree with us: ${agreed.problem}`);
    link.agreement = agreed.value;
    return link;
  } catch (thrown) {
    link.drop(messageOf(thrown));
    throw thrown;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

class Link implements MilterLink {
  /** What the version before all others had, until there is an agreement. */
  agreement: MilterAgreement = { version: 2, actions: 0, steps: 0, macros: new Map() };
  isConnected = false;
  readonly #name: string;
  readonly #socket: Socket;
  readonly #world: LinkWorld;
  readonly #unheard: MilterAnswer[] = [];
  #broken: MilterBroken | undefined;
  #waiting: { resolve: (answer: MilterAnswer) => void; reject: (why: Error) => void; timer: Timer } | undefined;
  /** Of a write that waits for room. */
  #goOn: (() => void) | undefined;

  constructor(name: string, socket: Socket, world: LinkWorld) {
    this.#name = name;
    this.#socket = socket;
    this.#world = world;
    const read = milterPacketReader();
    socket.on("data", (chunk: Uint8Array) => {
      if (this.#broken !== undefined) return;
      const packets = read(chunk);
      if (!packets.ok) return this.drop(`sent ${packets.problem}`);
      for (const packet of packets.value) {
        const answer = parseMilterAnswer(packet);
        if (!answer.ok) return this.drop(`sent ${answer.problem}`);
        this.#hear(answer.value);
      }
    });
    socket.on("drain", () => this.#goOn?.());
    socket.once("connect", () => {
      this.isConnected = true;
      this.#goOn?.();
    });
    // Kept for the socket's life: an error that nobody listens for would end the process.
    socket.on("error", (error) =>
      this.drop(
        this.isConnected
          ? `broke the connection (${messageOf(error)})`
          : `can't be reached (${messageOf(connectError(error))})`,
      ),
    );
    socket.on("close", () => this.drop("closed the connection"));
  }

  get hasUnheard(): boolean {
    return this.#unheard.length > 0;
  }

  get isOpen(): boolean {
    return this.#broken === undefined;
  }

  connected(limitMs: number): Promise<void> {
    return this.#room(limitMs, "can't be reached within");
  }

  write(packets: Buffer, limitMs: number): void | Promise<void> {
    if (this.#broken !== undefined) throw this.#broken;
    const { trace } = this.#world;
    if (trace.isOn) for (const code of codesIn(packets)) trace.show(`${this.#name} > ${code}`);
    if (!this.#socket.write(packets)) return this.#room(limitMs, "took nothing for");
  }

  answer(limitMs: number): Promise<MilterAnswer> {
    const next = this.#unheard.shift();
    if (next !== undefined) {
      if (this.#unheard.length === 0) this.#socket.resume();
      return Promise.resolve(next);
    }
    return new Promise((resolve, reject) => {
      if (this.#broken !== undefined) {
        reject(this.#broken);
        return;
      }
      const timer = this.#world.clock.after(limitMs, () => this.drop(`said nothing for ${formatDuration(limitMs)}`));
      this.#waiting = { resolve, reject, timer };
    });
  }

  quit(): void {
    if (this.#broken !== undefined) return;
    this.#broken = new MilterBroken("was let go");
    // What it still says is thrown away, so that its end of the connection is seen.
    this.#socket.resume();
    this.#socket.end(milterCommand.quit());
    const timer = this.#world.clock.after(GOODBYE_MS, () => this.#socket.destroy());
    this.#socket.once("close", () => timer.cancel());
  }

  drop(why: string): void {
    this.#broken ??= new MilterBroken(why);
    this.#socket.destroy();
    const waits = this.#waiting;
    this.#waiting = undefined;
    waits?.timer.cancel();
    waits?.reject(this.#broken);
    this.#goOn?.();
  }

  #hear(answer: MilterAnswer): void {
    const { trace } = this.#world;
    if (trace.isOn) trace.show(`${this.#name} < ${answer.says}`);
    const waits = this.#waiting;
    if (waits === undefined) {
      this.#unheard.push(answer);
      if (this.#unheard.length >= MOST_UNHEARD) this.#socket.pause();
      return;
    }
    this.#waiting = undefined;
    waits.timer.cancel();
    waits.resolve(answer);
  }

  /** Until something can be written, or the milter is gone. One waits at a time. */
  #room(limitMs: number, tooLate: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#world.clock.after(limitMs, () => this.drop(`${tooLate} ${formatDuration(limitMs)}`));
      this.#goOn = () => {
        this.#goOn = undefined;
        timer.cancel();
        if (this.#broken === undefined) resolve();
        else reject(this.#broken);
      };
      if (this.#broken !== undefined) this.#goOn();
    });
  }
}

/** The commands in what is written, for the trace; never their data. */
function codesIn(packets: Buffer): readonly string[] {
  const codes: string[] = [];
  for (let at = 0; at + 5 <= packets.length; at += 4 + packets.readUInt32BE(at))
    codes.push(COMMANDS[packets.toString("latin1", at + 4, at + 5)] ?? "?");
  return codes;
}

const COMMANDS: Readonly<Record<string, string>> = {
  A: "abort",
  B: "body",
  C: "connect",
  D: "macros",
  E: "end of body",
  H: "helo",
  L: "header",
  M: "mail",
  N: "end of header",
  O: "negotiate",
  Q: "quit",
  R: "rcpt",
  T: "data",
  U: "unknown",
};
