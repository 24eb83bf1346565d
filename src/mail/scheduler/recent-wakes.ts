/** Each look through the queue costs time, and a host that has just been woken needs no second one. */
const ONCE_IN_MS = 10_000;
const MOST_KEPT = 1000;

/** Which domains were woken a moment ago. */
export class RecentWakes {
  readonly #at = new Map<string, number>();

  /** Notes it, unless that was done within the last ten seconds. */
  isNews(domain: string, nowMs: number): boolean {
    const before = this.#at.get(domain);
    if (before !== undefined && nowMs - before < ONCE_IN_MS) return false;
    this.#at.delete(domain);
    if (this.#at.size >= MOST_KEPT) for (const oldest of this.#at.keys().take(1)) this.#at.delete(oldest);
    this.#at.set(domain, nowMs);
    return true;
  }
}
