import type { Clock } from "../../foundation/clock.ts";
import { DeadlinePassed, withDeadline } from "../../foundation/deadline.ts";
import { messageOf } from "../../foundation/error.ts";
import { Turns, type Bounds } from "../../foundation/turns.ts";
import { splitAddress } from "../../protocol/address/mailbox.ts";
import { replyText } from "../../protocol/smtp/reply.ts";
import type { NetworkDelivery, RecipientTried } from "../delivery/delivery.ts";
import type { CalloutAnswer, CalloutAsk, CalloutPort } from "../envelope/restrictions/callout.ts";
import { failureText } from "../envelope/failure-text.ts";
import type { Actions } from "../envelope/action-settings.ts";
import type { NextHost } from "../route/next-host.ts";
import { planOf, type Way } from "./plan.ts";
import { destinationOf, resolveRequestOf } from "./serve/serve.ts";

/**
 * Callouts: asking next hosts whether they take mail for an address, by the machinery that sends mail, its TLS policies
 * included. Here, because here is who knows the hosts, and because all who receive mail share what was heard.
 */
export type Callouts = Pick<CalloutPort, "callOut">;

export interface CalloutParts {
  readonly network: Pick<NetworkDelivery, "resolve" | "connect" | "tryRecipient" | "leave">;
  readonly clock: Clock;
  readonly actions: () => Actions;
  /** Our name in EHLO. */
  readonly helo: () => string;
}

interface Remembered {
  readonly answer: CalloutAnswer;
  readonly untilAt: number;
}

/** What could not be found out, so that a crowd of recipients costs one question. */
const UNKNOWN_KEPT_MS = 60_000;
/** All of the asking for one address, its waits for turns included; afterwards nobody listens any more. */
const MOST_MS = 120_000;
/** They share that time: behind one that lets us wait the others are asked, too. */
const MOST_HOSTS = 3;
/** Those that wait for a host's turn, for each that may be asked there at once. */
const MOST_WAITING = 20;
/** So many hosts, or domains whose hosts are looked for, may let us wait with all that they may have of it. */
const MOST_SLOW = 4;
/** That there was no turn says nothing of the address: it is not remembered. */
const NO_TURN: CalloutAnswer = { kind: "unknown", text: "too many addresses are asked for" };

/** What is asked of senders, or of recipients. */
interface Side {
  readonly known: Map<string, Remembered>;
  /** Who is asked for, from the looking for hosts on, by the domain. */
  readonly places: Turns;
  /** Who is asked, by the host. */
  readonly turns: Turns;
}

function side(): Side {
  // Each time with the bounds of the settings by then.
  return { known: new Map(), places: new Turns({ most: 0 }), turns: new Turns({ most: 0 }) };
}

function boundsOf({ atOnce }: CalloutAsk["terms"]): { readonly places: Bounds; readonly turns: Bounds } {
  const ofOne = atOnce * (1 + MOST_WAITING);
  return {
    places: { most: ofOne * MOST_SLOW, mostPerKey: ofOne, mostWaiting: 0 },
    turns: { most: atOnce * MOST_SLOW, mostPerKey: atOnce, mostWaiting: atOnce * MOST_WAITING },
  };
}

export function createCallouts(parts: CalloutParts): Callouts {
  const { clock } = parts;
  const asking = new Map<string, Promise<CalloutAnswer>>();
  // Each for itself: strangers' hosts may take all the time they like, and nobody waits for them at a host behind us.
  const ofSenders = side();
  const ofRecipients = side();
  let sessions = 0;

  const sideOf = ({ action }: CalloutAsk): Side => (action === undefined ? ofSenders : ofRecipients);
  const remember = (key: string, answer: CalloutAnswer, ask: CalloutAsk): void => {
    const { terms } = ask;
    const { known } = sideOf(ask);
    const keptMs =
      answer.kind === "taken" ? terms.rememberGood : answer.kind === "refused" ? terms.rememberBad : UNKNOWN_KEPT_MS;
    known.delete(key);
    known.set(key, { answer, untilAt: clock.now() + keptMs });
    // The one that was heard of longest ago.
    for (const oldest of known.keys()) {
      if (known.size <= terms.mostRemembered) break;
      known.delete(oldest);
    }
  };
  const begin = (key: string, ask: CalloutAsk): Promise<CalloutAnswer> => {
    const { places, turns } = sideOf(ask);
    const work = (): Promise<CalloutAnswer> => find({ ...parts, turns, session: () => `callout-${++sessions}` }, ask);
    const domain = splitAddress(ask.address).domain.toLowerCase();
    const found = places.tryTake(work, { key: domain, bounds: boundsOf(ask.terms).places }).then((answer = NO_TURN) => {
      asking.delete(key);
      if (answer !== NO_TURN) remember(key, answer, ask);
      return answer;
    });
    asking.set(key, found);
    return found;
  };
  return {
    async callOut(ask) {
      const key = JSON.stringify([ask.address, ask.action, ask.terms.from]);
      const remembered = sideOf(ask).known.get(key);
      if (remembered !== undefined && clock.now() < remembered.untilAt) return remembered.answer;
      const found = asking.get(key) ?? begin(key, ask);
      try {
        return await withDeadline(clock, ask.terms.wait, "asking the next host", () => found);
      } catch (thrown) {
        return { kind: "unknown", text: messageOf(thrown) };
      }
    },
  };
}

interface Asking extends CalloutParts {
  readonly turns: Turns;
  /** A name for the next one. */
  readonly session: () => string;
}

/** Never rejects. */
async function find(asking: Asking, ask: CalloutAsk): Promise<CalloutAnswer> {
  try {
    return await findBy(asking, ask);
  } catch (thrown) {
    const text = thrown instanceof DeadlinePassed ? "the next hosts took too long" : messageOf(thrown);
    return { kind: "unknown", text };
  }
}

async function findBy(asking: Asking, ask: CalloutAsk): Promise<CalloutAnswer> {
  const { clock, network } = asking;
  const plan = planOf(asking.actions()[ask.action ?? "relay"] ?? BY_MX, asking.helo());
  if (plan.kind !== "relay") return { kind: "unknown", text: "its mail does not leave by SMTP" };
  const untilMs = clock.monotonicMs() + MOST_MS;
  const { domain } = splitAddress(ask.address);
  let last: CalloutAnswer = { kind: "unknown", text: "there is no host to ask" };
  let hosts = 0;
  for (const [nth, way] of plan.ways.entries()) {
    const limitMs = untilMs - clock.monotonicMs();
    if (limitMs <= 0) return last;
    const resolved = await withDeadline(clock, limitMs, "looking for the next host", () =>
      network.resolve(resolveRequestOf(way, domain.toLowerCase())),
    );
    if (!resolved.ok) {
      const isFinal = resolved.failure.lasting === "permanent";
      last = { kind: isFinal ? "refused" : "unknown", text: failureText(resolved.failure) };
      continue;
    }
    for (const [at, host] of resolved.hosts.entries()) {
      const leftMs = untilMs - clock.monotonicMs();
      if (leftMs <= 0 || ++hosts > MOST_HOSTS) return last;
      const toCome = resolved.hosts.length - at + plan.ways.length - nth - 1;
      const shareMs = leftMs / Math.min(toCome, MOST_HOSTS - hosts + 1);
      const answer = await askInTurn(asking, { way, host, domain, helo: plan.helo }, ask, shareMs);
      // What one of them had to say is worth more than that another was not asked.
      if (answer !== NO_TURN || hosts === 1) last = answer;
      if (last.kind !== "unknown") return last;
    }
  }
  return last;
}

const BY_MX = { kind: "relay", to: [], backup: false } as const;

interface Place {
  readonly way: Way;
  readonly host: NextHost;
  readonly domain: string;
  readonly helo: string;
}

/** `limitMs`: with the wait for the host's turn, which is given on in any case then. */
async function askInTurn(asking: Asking, place: Place, ask: CalloutAsk, limitMs: number): Promise<CalloutAnswer> {
  const { clock, turns } = asking;
  const { name, address } = place.host;
  const what = `the answer of ${name}`;
  const key = "ip" in address ? `${address.ip}:${address.port}` : address.path;
  let hasBegun = false;
  const begin = (whole: AbortSignal): Promise<CalloutAnswer> => {
    hasBegun = true;
    return withDeadline(clock, limitMs, what, (signal) => askHost(asking, place, ask, signal), whole);
  };
  try {
    const answer = await withDeadline(clock, limitMs, what, (patience) =>
      turns.tryTake(() => begin(patience), { key, patience, bounds: boundsOf(ask.terms).turns }),
    );
    return answer ?? NO_TURN;
  } catch (thrown) {
    return hasBegun ? { kind: "unknown", text: messageOf(thrown) } : NO_TURN;
  }
}

async function askHost(
  { network, session: nextSession }: Asking,
  { way, host, domain, helo }: Place,
  { address, terms }: CalloutAsk,
  signal: AbortSignal,
): Promise<CalloutAnswer> {
  const { relay, verify } = way;
  const session = nextSession();
  // The goodbye is nobody's to wait for.
  const leave = (): void => void network.leave(session).catch(() => {});
  const connected = await network.connect({
    session,
    host,
    protocol: relay.protocol,
    tls: relay.tls,
    verify,
    ...(relay.credentials === undefined ? {} : { credentials: relay.credentials }),
    helo,
    relay: relay.to.kind === "mx" ? domain : way.text,
    destination: destinationOf(way, domain),
  });
  if (!connected.ok) return { kind: "unknown", text: failureText(connected.failure) };
  try {
    if (signal.aborted) return { kind: "unknown", text: "it took too long" };
    // Whoever gives it up ends it: its turn is somebody else's by then.
    signal.addEventListener("abort", leave, { once: true });
    return answerOf(await network.tryRecipient(session, { from: terms.from, recipient: address }));
  } finally {
    signal.removeEventListener("abort", leave);
    leave();
  }
}

/** By which a host says that there is no such address; other refusals may be about us. */
const NO_SUCH_ADDRESS: ReadonlySet<number> = new Set([550, 551, 553, 556]);

function answerOf(tried: RecipientTried): CalloutAnswer {
  if (tried.kind === "failed") return { kind: "unknown", text: tried.text };
  const { reply } = tried;
  const text = `host ${tried.host} said: ${replyText(reply)} (in reply to ${tried.to})`;
  if (tried.to === "RCPT" && reply.code < 300) return { kind: "taken" };
  const isOfAddress = NO_SUCH_ADDRESS.has(reply.code) && reply.status?.startsWith("5.7.") !== true;
  return { kind: tried.to === "RCPT" && isOfAddress ? "refused" : "unknown", text };
}
