import { createHash } from "node:crypto";
import { writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { PosthornError } from "../../src/foundation/error.ts";
import { envelopeIdOf, messageIdMaker, type MessageId } from "../../src/foundation/ids.ts";
import { seededRandom } from "../../src/foundation/random.ts";
import { openIntake } from "../../src/mail/queue/intake.io.ts";
import { selfHealingStore } from "../../src/mail/queue/self-healing-store.ts";
import { openQueueStore } from "../../src/mail/queue/open-queue-store.io.ts";
import { queueSettings } from "../../src/mail/queue/settings.ts";
import type { Store } from "../../src/mail/queue/store.ts";
import { storeIn } from "./spool-check.ts";

/**
 * A program that receives messages as a server would, and says on standard output what it would have promised:
 *
 *     kept ID SHA256        the commit resolved: from here on the message must survive whatever happens
 *     refused ID CODE       the commit or the body was refused: nothing was promised
 *     leaving ID            its removal is asked for: from here on it may be gone
 *     left ID               the removal resolved: it must not come back
 *     done                  all of it went through, and the store was closed
 *
 * Crash tests kill it, let its system calls fail, or record what it writes, and then compare the spool with its words.
 * Each line is one write, so the order of the lines and of the writes to disk is the order of a recording.
 */
const { values: options } = parseArgs({
  options: {
    directory: { type: "string" },
    messages: { type: "string", default: "60" },
    committers: { type: "string", default: "6" },
    seed: { type: "string", default: "1" },
    // Who keeps the queue in place of the embedded store; gets the name of its file.
    "queue-program": { type: "string" },
  },
});
const random = seededRandom(Number(options.seed));
const nextId = messageIdMaker(systemClock, 3);
const directory = options.directory ?? "";
const settings = queueSettings.parse({
  inlineBodyUpTo: "4KiB",
  minFreeBytes: 0,
  minFreeInodes: 0,
  store: storeIn(directory, options["queue-program"]),
});

say("starting");
const store = await selfHealingStore(
  () => openQueueStore({ directory, settings, clock: systemClock, checkpointPages: 150 }),
  {
    directory,
    clock: systemClock,
  },
);
const intake = openIntake({ directory, settings, clock: systemClock });
let left = Number(options.messages);
await Promise.all(Array.from({ length: Number(options.committers) }, () => receiveSome(store)));
await store[Symbol.asyncDispose]();
say("done");

async function receiveSome(store: Store): Promise<void> {
  while (left-- > 0) {
    const id = nextId();
    try {
      await receive(store, id);
      // One in three leaves again, as mail does; the rest shows what survives.
      if (random.next() < 0.33) await deliver(store, id);
    } catch (thrown) {
      say(`refused ${id} ${thrown instanceof PosthornError ? thrown.code : String(thrown)}`);
      // The store heals itself after a second, on a busy machine later; who came again at once would use up all messages.
      if (thrown instanceof PosthornError && thrown.code === "SPOOL_FAILED")
        await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

async function receive(store: Store, id: MessageId): Promise<void> {
  const sizeBytes = Math.floor(random.next() < 0.7 ? random.next() * 4000 : 4000 + random.next() * 200_000);
  const content = Buffer.alloc(sizeBytes, `${id} ${random.next()}\r\n`);
  const writer = intake.begin(id);
  try {
    for (let at = 0; at < content.length; at += 30_000) await writer.write(content.subarray(at, at + 30_000));
    const body = await writer.finish();
    const now = Date.now();
    await store.apply([
      {
        do: "commit",
        message: {
          id,
          sender: "sender@example.org",
          receivedAt: now,
          sizeBytes,
          content: "7bit",
          isInternational: false,
          origin: { listener: "smtp", protocol: "ESMTP", session: "s1" },
        },
        body,
        envelopes: [1, 2].map((index) => ({
          envelope: {
            id: envelopeIdOf(id, index),
            message: id,
            recipient: `recipient${index}@example.net`,
            notify: [],
            action: "relay",
          },
          progress: { state: "queued", dueAt: now, expiresAt: now + 1e9, attempts: 0 },
        })),
      },
    ]);
  } catch (thrown) {
    await writer.abort(thrown);
    throw thrown;
  }
  say(`kept ${id} ${createHash("sha256").update(content).digest("hex")}`);
}

async function deliver(store: Store, id: MessageId): Promise<void> {
  const startedAt = Date.now();
  await store.apply([
    {
      do: "update",
      envelope: envelopeIdOf(id, 1),
      progress: { state: "queued", dueAt: startedAt + 1, expiresAt: startedAt + 1e9, attempts: 1 },
      attempt: { startedAt, tookMs: 1, outcome: "deferred", relay: "none" },
    },
  ]);
  say(`leaving ${id}`);
  await store.apply([{ do: "remove", envelope: envelopeIdOf(id, 1) }]);
  await store.apply([{ do: "remove", envelope: envelopeIdOf(id, 2) }]);
  say(`left ${id}`);
}

function say(line: string): void {
  writeSync(1, `${line}\n`);
}
