import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { envelopeIdOf, messageIdOf } from "../../foundation/ids.ts";
import { coreSettings, NOON } from "../../simulator/scheduling.ts";
import type { LoadedEnvelope } from "../queue/store.ts";
import { step } from "./scheduler.ts";
import { newScheduler } from "./state.ts";

const FIRST = 10_000;
const COUNT = 110_000;
/** The mark is 600 bytes of resident memory (`bench/scheduler.ts` measures it); V8's heap has to stay below that. */
const MOST_BYTES = 600;
const HOUR = 3_600_000;

function envelope(n: number): LoadedEnvelope {
  const message = messageIdOf(184_000_000_000_000 + n);
  const isReady = n % 2 === 0;
  return {
    id: envelopeIdOf(message, 1),
    message,
    recipient: `recipient.${n}@domain${n % 5000}.example`,
    sender: `sender.${n}@origin${(n * 7) % 5000}.example`,
    action: "relay",
    sizeBytes: 1000 + (n % 50_000),
    receivedAt: NOON - (n % 12) * HOUR,
    progress: {
      state: "queued",
      dueAt: isReady ? NOON : NOON + (n % 4000) * 3600,
      expiresAt: NOON + 96 * HOUR - (n % 12) * HOUR,
      attempts: isReady ? 0 : 3,
      ...(n % 3 === 0 ? { warnedAt: NOON - HOUR } : {}),
    },
    wantsDelayNotice: true,
  };
}

test("an envelope in a long queue takes no more memory than it did", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const heapBytes = (): number => {
    collect();
    collect();
    return process.memoryUsage().heapUsed;
  };
  const state = newScheduler(coreSettings(), 1);
  const load = (from: number, to: number): void => {
    for (let n = from; n < to; n += 500) {
      const portion = Array.from({ length: 500 }, (_, at) => envelope(n + at));
      // As it comes from the store's thread: strings that are shared with nothing.
      step(state, { on: "loaded", envelopes: structuredClone(portion) }, NOON);
    }
  };
  load(0, FIRST);
  const before = heapBytes();
  load(FIRST, COUNT);
  const bytes = (heapBytes() - before) / (COUNT - FIRST);
  assert.deepEqual([state.counts.ready, state.counts.waiting], [COUNT / 2, COUNT / 2]);
  assert.ok(bytes < MOST_BYTES, `${bytes.toFixed(0)} bytes an envelope`);
  // A measurement that sees nothing would pass as well.
  assert.ok(bytes > 200, `${bytes.toFixed(0)} bytes an envelope`);
});
