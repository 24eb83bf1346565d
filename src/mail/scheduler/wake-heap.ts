import { assert } from "../../foundation/assert.ts";

/** Something that wants to be looked at at `wakeAt`. `heapAt` is its place in the heap, -1 outside. */
export interface Wakeable {
  wakeAt: number;
  heapAt: number;
}

/**
 * What is due first: a binary heap by `wakeAt` whose members know their place, so that any of them moves or leaves in
 * O(log n). Equal instants come out in an order that depends on the history of the heap only: a replay repeats it.
 */
export class WakeHeap<Member extends Wakeable> {
  readonly #members: Member[] = [];

  get size(): number {
    return this.#members.length;
  }

  /** The earliest instant, or undefined when nobody waits. */
  nextAt(): number | undefined {
    return this.#members[0]?.wakeAt;
  }

  /** Sets, changes or (with `Infinity`) takes away a member's instant. */
  set(member: Member, wakeAt: number): void {
    if (wakeAt === Infinity) {
      this.delete(member);
      return;
    }
    const before = member.wakeAt;
    member.wakeAt = wakeAt;
    if (member.heapAt < 0) {
      member.heapAt = this.#members.push(member) - 1;
      this.#rise(member);
    } else if (wakeAt < before) this.#rise(member);
    else if (wakeAt > before) this.#sink(member);
  }

  delete(member: Member): void {
    const at = member.heapAt;
    if (at < 0) return;
    assert(this.#members[at] === member, "a member of a wake heap knows its place");
    member.heapAt = -1;
    const last = this.#members.pop();
    if (last === undefined || last === member) return;
    this.#members[at] = last;
    last.heapAt = at;
    this.#rise(last);
    this.#sink(last);
  }

  /** Takes out the earliest member if its instant has come. */
  takeDue(now: number): Member | undefined {
    const first = this.#members[0];
    if (first === undefined || first.wakeAt > now) return undefined;
    this.delete(first);
    return first;
  }

  #rise(member: Member): void {
    let at = member.heapAt;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = this.#members[up];
      if (parent === undefined || parent.wakeAt <= member.wakeAt) break;
      this.#put(parent, at);
      at = up;
    }
    this.#put(member, at);
  }

  #sink(member: Member): void {
    let at = member.heapAt;
    for (;;) {
      const left = this.#members[2 * at + 1];
      const right = this.#members[2 * at + 2];
      const child = right !== undefined && left !== undefined && right.wakeAt < left.wakeAt ? right : left;
      if (child === undefined || child.wakeAt >= member.wakeAt) break;
      const from = child.heapAt;
      this.#put(child, at);
      at = from;
    }
    this.#put(member, at);
  }

  #put(member: Member, at: number): void {
    this.#members[at] = member;
    member.heapAt = at;
  }
}
