import type { SecureContext } from "node:tls";
import type { Clock } from "../../foundation/clock.ts";
import type { ShownChain } from "./tls.ts";

/** A session that a server gave us, with what it showed when the session began: a resumed one shows nothing. */
export interface KeptSession {
  readonly session: Buffer;
  readonly shown: ShownChain;
  /** It is only resumed under the same policy and authorities, and for the same name. */
  readonly context: SecureContext;
  readonly serverName: string | undefined;
}

/** Sessions as a client, by destination and policy: each for a limited time, the oldest making room. */
export class SessionCache {
  readonly #clock: Clock;
  readonly #lifetimeMs: number;
  readonly #most: number;
  readonly #kept = new Map<string, { readonly entry: KeptSession; readonly untilMs: number }>();

  constructor(options: { clock: Clock; lifetimeMs: number; most: number }) {
    this.#clock = options.clock;
    this.#lifetimeMs = options.lifetimeMs;
    this.#most = options.most;
  }

  get size(): number {
    return this.#kept.size;
  }

  /** `bornMs`: when the first handshake of this session was, on the monotonic clock; resuming makes nothing younger. */
  keep(key: string, entry: KeptSession, bornMs: number): void {
    const untilMs = bornMs + this.#lifetimeMs;
    if (untilMs <= this.#clock.monotonicMs()) return;
    this.#kept.delete(key);
    this.#kept.set(key, { entry, untilMs });
    if (this.#kept.size <= this.#most) return;
    const [oldest] = this.#kept.keys();
    if (oldest !== undefined) this.#kept.delete(oldest);
  }

  find(
    key: string,
    asked: Pick<KeptSession, "context" | "serverName">,
  ): { readonly entry: KeptSession; readonly bornMs: number } | undefined {
    const found = this.#kept.get(key);
    if (found === undefined) return undefined;
    const { entry, untilMs } = found;
    const isGood =
      untilMs > this.#clock.monotonicMs() && entry.context === asked.context && entry.serverName === asked.serverName;
    if (isGood) return { entry, bornMs: untilMs - this.#lifetimeMs };
    this.#kept.delete(key);
    return undefined;
  }

  forget(key: string): void {
    this.#kept.delete(key);
  }

  clear(): void {
    this.#kept.clear();
  }
}
