import { emitNothing, type Emit } from "../foundation/events.ts";
import { parseCommand } from "../protocol/smtp/command.ts";
import { replyText } from "../protocol/smtp/reply.ts";
import { newSession, step } from "../mail/session/session.ts";
import { sessionSettings } from "../mail/session/settings.ts";
import type { Action, Content, Input, Peer, Session, Terms, World } from "../mail/session/state.ts";
import type { TlsFacts } from "../service/tls/facts.ts";

/** The session machine by itself: a whole dialogue in microseconds, without socket, promise or time. */
export interface Dialogue {
  readonly session: Session;
  /** The replies to one command line, each as `250 2.0.0 Ok`. */
  say(line: string, isMoreBehind?: boolean): readonly string[];
  give(input: Input): readonly string[];
  /** What the machine last asked for, replies and events left out. */
  readonly asked: readonly Action[];
  readonly world: World & { nowAt: number; short: string | undefined; because: string | undefined };
}

export const PLAIN_TERMS: Terms = {
  session: "s1",
  listener: "test",
  protocol: "smtp",
  hostname: "mx.test",
  settings: sessionSettings.parse({}),
  tls: "offer",
  auth: "off",
  mechanisms: ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN", "EXTERNAL"],
  clientCertificate: "none",
  mayAuthenticateInPlain: false,
  bareLineEnds: "reject",
  addsMissingFields: false,
  vrfy: "noncommittal",
  expn: "refuse",
  highestPriority: 9,
  mayEtrn: () => false,
  mayXclient: () => false,
  mayXforward: () => false,
};

export function dialogue(
  terms: Partial<Terms> = {},
  about: {
    peer?: Peer;
    tls?: TlsFacts;
    emit?: Emit;
    bindings?: Readonly<Record<string, Buffer>>;
    filters?: World["filters"];
  } = {},
): Dialogue {
  let ids = 0;
  const world = {
    nowAt: 1_800_000_000_000,
    short: undefined as string | undefined,
    because: undefined as string | undefined,
    terms: { ...PLAIN_TERMS, ...terms },
    allowance: { take: () => true, isSpent: () => false },
    now: () => world.nowAt,
    offsetMinutes: () => 0,
    shortage: () => world.short,
    paused: () => world.because,
    wantsAuthor: (): boolean | "to-warn" => false,
    newMessageId: () => `MESSAGE${++ids}`,
    binding: (kind: string) => about.bindings?.[kind],
    nonce: () => "a-nonce-of-the-server",
    filters: about.filters,
  };
  let session = newSession(about.peer ?? { address: "192.0.2.9", port: 4242, name: "client.example" }, about.tls);
  let asked: readonly Action[] = [];
  const emit = about.emit ?? emitNothing;
  const give = (input: Input): readonly string[] => {
    const [next, actions] = step(world, session, input);
    session = next;
    asked = actions.filter((action) => action.do !== "reply" && action.do !== "tell");
    for (const action of actions) if (action.do === "tell") action.tell(emit);
    return actions.flatMap((action) => (action.do === "reply" ? [replyText(action.reply)] : []));
  };
  give({ kind: "begin" });
  return {
    world,
    get session() {
      return session;
    },
    get asked() {
      return asked;
    },
    give,
    say(line, isMoreBehind = false) {
      const parsed = parseCommand(Buffer.from(line));
      return give(
        parsed.ok
          ? { kind: "command", command: parsed.value, bytesBehind: isMoreBehind ? 7 : 0 }
          : { kind: "malformed", problem: parsed.problem },
      );
    },
  };
}

/** Content of a few octets without fault. */
export function plainContent(changes: Partial<Content> = {}): Content {
  return {
    facts: { bytes: 20, has8bit: false, hasNul: false, longestLineBytes: 18, bareEndings: 0 },
    storedBytes: 200,
    hops: 1,
    ...changes,
  };
}

export function accepting(...recipients: readonly string[]): Input {
  const targets = recipients.map((recipient) => ({ recipient, action: "deliver" }));
  return { kind: "judged", judgement: { kind: "accept", rule: "test", targets } };
}
