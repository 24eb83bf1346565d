/** How a run is to be done: how often, how much, how long, and who ends what it started. */
export interface Plan {
  readonly rounds: number;
  /** Of the messages of a cell. */
  readonly share: number;
  /** Only what the project's marks are about. */
  readonly marksOnly: boolean;
  /** A sample during which the machine's host took more of its processors (0 to 1) is taken again. */
  readonly mostStolen: number;
  readonly budget: Budget;
  progress(text: string): void;
  /** What is put there ends with its block, or when the run is interrupted. */
  owner(): AsyncDisposableStack;
}

/**
 * Ends a run in time: nothing begins that would, going by the longest of its kind, end after that. Each part has its share, so
 * that the last ones have one too: what is the first of its kind begins as long as there is any time, another one within the
 * share of its part and what earlier parts left.
 */
export class Budget {
  readonly #startMs: number;
  readonly #allMs: number;
  readonly #nowMs: () => number;
  readonly #took = new Map<string, number>();
  #share = 1;

  constructor(minutes: number, nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#startMs = nowMs();
    this.#allMs = minutes * 60_000;
  }

  /** The part that begins may go on until so much of all the time (0 to 1) is over. */
  begin(share: number): void {
    this.#share = share;
  }

  took(kind: string, ms: number): void {
    this.#took.set(kind, Math.max(ms, this.#took.get(kind) ?? 0));
  }

  allowsAnother(kind: string): boolean {
    const tookMs = this.#took.get(kind);
    const share = tookMs === undefined ? 1 : this.#share;
    return this.#nowMs() + (tookMs ?? 0) <= this.#startMs + this.#allMs * share;
  }
}
