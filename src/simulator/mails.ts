import { z } from "zod";
import { envelopeIdOf, messageIdOf, numberOfMessageId, type EnvelopeId, type MessageId } from "../foundation/ids.ts";
import type { Random } from "../foundation/random.ts";
import type { Envelope, Message } from "../mail/envelope/envelope.ts";
import type { LoadedEnvelope } from "../mail/queue/store.ts";
import { count, duration, size } from "../service/config/kinds.ts";
import type { WorldSettings } from "./world/settings.ts";
import { domainName } from "./world/world.ts";

/** Mail that comes in: so many messages, when, and for whom. */
export const workloadSettings = z.strictObject({
  mails: count({ min: 1, max: 100_000_000 }).describe("How many messages."),
  recipients: count({ min: 1, max: 10_000_000 }).default(1).describe("How many recipients each has."),
  to: z
    .union([
      z.string().transform((domain) => [{ domain, weight: 1 }]),
      z
        .array(
          z.strictObject({
            domain: z.string().describe("A kind of domains."),
            weight: z.number().positive().default(1).describe("Its part of the mail."),
          }),
        )
        .min(1),
    ])
    .describe("The kinds of domains that it goes to."),
  spread: z
    .enum(["in-turn", "random"])
    .default("in-turn")
    .describe("Which of a kind's domains: one after the other, or any."),
  begins: duration().prefault("0s").describe("When the first one comes."),
  over: duration().prefault("0s").describe("In what time they come; 0s: all at once."),
  arrivals: z
    .enum(["even", "poisson"])
    .default("even")
    .describe("At even distances, or by chance (a Poisson process)."),
  senders: count({ min: 1, max: 1_000_000 }).default(1).describe("How many senders they have between them."),
  size: size().prefault("10KiB").describe("The size of each."),
  action: z.string().default("relay").describe("The action, of the settings' `actions`, that they get."),
});
export type Workload = z.output<typeof workloadSettings>;

/** Where an envelope of the run stands, as whoever sends mail sees it. */
export const fates = { coming: 0, queued: 1, delivered: 2, gone: 3, expired: 4 } as const;

/**
 * All mail of a run, in columns: a million envelopes take some thirty megabytes. What can be made again from a number
 * (ids, addresses) is not kept.
 */
export class Mails {
  readonly workloads: readonly { readonly name: string; readonly settings: Workload }[];
  readonly envelopeCount: number;
  readonly messageCount: number;
  /** By envelope. */
  readonly fate: Uint8Array;
  /** RCPT commands that named it. */
  readonly presented: Uint16Array;
  readonly endedAt: Float64Array;
  /** Is it being tried just now? */
  readonly isTried: Uint8Array;
  readonly #kind: Uint16Array;
  readonly #domain: Uint32Array;
  /** By message. */
  readonly workload: Uint8Array;
  readonly receivedAt: Float64Array;
  readonly #firstEnvelope: Uint32Array;
  #messages = 0;
  #envelopes = 0;
  readonly #kinds: readonly string[];
  readonly #world: WorldSettings;
  readonly #random: Random;
  readonly #baseId: number;
  readonly #streams: Stream[];

  constructor(workloads: Readonly<Record<string, Workload>>, world: WorldSettings, random: Random, startAt: number) {
    this.workloads = Object.entries(workloads).map(([name, settings]) => ({ name, settings }));
    this.messageCount = sum(this.workloads.map(({ settings }) => settings.mails));
    this.envelopeCount = sum(this.workloads.map(({ settings }) => settings.mails * settings.recipients));
    this.fate = new Uint8Array(this.envelopeCount);
    this.presented = new Uint16Array(this.envelopeCount);
    this.endedAt = new Float64Array(this.envelopeCount);
    this.isTried = new Uint8Array(this.envelopeCount);
    this.#kind = new Uint16Array(this.envelopeCount);
    this.#domain = new Uint32Array(this.envelopeCount);
    this.workload = new Uint8Array(this.messageCount);
    this.receivedAt = new Float64Array(this.messageCount);
    this.#firstEnvelope = new Uint32Array(this.messageCount + 1);
    this.#kinds = Object.keys(world.domains);
    this.#world = world;
    this.#random = random;
    this.#baseId = Math.floor(startAt - IDS_BEGIN_AT) * 4096;
    this.#streams = this.workloads.map(({ settings }, at) => ({
      workload: at,
      settings,
      sent: 0,
      nextAt: startAt + settings.begins,
      turn: 0,
    }));
  }

  /** When the next message comes; Infinity: none does. */
  nextAt(): number {
    let next = Infinity;
    for (const stream of this.#streams) next = Math.min(next, stream.nextAt);
    return next;
  }

  /** What has come until `now`, at most so many envelopes (and at least one message). */
  take(now: number, most: number, expireAfterMs: number): readonly LoadedEnvelope[] {
    const taken: LoadedEnvelope[] = [];
    for (const stream of this.#streams) {
      while (stream.nextAt <= now && taken.length < most) this.#takeOne(stream, expireAfterMs, taken);
    }
    return taken;
  }

  #takeOne(stream: Stream, expireAfterMs: number, into: LoadedEnvelope[]): void {
    const { settings } = stream;
    const message = this.#messages++;
    const at = Math.floor(stream.nextAt);
    this.workload[message] = stream.workload;
    this.receivedAt[message] = at;
    this.#firstEnvelope[message] = this.#envelopes;
    const id = messageIdOf(this.#baseId + message);
    const sender = this.#senderOf(message, settings);
    for (let n = 1; n <= settings.recipients; n++) {
      const envelope = this.#envelopes++;
      this.#choose(envelope, stream);
      this.fate[envelope] = fates.queued;
      into.push({
        id: envelopeIdOf(id, n),
        message: id,
        recipient: this.recipientOf(envelope),
        sender,
        action: settings.action,
        sizeBytes: settings.size,
        receivedAt: at,
        progress: { state: "queued", dueAt: at, expiresAt: at + expireAfterMs, beganAt: at, attempts: 0 },
        wantsDelayNotice: true,
      });
    }
    this.#firstEnvelope[message + 1] = this.#envelopes;
    stream.sent++;
    if (stream.sent >= settings.mails) stream.nextAt = Infinity;
    else {
      const gap = settings.over / settings.mails;
      stream.nextAt += settings.arrivals === "even" ? gap : -Math.log(1 - this.#random.next()) * gap;
    }
  }

  #choose(envelope: number, stream: Stream): void {
    const { to, spread } = stream.settings;
    let chosen = to[0];
    if (to.length > 1) {
      let left = this.#random.next() * sum(to.map((one) => one.weight));
      for (const one of to) {
        chosen = one;
        left -= one.weight;
        if (left < 0) break;
      }
    }
    const kind = chosen?.domain ?? "";
    const domains = this.#world.domains[kind]?.count ?? 1;
    this.#kind[envelope] = this.#kinds.indexOf(kind);
    this.#domain[envelope] =
      domains === 1 ? 0 : spread === "random" ? Math.floor(this.#random.next() * domains) : stream.turn++ % domains;
  }

  get arrived(): number {
    return this.#envelopes;
  }

  recipientOf(envelope: number): string {
    return `u${envelope}@${domainName(this.#kinds[this.#kind[envelope] ?? 0] ?? "", this.#domain[envelope] ?? 0)}`;
  }

  #senderOf(message: number, { senders }: Workload): string {
    const name = this.workloads[this.workload[message] ?? 0]?.name ?? "";
    return `${name}${senders === 1 ? "" : (message % senders) + 1}@sender.example`;
  }

  /** The number of an envelope by its id. */
  numberOf(id: EnvelopeId): number {
    const dot = id.indexOf(".");
    return (this.#firstEnvelope[this.messageNumberOf(id.slice(0, dot))] ?? 0) + Number(id.slice(dot + 1)) - 1;
  }

  messageNumberOf(id: MessageId): number {
    return (numberOfMessageId(id) ?? 0) - this.#baseId;
  }

  firstEnvelopeOf(message: number): number {
    return message >= this.#messages ? this.#envelopes : (this.#firstEnvelope[message] ?? 0);
  }

  /** As the store would give them. */
  read(message: MessageId, ids: readonly EnvelopeId[]): { message: Message; envelopes: readonly Envelope[] } {
    const number = this.messageNumberOf(message);
    const settings = this.workloads[this.workload[number] ?? 0]?.settings;
    if (settings === undefined) throw new RangeError(`there is no message ${message}`);
    return {
      message: {
        id: message,
        sender: this.#senderOf(number, settings),
        receivedAt: this.receivedAt[number] ?? 0,
        sizeBytes: settings.size,
        content: "7bit",
        isInternational: false,
        origin: ORIGIN,
      },
      envelopes: ids.map((id) => ({
        id,
        message,
        recipient: this.recipientOf(this.numberOf(id)),
        notify: [],
        action: settings.action,
      })),
    };
  }
}

/** 2025-01-01T00:00:00Z: ids count from there. */
const IDS_BEGIN_AT = 1_735_689_600_000;
const ORIGIN = { listener: "simulated", protocol: "ESMTP", session: "simulated" } as const;

interface Stream {
  readonly workload: number;
  readonly settings: Workload;
  sent: number;
  nextAt: number;
  turn: number;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
