import { setTimeout as wait } from "node:timers/promises";
import type { Random } from "../../src/foundation/random.ts";
import type { TestServer } from "../../test/server.ts";
import type { Account } from "./account.ts";
import { Client } from "./client.ts";
import { contentOf } from "./content.ts";
import { whereOf } from "./next-host.ts";

/**
 * Clients of every kind, each at a pace of its own, until they are stopped. A mail is owed from its 250 on; what breaks off
 * before that is owed by nobody. Whoever breaks off does so before the final dot, so that no mail is in doubt.
 */
export interface Load {
  /** How often each kind has done its work, and how often that failed in a way that it should not have. */
  readonly counts: ReadonlyMap<string, { done: number; failed: number; last: string }>;
  stop(): Promise<void>;
}

interface World {
  readonly ports: TestServer["ports"];
  readonly account: Account;
  readonly random: Random;
  /** Resolves early when all is to end. */
  readonly pause: (ms: number) => Promise<void>;
}

interface Kind {
  readonly name: string;
  readonly everyMs: number;
  readonly once: (world: World) => Promise<void>;
}

const BOXES = ["ada", "bob", "cid"];
const PASSWORD = Buffer.from("\0ada\0sesame").toString("base64");

const kinds: readonly Kind[] = [
  { name: "one mail a session", everyMs: 150, once: (world) => session(world, { port: "smtp", mails: 1 }) },
  { name: "twenty mails a session", everyMs: 2500, once: (world) => session(world, { port: "smtp", mails: 20 }) },
  { name: "STARTTLS", everyMs: 400, once: (world) => session(world, { port: "smtp", mails: 2, tls: true }) },
  {
    name: "login over implicit TLS",
    everyMs: 500,
    once: (world) => session(world, { port: "smtps", mails: 3, login: true }),
  },
  {
    name: "login after STARTTLS",
    everyMs: 900,
    once: (world) => session(world, { port: "submission", mails: 1, tls: true, login: true }),
  },
  {
    name: "TLS, gone without close_notify",
    everyMs: 700,
    once: (world) => session(world, { port: "smtps", mails: 1, login: true, drops: true }),
  },
  { name: "large mail", everyMs: 3000, once: (world) => session(world, { port: "smtp", mails: 1, bytes: 200_000 }) },
  { name: "mail that is deferred first", everyMs: 1500, once: (world) => special(world, "later") },
  { name: "mail that comes back", everyMs: 2500, once: (world) => special(world, "never") },
  { name: "slow client", everyMs: 4000, once: slowClient },
  { name: "gone in the middle of a mail", everyMs: 1500, once: goneInData },
  { name: "handshake that is broken off", everyMs: 700, once: brokenHandshake },
  { name: "nonsense, and wrong passwords", everyMs: 5000, once: nonsense },
];

export function startLoad(parts: {
  readonly ports: TestServer["ports"];
  readonly account: Account;
  readonly random: Random;
  /** Doubles the load when it is 2. */
  readonly rate: number;
}): Load {
  const stopping = new AbortController();
  const counts = new Map<string, { done: number; failed: number; last: string }>();
  const pause = async (ms: number): Promise<void> => {
    await wait(ms, undefined, { signal: stopping.signal }).catch(() => {});
  };
  const world: World = { ...parts, pause };
  const loops = kinds.map(async ({ name, everyMs, once }) => {
    const count = { done: 0, failed: 0, last: "" };
    counts.set(name, count);
    while (!stopping.signal.aborted) {
      try {
        await once(world);
        count.done++;
      } catch (thrown) {
        count.failed++;
        count.last = thrown instanceof Error ? thrown.message : String(thrown);
      }
      await pause((everyMs / parts.rate) * 2 * parts.random.next());
    }
  });
  return {
    counts,
    async stop() {
      stopping.abort();
      await Promise.all(loops);
    },
  };
}

interface Wish {
  readonly port: keyof TestServer["ports"];
  readonly mails: number;
  readonly bytes?: number;
  readonly tls?: boolean;
  readonly login?: boolean;
  readonly drops?: boolean;
}

async function session({ ports, account, random, pause }: World, wish: Wish): Promise<void> {
  const client = await Client.open(ports[wish.port], wish.port === "smtps" ? "tls" : "plain");
  try {
    await client.say("EHLO client.test");
    if (wish.tls === true) {
      await client.startTls();
      await client.say("EHLO client.test");
    }
    if (wish.login === true) await client.say(`AUTH PLAIN ${PASSWORD}`, /^235/);
    for (let mail = 0; mail < wish.mails; mail++) {
      const recipients = recipientsOf(random);
      const bytes = wish.bytes ?? (random.next() < 0.1 ? 20_000 + random.next() * 40_000 : 300 + random.next() * 4000);
      const number = account.next();
      await client.mail("soak@origin.test", recipients, contentOf(number, bytes));
      account.promise(number, recipients.map(whereOf));
      if (mail > 0) await pause(20 * random.next());
    }
    if (wish.drops !== true) await client.quit();
  } finally {
    client.drop();
  }
}

function recipientsOf(random: Random): readonly string[] {
  const box = `${BOXES[Math.floor(random.next() * BOXES.length)] ?? "ada"}@localhost`;
  const draw = random.next();
  if (draw < 0.3) return [box];
  if (draw < 0.5) return ["plain@far.test"];
  if (draw < 0.7) return ["crypt@tls.test"];
  if (draw < 0.85) return ["post@lmtp.test"];
  return [box, "plain@far.test", "crypt@tls.test", "post@lmtp.test"];
}

/** The number is in the recipient, so that the next host knows which it has seen. A mail that comes back is owed to its sender. */
async function special({ ports, account }: World, what: "later" | "never"): Promise<void> {
  const client = await Client.open(ports.smtp, "plain");
  try {
    await client.say("EHLO client.test");
    const number = account.next();
    await client.mail("returned@localhost", [`${what}-${number}@far.test`], contentOf(number, 500));
    account.promise(number, [what === "never" ? "returned" : what]);
    await client.quit();
  } finally {
    client.drop();
  }
}

async function slowClient({ ports, account, pause }: World): Promise<void> {
  const client = await Client.open(ports.smtp, "plain");
  try {
    await client.say("EHLO slow.test");
    await client.say("MAIL FROM:<soak@origin.test>");
    await client.say("RCPT TO:<ada@localhost>");
    await client.say("DATA", /^354/);
    const number = account.next();
    const text = `${contentOf(number, 2000)}\r\n.\r\n`;
    for (let at = 0; at < text.length; at += 200) {
      client.write(text.slice(at, at + 200));
      await pause(300);
    }
    await client.reply(/^250/);
    account.promise(number, ["ada"]);
    await client.quit();
  } finally {
    client.drop();
  }
}

async function goneInData({ ports, random }: World): Promise<void> {
  const client = await Client.open(ports.smtp, "plain");
  try {
    await client.say("EHLO gone.test");
    if (random.next() < 0.5) await client.startTls().then(() => client.say("EHLO gone.test"));
    await client.say("MAIL FROM:<soak@origin.test>");
    await client.say("RCPT TO:<ada@localhost>");
    if (random.next() < 0.3) return;
    await client.say("DATA", /^354/);
    // Sometimes enough for a body file, which nobody must leave behind.
    client.write(`Subject: half\r\n\r\n${"half a line ".repeat(random.next() < 0.5 ? 10 : 10_000)}`);
    await wait(50);
  } finally {
    client.drop();
  }
}

async function brokenHandshake({ ports, random }: World): Promise<void> {
  const { connect } = await import("node:net");
  const socket = connect(ports.smtps, "127.0.0.1");
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("connect", resolve));
  const draw = random.next();
  // The beginning of a record that would be long; or what is no TLS at all; or nothing.
  if (draw < 0.4) socket.write(Buffer.from("16030102000100", "hex"));
  else if (draw < 0.8) socket.write("EHLO somebody\r\n");
  await wait(draw < 0.2 ? 3000 : 30);
  if (draw < 0.5) socket.resetAndDestroy();
  else socket.destroy();
}

async function nonsense({ ports }: World): Promise<void> {
  const client = await Client.open(ports.submission, "plain");
  try {
    await client.say("EHLO nonsense.test");
    await client.say("MUMBLE", /^5/);
    await client.say("MAIL FROM:<nobody@origin.test>", /^5/);
    await client.startTls();
    await client.say("EHLO nonsense.test");
    await client.say(`AUTH PLAIN ${Buffer.from("\0ada\0sesam").toString("base64")}`, /^535/);
    await client.quit();
  } finally {
    client.drop();
  }
}
