import type { Clock, Timer } from "../../../foundation/clock.ts";
import type { TicketKey } from "./keeper.ts";

/** RFC 5077: name, HMAC key and AES key of 16 bytes each, as OpenSSL and Node have it. */
const TICKET_KEY_BYTES = 48;

export interface TicketKeys {
  current(): TicketKey;
  /** Told after each new key. */
  onRotated(tell: () => void): () => void;
  /** Another lifetime; the present key stays until it would end under both. */
  setLifetime(lifetimeMs: number): void;
  close(): void;
}

/**
 * The key of session tickets, made anew whenever a ticket's lifetime has passed. There is one key only, without an overlap:
 * so no ticket lives longer than the lifetime, and one of the key before means a full handshake. It is made by chance, not
 * derived from the one before: who learns one cannot read what earlier ones protected.
 */
export function ticketKeys(options: {
  clock: Clock;
  lifetimeMs: number;
  randomBytes: (count: number) => Uint8Array;
}): TicketKeys {
  const { clock } = options;
  let { lifetimeMs } = options;
  let timer: Timer | undefined;
  const listening = new Set<() => void>();
  const make = (): TicketKey => ({
    key: options.randomBytes(TICKET_KEY_BYTES),
    replacedAt: clock.now() + lifetimeMs,
  });
  const arm = (waitMs: number): void => {
    timer?.cancel();
    timer = clock.after(waitMs, () => {
      current = make();
      arm(lifetimeMs);
      for (const tell of listening) tell();
    });
  };
  let current = make();
  arm(lifetimeMs);
  return {
    onRotated(tell) {
      listening.add(tell);
      return () => listening.delete(tell);
    },
    current: () => current,
    setLifetime(next) {
      if (next === lifetimeMs) return;
      lifetimeMs = next;
      const leftMs = Math.max(0, Math.min(next, current.replacedAt - clock.now()));
      current = { ...current, replacedAt: clock.now() + leftMs };
      arm(leftMs);
    },
    close: () => timer?.cancel(),
  };
}
