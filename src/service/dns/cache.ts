import type { DnsAnswer } from "../../protocol/dns/resolver.ts";

interface Entry<Records> {
  readonly answer: DnsAnswer<Records>;
  readonly expiresAtMs: number;
  readonly bytes: number;
}

/**
 * Answers by question, bounded by weight; the one longest unused goes first. Time is the caller's, by a clock that nobody sets back,
 * so that what is read carries the time it has left.
 */
export class DnsCache<Records extends readonly unknown[]> {
  readonly #entries = new Map<string, Entry<Records>>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get(question: string, now: number): DnsAnswer<Records> | undefined {
    const entry = this.#entries.get(question);
    if (entry === undefined) return undefined;
    this.#entries.delete(question);
    if (entry.expiresAtMs <= now) {
      this.#bytes -= entry.bytes;
      return undefined;
    }
    this.#entries.set(question, entry);
    return entry.answer.kind === "failed"
      ? entry.answer
      : { ...entry.answer, ttlMs: Math.ceil(entry.expiresAtMs - now) };
  }

  /** Keeps the answer for `ttlMs`; `recordBytes` is the weight of its records. */
  put(question: string, answer: DnsAnswer<Records>, ttlMs: number, recordBytes: number, now: number): void {
    const known = this.#entries.get(question);
    if (known !== undefined) {
      this.#entries.delete(question);
      this.#bytes -= known.bytes;
    }
    if (ttlMs <= 0) return;
    // The entry itself, its key and its objects weigh about this much.
    const bytes = 300 + question.length + recordBytes;
    this.#entries.set(question, { answer, expiresAtMs: now + ttlMs, bytes });
    this.#bytes += bytes;
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#maxBytes) break;
      this.#entries.delete(oldest);
      this.#bytes -= entry.bytes;
    }
  }

  get size(): number {
    return this.#entries.size;
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }
}
