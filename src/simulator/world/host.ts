import type { Random } from "../../foundation/random.ts";
import { formatExtensions, limitsExtension } from "../../protocol/smtp/extensions.ts";
import { reply, type Reply } from "../../protocol/smtp/reply.ts";
import { Greylist } from "./greylist.ts";
import { isDuring, type HostModel, type ReplyModel } from "./settings.ts";

/** What hosts of one kind saw. */
export interface HostCounts {
  connections: number;
  mostConnections: number;
  /** Connections that were refused, left hanging or turned away before EHLO. */
  turnedAway: number;
  mails: number;
  recipients: number;
  taken: number;
  deferred: number;
  refused: number;
  cut: number;
}

export function noCounts(): HostCounts {
  const none = { connections: 0, mostConnections: 0, turnedAway: 0, mails: 0, recipients: 0 };
  return { ...none, taken: 0, deferred: 0, refused: 0, cut: 0 };
}

/** What the whole world shares. */
export interface WorldTime {
  readonly startAt: number;
  readonly random: Random;
}

/** One mail host: its behaviour, and what it remembers between connections. */
export class Host {
  readonly name: string;
  readonly model: HostModel;
  readonly counts: HostCounts;
  readonly hello: Reply;
  readonly greylist: Greylist | undefined;
  readonly #world: WorldTime;
  readonly #connections = new Map<string, number>();
  #open = 0;
  readonly #rates = new Map<string, { since: number; count: number }>();

  constructor(name: string, model: HostModel, counts: HostCounts, world: WorldTime) {
    this.name = name;
    this.model = model;
    this.counts = counts;
    this.#world = world;
    this.hello = helloOf(name, model);
    this.greylist = model.greylisting === undefined ? undefined : new Greylist(model.greylisting);
  }

  /** A connection to one of its addresses: what becomes of it. `421`, `554`: it is made, and greeted so. */
  connect(client: string, isIpv6: boolean, now: number): "works" | "refuses" | "hangs" | "421" | "554" {
    const since = now - this.#world.startAt;
    this.counts.connections++;
    const down = this.model.down.find((period) => isDuring(period, since));
    const reach = isIpv6 ? this.model.ipv6 : this.model.ipv4;
    const unwanted = this.model.sources.find((one) => one.address === client && isDuring(one, since));
    const end =
      down?.how ?? (reach === "none" ? "refuses" : reach !== "works" ? reach : (unwanted?.how ?? this.#crowd(client)));
    if (end !== "works") this.counts.turnedAway++;
    if (end === "refuses" || end === "hangs") return end;
    this.#open++;
    this.#connections.set(client, (this.#connections.get(client) ?? 0) + 1);
    this.counts.mostConnections = Math.max(this.counts.mostConnections, this.#open);
    return end;
  }

  #crowd(client: string): "works" | "refuses" | "hangs" | "421" {
    const { connections } = this.model;
    if (connections === undefined) return "works";
    const { most = Infinity, perClient = Infinity, beyond } = connections;
    return this.#open >= most || (this.#connections.get(client) ?? 0) >= perClient ? beyond : "works";
  }

  disconnect(client: string): void {
    this.#open--;
    const left = (this.#connections.get(client) ?? 1) - 1;
    if (left > 0) this.#connections.set(client, left);
    else this.#connections.delete(client);
  }

  cuts(at: HostModel["drops"][number]["at"], now: number): boolean {
    if (this.model.drops.length === 0) return false;
    const since = now - this.#world.startAt;
    const isCut = this.model.drops.some(
      (drop) => drop.at === at && isDuring(drop, since) && this.#world.random.next() < drop.likelihood,
    );
    if (isCut) this.counts.cut++;
    return isCut;
  }

  storm(at: HostModel["storms"][number]["at"], now: number): Reply | undefined {
    if (this.model.storms.length === 0) return undefined;
    const since = now - this.#world.startAt;
    for (const storm of this.model.storms) {
      if (storm.at === at && isDuring(storm, since) && this.#world.random.next() < storm.likelihood)
        return replyOf(storm.reply);
    }
    return undefined;
  }

  /** What it says to a recipient besides storms: a refusal, or nothing. */
  judge(client: string, sender: string, recipient: string, now: number): Reply | undefined {
    const { model } = this;
    const grey = this.greylist?.refuses(client, sender, recipient, now);
    if (grey !== undefined) return grey;
    const tooFast = this.#tooFast(client, now);
    if (tooFast !== undefined) return tooFast;
    if (model.recipients.length > 0) {
      const local = recipient.slice(0, recipient.lastIndexOf("@"));
      const since = now - this.#world.startAt;
      const own = model.recipients.find((one) => isDuring(one, since) && matches(one.match, local));
      if (own !== undefined) return replyOf(own.reply);
    }
    if (model.unknownUsers > 0 || model.fullMailboxes > 0) {
      const at = shareOf(recipient);
      if (at < model.unknownUsers) return UNKNOWN;
      if (at < model.unknownUsers + model.fullMailboxes) return FULL;
    }
    return undefined;
  }

  #tooFast(client: string, now: number): Reply | undefined {
    const { rate } = this.model;
    if (rate === undefined) return undefined;
    const known = this.#rates.get(client);
    if (known === undefined || now - known.since >= rate.per) {
      this.#rates.set(client, { since: now, count: 1 });
      return undefined;
    }
    return ++known.count > rate.most ? replyOf(rate.reply) : undefined;
  }
}

const UNKNOWN = reply(550, "5.1.1", "No such user here");
const FULL = reply(452, "4.2.2", "Mailbox full");

function helloOf(name: string, { announces }: HostModel): Reply {
  const { pipelining, chunking, tls, size, mostMails, mostRecipients } = announces;
  const limits = limitsExtension({ mailMax: mostMails, rcptMax: mostRecipients });
  const extensions = [
    ...(pipelining ? [{ keyword: "PIPELINING" }] : []),
    ...(chunking ? [{ keyword: "CHUNKING" }] : []),
    ...(tls === "no" ? [] : [{ keyword: "STARTTLS" }]),
    { keyword: "SIZE", parameters: size === undefined ? [] : [String(size)] },
    { keyword: "8BITMIME" },
    { keyword: "ENHANCEDSTATUSCODES" },
    ...(limits === undefined ? [] : [limits]),
  ];
  return reply(250, undefined, ...formatExtensions(name, extensions));
}

function replyOf(model: ReplyModel): Reply {
  return reply(model.code, model.status === "" ? undefined : model.status, model.text);
}

function matches(pattern: string, local: string): boolean {
  if (!pattern.includes("*")) return pattern === local;
  const [first = "", ...rest] = pattern.split("*");
  if (!local.startsWith(first)) return false;
  let at = first.length;
  for (const [index, part] of rest.entries()) {
    if (index === rest.length - 1) return local.length - part.length >= at && local.endsWith(part);
    const found = local.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return true;
}

/** A number from 0 to 1 that always is the same for a recipient (FNV-1a, mixed once more). */
function shareOf(recipient: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < recipient.length; at++) hash = Math.imul(hash ^ recipient.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return ((hash ^ (hash >>> 12)) >>> 0) / 2 ** 32;
}
