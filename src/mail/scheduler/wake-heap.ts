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
export type WakeHeap<Member extends Wakeable> = Member[];

/** The earliest instant, or undefined when nobody waits. */
export function nextWake(heap: readonly Wakeable[]): number | undefined {
  return heap[0]?.wakeAt;
}

/** Sets, changes or (with `Infinity`) takes away a member's instant. */
export function setWake<Member extends Wakeable>(heap: WakeHeap<Member>, member: Member, wakeAt: number): void {
  if (wakeAt === Infinity) {
    dropWake(heap, member);
    return;
  }
  const before = member.wakeAt;
  member.wakeAt = wakeAt;
  if (member.heapAt < 0) {
    member.heapAt = heap.push(member) - 1;
    rise(heap, member);
  } else if (wakeAt < before) rise(heap, member);
  else if (wakeAt > before) sink(heap, member);
}

export function dropWake<Member extends Wakeable>(heap: WakeHeap<Member>, member: Member): void {
  const at = member.heapAt;
  if (at < 0) return;
  assert(heap[at] === member, "a member of a wake heap knows its place");
  member.heapAt = -1;
  const last = heap.pop();
  if (last === undefined || last === member) return;
  put(heap, last, at);
  rise(heap, last);
  sink(heap, last);
}

/** Takes out the earliest member if its instant has come. */
export function takeDue<Member extends Wakeable>(heap: WakeHeap<Member>, now: number): Member | undefined {
  const first = heap[0];
  if (first === undefined || first.wakeAt > now) return undefined;
  dropWake(heap, first);
  return first;
}

function rise<Member extends Wakeable>(heap: WakeHeap<Member>, member: Member): void {
  let at = member.heapAt;
  while (at > 0) {
    const up = (at - 1) >> 1;
    const parent = heap[up];
    if (parent === undefined || parent.wakeAt <= member.wakeAt) break;
    put(heap, parent, at);
    at = up;
  }
  put(heap, member, at);
}

function sink<Member extends Wakeable>(heap: WakeHeap<Member>, member: Member): void {
  let at = member.heapAt;
  for (;;) {
    const left = heap[2 * at + 1];
    const right = heap[2 * at + 2];
    const child = right !== undefined && left !== undefined && right.wakeAt < left.wakeAt ? right : left;
    if (child === undefined || child.wakeAt >= member.wakeAt) break;
    const from = child.heapAt;
    put(heap, child, at);
    at = from;
  }
  put(heap, member, at);
}

function put<Member extends Wakeable>(heap: WakeHeap<Member>, member: Member, at: number): void {
  heap[at] = member;
  member.heapAt = at;
}
