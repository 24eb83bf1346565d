import type { Clock } from "../../foundation/clock.ts";
import type { NewEnvelope, Store } from "./store.ts";
import { firstProgress, type CommitRequest, type QueuePort } from "./queue.ts";

export interface QueuePortOptions {
  readonly clock: Clock;
  /** How long an envelope is tried before it expires; asked at each commit, for settings may change. */
  readonly expireAfterMs: () => number;
  /** How long mail stays in quarantine; asked likewise. */
  readonly quarantineMs: () => number;
  /** Told of each message right after it is durable: the scheduler takes its envelopes up. Must not throw. */
  readonly onCommitted: (request: CommitRequest, envelopes: readonly NewEnvelope[]) => void;
}

/** What sessions commit to: the store, and the scheduler's ear. */
export function queuePort(store: Pick<Store, "apply">, options: QueuePortOptions): QueuePort {
  return {
    async commit(request) {
      const receivedAt = options.clock.now();
      const expireAfterMs = options.expireAfterMs();
      const quarantine = request.quarantine && { ...request.quarantine, forMs: options.quarantineMs() };
      const envelopes = request.envelopes.map((envelope) => ({
        envelope,
        progress: firstProgress(envelope, receivedAt, expireAfterMs, quarantine),
      }));
      await store.apply([{ do: "commit", message: request.message, body: request.body, envelopes }]);
      options.onCommitted(request, envelopes);
    },
  };
}
