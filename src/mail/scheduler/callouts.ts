import type { Clock } from "../../foundation/clock.ts";
import { DeadlinePassed, withDeadline } from "../../foundation/deadline.ts";
import { messageOf } from "../../foundation/error.ts";
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
/** All of the asking, after which nobody listens any more. */
const MOST_MS = 120_000;
const MOST_HOSTS = 3;
/** Those that wait for their turn, for each that may be asked at once. */
const MOST_WAITING = 20;

export function createCallouts(parts: CalloutParts): Callouts {
  const { clock } = parts;
  const asking = new Map<string, Promise<CalloutAnswer>>();
  // Each for itself: strangers' hosts may take all the time they like, and nobody waits for them at a host behind us.
  const ofSenders = { known: new Map<string, Remembered>(), inTurn: createTurns() };
  const ofRecipients: typeof ofSenders = { known: new Map(), inTurn: createTurns() };
  let sessions = 0;

  const sideOf = ({ action }: CalloutAsk): typeof ofSenders => (action === undefined ? ofSenders : ofRecipients);
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
    let isAsked = false;
    const work = (): Promise<CalloutAnswer> => {
      isAsked = true;
      return find(parts, ask, () => `callout-${++sessions}`);
    };
    const found = sideOf(ask)
      .inTurn(ask.terms.atOnce, work)
      .then((answer) => {
        asking.delete(key);
        // That there was no turn says nothing of the address, and is known again at once.
        if (isAsked) remember(key, answer, ask);
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

type Turns = (most: number, work: () => Promise<CalloutAnswer>) => Promise<CalloutAnswer>;

/** So many at the same time, and so many that wait. */
function createTurns(): Turns {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (most, work) => {
    if (running >= most) {
      if (waiting.length >= most * MOST_WAITING) return { kind: "unknown", text: "too many addresses are asked for" };
      // Whoever ends hands over the turn.
      await new Promise<void>((resolve) => void waiting.push(resolve));
    } else running++;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
}

/** Never rejects. */
async function find(parts: CalloutParts, ask: CalloutAsk, session: () => string): Promise<CalloutAnswer> {
  try {
    return await withDeadline(parts.clock, MOST_MS, "asking the next host", (signal) =>
      findBy(parts, ask, session, signal),
    );
  } catch (thrown) {
    const text = thrown instanceof DeadlinePassed ? "the next hosts took too long" : messageOf(thrown);
    return { kind: "unknown", text };
  }
}

async function findBy(
  parts: CalloutParts,
  ask: CalloutAsk,
  session: () => string,
  signal: AbortSignal,
): Promise<CalloutAnswer> {
  const plan = planOf(parts.actions()[ask.action ?? "relay"] ?? BY_MX, parts.helo());
  if (plan.kind !== "relay") return { kind: "unknown", text: "its mail does not leave by SMTP" };
  const { domain } = splitAddress(ask.address);
  let last: CalloutAnswer = { kind: "unknown", text: "there is no host to ask" };
  let hosts = 0;
  for (const way of plan.ways) {
    const resolved = await parts.network.resolve(resolveRequestOf(way, domain.toLowerCase()));
    if (!resolved.ok) {
      const isFinal = resolved.failure.lasting === "permanent";
      last = { kind: isFinal ? "refused" : "unknown", text: failureText(resolved.failure) };
      continue;
    }
    for (const host of resolved.hosts) {
      if (signal.aborted || ++hosts > MOST_HOSTS) return last;
      last = await askHost(parts, { way, host, domain, helo: plan.helo, session: session() }, ask);
      if (last.kind !== "unknown") return last;
    }
  }
  return last;
}

const BY_MX = { kind: "relay", to: [], backup: false } as const;

async function askHost(
  { network }: CalloutParts,
  to: {
    readonly way: Way;
    readonly host: NextHost;
    readonly domain: string;
    readonly helo: string;
    readonly session: string;
  },
  { address, terms }: CalloutAsk,
): Promise<CalloutAnswer> {
  const { way, host, session, domain } = to;
  const { relay, verify } = way;
  const connected = await network.connect({
    session,
    host,
    protocol: relay.protocol,
    tls: relay.tls,
    verify,
    ...(relay.credentials === undefined ? {} : { credentials: relay.credentials }),
    helo: to.helo,
    relay: relay.to.kind === "mx" ? domain : way.text,
    destination: destinationOf(way, domain),
  });
  if (!connected.ok) return { kind: "unknown", text: failureText(connected.failure) };
  try {
    return answerOf(await network.tryRecipient(session, { from: terms.from, recipient: address }));
  } finally {
    // The goodbye is nobody's to wait for.
    network.leave(session).catch(() => {});
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
