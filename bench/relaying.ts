/**
 * What the way from the queue to the next host costs the processor, without sockets and disks: `node bench/relaying.ts
 * [--messages 20000] [--at-once 10] [--channel]`.
 *
 * The scheduler's driver over a store in memory, the client's side of SMTP over streams in memory, a host at the other end that
 * takes everything and offers PIPELINING: microseconds of this process for a message, from its commit to its removal, events as
 * records and inputs as JSON included. `--channel` puts a channel between scheduler and delivery, as between processes, and counts
 * both of its ends. Two versions are compared in turns: figures of different minutes say little.
 */
import { Duplex, duplexPair } from "node:stream";
import { systemClock } from "../src/foundation/clock.io.ts";
import { envelopeIdOf, messageIdOf } from "../src/foundation/ids.ts";
import { seededRandom } from "../src/foundation/random.ts";
import { openChannel, remote } from "../src/process/split/channel.ts";
import { networkMethods } from "../src/process/split/roles.ts";
import type { LocalDelivery, NetworkDelivery } from "../src/mail/delivery/delivery.ts";
import { smtpClientSettings } from "../src/mail/delivery/settings.ts";
import { createNetworkDelivery } from "../src/mail/delivery/smtp/network-delivery.io.ts";
import { createEmitter } from "../src/mail/log/emitter.ts";
import { memoryStore } from "../src/mail/queue/memory-store.ts";
import { removed } from "../src/mail/scheduler/events.ts";
import { Scheduler } from "../src/mail/scheduler/scheduler.io.ts";
import { coreSettingsOf } from "../src/simulator/core-settings.ts";
import { createZone } from "../src/simulator/zone.ts";
import { policiesOf, testKeeper } from "../src/testing/client-tls.ts";
import { scriptArguments } from "../tools/script-arguments.ts";

const { values: options } = scriptArguments({
  options: {
    messages: { type: "string", default: "20000" },
    "at-once": { type: "string", default: "10" },
    channel: { type: "boolean", default: false },
  },
});
const MESSAGES = Number(options.messages);
const WARM_UP_MESSAGES = 4000;
const LINE = `${"x".repeat(78)}\r\n`;
const BODY = Buffer.from(`Subject: a letter\r\n\r\n${LINE.repeat(128)}`);

/** Answers what was written, whole commands and whole content at once, in one piece. */
class Host extends Duplex {
  #isInContent = false;

  override _construct(done: () => void): void {
    this.push("220 host.example ESMTP\r\n");
    done();
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const said = chunk.toString("latin1");
    if (this.#isInContent) {
      if (said.endsWith("\r\n.\r\n") || said === ".\r\n") {
        this.#isInContent = false;
        this.push("250 2.0.0 Ok\r\n");
      }
    } else if (said.startsWith("EHLO")) this.push("250-host.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
    else if (said.endsWith("DATA\r\n")) {
      this.#isInContent = true;
      this.push("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n");
    } else this.push("250 2.0.0 Ok\r\n");
    done();
  }

  /** As sockets do: what is corked leaves in one piece. */
  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: () => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), "buffer", done);
  }
}

const { core } = coreSettingsOf({ actions: { onward: { relay: { to: "smtp://127.0.0.1:2525" } } } });
const settings = smtpClientSettings.parse({});
let count = 0;
let gone = 0;
let onGone = (): void => {};
const emitter = createEmitter({
  clock: systemClock,
  process: { role: "bench", pid: process.pid },
  level: "info",
  hand: (records) => {
    for (const { name } of records) if (name === removed.name) gone++;
    onGone();
  },
  batchMs: 0,
});
const delivery = createNetworkDelivery({
  clock: systemClock,
  random: seededRandom(1),
  emit: emitter.emit,
  settings,
  resolver: createZone({}),
  dial: () => Promise.resolve({ ok: true, stream: new Host() }),
  openBody: () => {
    throw new Error("all bodies are in memory");
  },
  credentials: () => undefined,
  hostname: "us.example",
  localAddresses: [],
  keeper: testKeeper(),
  policies: policiesOf(settings.tls),
});
const local: LocalDelivery = {
  deliver() {
    return Promise.reject(new Error("nothing is local"));
  },
};
await using scheduler = new Scheduler({
  store: memoryStore(),
  network: options.channel ? overChannel(delivery) : delivery,
  local,
  notices: { make: () => Promise.resolve({ kind: "unwanted" }) },
  clock: systemClock,
  emit: emitter.emit,
  seed: 1,
  settings: core,
  journal: {
    get wantsStart() {
      return count === 0;
    },
    recordInput() {},
  },
});
scheduler.start();

await pass(WARM_UP_MESSAGES);
const before = process.cpuUsage();
await pass(MESSAGES);
const { user, system } = process.cpuUsage(before);
console.log(`${((user + system) / MESSAGES).toFixed(1)} µs of processor time for a message`);

/** Commits so many messages, as many at once as asked for, and waits until none is left. */
async function pass(messages: number): Promise<void> {
  const until = gone + messages;
  let begun = 0;
  let isOver = (): void => {};
  const over = new Promise<void>((resolve) => (isOver = resolve));
  onGone = () => {
    for (; begun < messages && begun - (gone - (until - messages)) < Number(options["at-once"]); begun++) void commit();
    if (gone >= until) isOver();
  };
  onGone();
  await over;
}

function commit(): Promise<void> {
  const message = messageIdOf(45_000_000_000 * 4096 + ++count);
  return scheduler.commit({
    message: {
      id: message,
      sender: "sender@origin.example",
      receivedAt: systemClock.now(),
      sizeBytes: BODY.length,
      content: "7bit",
      isInternational: false,
      messageIdField: undefined,
      origin: { listener: "smtp", protocol: "ESMTP", session: `smtp-${count}`, address: "127.0.0.1", port: 2525 },
    },
    body: { kind: "inline", bytes: BODY },
    envelopes: [
      { id: envelopeIdOf(message, 1), message, recipient: "recipient@domain.example", notify: [], action: "onward" },
    ],
  });
}

function overChannel(inner: NetworkDelivery): NetworkDelivery {
  const [ours, theirs] = duplexPair();
  openChannel({
    stream: theirs,
    peer: "scheduler",
    handlers: Object.fromEntries(
      networkMethods.map((method) => [
        method,
        (...args: never[]) => Reflect.apply(inner[method], inner, args) as unknown,
      ]),
    ),
  });
  const channel = openChannel({ stream: ours, peer: "egress", handlers: {} });
  return remote<NetworkDelivery>(() => channel, networkMethods, "egress");
}
