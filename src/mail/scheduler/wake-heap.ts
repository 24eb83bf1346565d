import { assert } from "../../foundation/assert.ts";

/** Something that wants to be looked at at some instant. `heapAt` is its place in the heap, -1 outside. */
export interface Wakeable {
  heapAt: number;
}

/**
 * What is due first: a binary heap whose members know their place, so that any of them moves or leaves in O(log n). The
 * instants are kept beside the members and not in them: a list of numbers takes eight bytes for each, a member's own
 * number twenty-four, and comparing two does not touch the members. Equal instants come out in an order that depends on
 * the history of the heap only: a replay repeats it.
 */
export interface WakeHeap<Member extends Wakeable> {
  readonly members: Member[];
  /** When each of them wants to be looked at, in the same order. */
  readonly instants: number[];
}

export function newWakeHeap<Member extends Wakeable>(): WakeHeap<Member> {
  return { members: [], instants: [] };
}

/** The earliest instant, or undefined when nobody waits. */
export function nextWake(heap: WakeHeap<Wakeable>): number | undefined {
  return heap.instants[0];
}

/** When this member is looked at, or undefined when it is not in the heap. */
export function wakeAtOf<Member extends Wakeable>(heap: WakeHeap<Member>, member: Member): number | undefined {
  return member.heapAt < 0 ? undefined : heap.instants[member.heapAt];
}

/** Sets, changes or (with `Infinity`) takes away a member's instant. */
export function setWake<Member extends Wakeable>(heap: WakeHeap<Member>, member: Member, wakeAt: number): void {
  if (wakeAt === Infinity) {
    dropWake(heap, member);
    return;
  }
  if (member.heapAt < 0) {
    member.heapAt = heap.members.push(member) - 1;
    heap.instants.push(wakeAt);
    rise(heap, member, wakeAt);
    return;
  }
  const before = heap.instants[member.heapAt] ?? Infinity;
  if (wakeAt < before) rise(heap, member, wakeAt);
  else if (wakeAt > before) sink(heap, member, wakeAt);
}

export function dropWake<Member extends Wakeable>(heap: WakeHeap<Member>, member: Member): void {
  const at = member.heapAt;
  if (at < 0) return;
  assert(heap.members[at] === member, "a member of a wake heap knows its place");
  member.heapAt = -1;
  const last = heap.members.pop();
  const lastAt = heap.instants.pop();
  if (last === undefined || lastAt === undefined || last === member) return;
  last.heapAt = at;
  rise(heap, last, lastAt);
  sink(heap, last, lastAt);
}

/** Takes out the earliest member if its instant has come. */
export function takeDue<Member extends Wakeable>(heap: WakeHeap<Member>, now: number): Member | undefined {
  const first = heap.members[0];
  const firstAt = heap.instants[0];
  if (first === undefined || firstAt === undefined || firstAt > now) return undefined;
  dropWake(heap, first);
  return first;
}

function rise<Member extends Wakeable>({ members, instants }: WakeHeap<Member>, member: Member, wakeAt: number): void {
  let at = member.heapAt;
  while (at > 0) {
    const up = (at - 1) >> 1;
    const parent = members[up];
    const parentAt = instants[up];
    if (parent === undefined || parentAt === undefined || parentAt <= wakeAt) break;
    members[at] = parent;
    instants[at] = parentAt;
    parent.heapAt = at;
    at = up;
  }
  members[at] = member;
  instants[at] = wakeAt;
  member.heapAt = at;
}

function sink<Member extends Wakeable>({ members, instants }: WakeHeap<Member>, member: Member, wakeAt: number): void {
  let at = member.heapAt;
  for (;;) {
    const left = 2 * at + 1;
    if (left >= members.length) break;
    const right = left + 1;
    const isRight = right < members.length && (instants[right] ?? Infinity) < (instants[left] ?? Infinity);
    const from = isRight ? right : left;
    const child = members[from];
    const childAt = instants[from];
    if (child === undefined || childAt === undefined || childAt >= wakeAt) break;
    members[at] = child;
    instants[at] = childAt;
    child.heapAt = at;
    at = from;
  }
  members[at] = member;
  instants[at] = wakeAt;
  member.heapAt = at;
}
