import { chownSync, mkdirSync, readdirSync } from "node:fs";
import { systemClock } from "../src/foundation/clock.io.ts";
import { envelopeIdOf, messageIdMaker } from "../src/foundation/ids.ts";
import type { EnvelopeProgress } from "../src/mail/envelope/envelope.ts";
import { queueSettings } from "../src/mail/queue/settings.ts";
import { openStore } from "../src/mail/queue/store.io.ts";
import type { Operation } from "../src/mail/queue/store.ts";
import type { Layout } from "../test/server.ts";

const DAY_MS = 86_400_000;
const NOBODY = 65_534;

/** Deferred mail: each envelope with why its last attempt failed. */
const tried: Pick<EnvelopeProgress, "attempts" | "lastFailure"> = {
  attempts: 3,
  lastFailure: {
    lasting: "temporary",
    status: "4.4.1",
    cause: { kind: "connect", reason: "refused", text: "ECONNREFUSED" },
  },
};

/**
 * Fills the queue of a server that does not run with messages of 1 KiB from 5,000 senders, one recipient each in 1,000 domains, all
 * due tomorrow; deferred (`isTried`) or never tried.
 */
export async function fillQueue(directory: string, count: number, layout: Layout, isTried: boolean): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const newId = messageIdMaker(systemClock, 15);
  {
    await using store = await openStore({ directory, settings: queueSettings.parse({}), clock: systemClock });
    for (let made = 0; made < count; made += 1000)
      await store.apply(
        Array.from({ length: Math.min(1000, count - made) }, (_, n) => commit(newId(), made + n, isTried)),
      );
  }
  // A split server's workers are somebody else.
  if (layout !== "split" || process.getuid?.() !== 0) return;
  for (const file of readdirSync(directory)) chownSync(`${directory}/${file}`, NOBODY, NOBODY);
}

function commit(id: string, number: number, isTried: boolean): Operation {
  const now = Date.now();
  const recipient = `user${number}@domain${number % 1000}.example`;
  return {
    do: "commit",
    message: {
      id,
      sender: `sender${number % 5000}@bench.test`,
      receivedAt: now,
      sizeBytes: 1024,
      content: "7bit",
      isInternational: false,
      messageIdField: `<${number}@bench.test>`,
      origin: { listener: "smtp", protocol: "ESMTP", session: "smtp-1", address: "192.0.2.7", port: 4711 },
    },
    body: { kind: "inline", bytes: Buffer.alloc(1024, "x") },
    envelopes: [
      {
        envelope: { id: envelopeIdOf(id, 1), message: id, recipient, notify: [], action: "onward" },
        progress: {
          state: "queued",
          dueAt: now + DAY_MS,
          expiresAt: now + 4 * DAY_MS,
          ...(isTried ? tried : { attempts: 0 }),
        },
      },
    ],
  };
}
