/**
 * What is going to happen, in virtual time: one synchronous heap without promises, for scenarios of tens of millions of
 * happenings. Those of one instant happen in the order in which they were put down, so a run repeats exactly.
 */
export class Timeline {
  #now: number;
  #count = 0;
  readonly #heap: Happening[] = [];

  constructor(startAt: number) {
    this.#now = startAt;
  }

  get now(): number {
    return this.#now;
  }

  get size(): number {
    return this.#heap.length;
  }

  nextAt(): number {
    return this.#heap[0]?.at ?? Infinity;
  }

  /** Moves time forward. What should have happened before must have. */
  passTo(at: number): void {
    if (at > this.#now) this.#now = at;
  }

  /** Not before now, and at a whole millisecond, as the machine's clock has them. */
  at(at: number, happen: () => void): void {
    const heap = this.#heap;
    const added: Happening = { at: at > this.#now ? Math.ceil(at) : this.#now, order: this.#count++, happen };
    let place = heap.length;
    heap.push(added);
    while (place > 0) {
      const up = (place - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || !isBefore(added, parent)) break;
      heap[place] = parent;
      place = up;
    }
    heap[place] = added;
  }

  after(ms: number, happen: () => void): void {
    this.at(this.#now + ms, happen);
  }

  /** Lets the first happening happen, at its instant. */
  next(): void {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined) return;
    if (last !== first) this.#sink(last);
    this.passTo(first.at);
    first.happen();
  }

  #sink(member: Happening): void {
    const heap = this.#heap;
    let place = 0;
    for (;;) {
      const left = heap[2 * place + 1];
      const right = heap[2 * place + 2];
      const child = right !== undefined && left !== undefined && isBefore(right, left) ? right : left;
      if (child === undefined || !isBefore(child, member)) break;
      heap[place] = child;
      place = child === left ? 2 * place + 1 : 2 * place + 2;
    }
    heap[place] = member;
  }
}

interface Happening {
  readonly at: number;
  readonly order: number;
  readonly happen: () => void;
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
