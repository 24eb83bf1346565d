/**
 * Hosts whose handshakes keep failing, so that each next session costs one round trip rather than a handshake and a new
 * connection. Only asked where plaintext is allowed. One failure may be chance; from the second on it counts, for a while.
 */
export class TlsFailures {
  readonly #keptMs: number;
  readonly #hosts = new Map<string, { count: number; untilAt: number; because: string }>();

  constructor(keptMs: number) {
    this.#keptMs = keptMs;
  }

  note(host: string, because: string, now: number): void {
    if (this.#keptMs === 0) return;
    const known = this.#hosts.get(host);
    const count = known === undefined || known.untilAt <= now ? 1 : known.count + 1;
    this.#hosts.delete(host);
    this.#hosts.set(host, { count, untilAt: now + this.#keptMs, because });
    // The oldest make room: a thousand broken hosts at once is more than anybody meets.
    const [oldest] = this.#hosts.keys();
    if (this.#hosts.size > 1000 && oldest !== undefined) this.#hosts.delete(oldest);
  }

  /** Why this host should get plaintext at once; undefined when it should not. */
  because(host: string, now: number): string | undefined {
    const known = this.#hosts.get(host);
    if (known === undefined) return undefined;
    if (known.untilAt <= now) this.#hosts.delete(host);
    return known.untilAt > now && known.count >= 2 ? known.because : undefined;
  }

  forget(host: string): void {
    this.#hosts.delete(host);
  }
}
