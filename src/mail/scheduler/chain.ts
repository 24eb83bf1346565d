/**
 * A queue whose members carry their own links, so that any of them leaves in O(1) without a search and without an
 * allocation: a huge list or a hundred thousand messages at one relay cost the same for each member.
 */
export interface Chain<Member> {
  first: Member | undefined;
  last: Member | undefined;
  size: number;
}

export interface Chained<Member> {
  previous: Member | undefined;
  next: Member | undefined;
}

export function newChain<Member>(): Chain<Member> {
  return { first: undefined, last: undefined, size: 0 };
}

export function append<Member extends Chained<Member>>(chain: Chain<Member>, member: Member): void {
  member.previous = chain.last;
  member.next = undefined;
  if (chain.last === undefined) chain.first = member;
  else chain.last.next = member;
  chain.last = member;
  chain.size++;
}

/** Puts a member behind one that is in this chain, or before all. */
export function insertBehind<Member extends Chained<Member>>(
  chain: Chain<Member>,
  before: Member | undefined,
  member: Member,
): void {
  const next = before === undefined ? chain.first : before.next;
  member.previous = before;
  member.next = next;
  if (before === undefined) chain.first = member;
  else before.next = member;
  if (next === undefined) chain.last = member;
  else next.previous = member;
  chain.size++;
}

/** Takes a member out that is in this chain. */
export function unlink<Member extends Chained<Member>>(chain: Chain<Member>, member: Member): void {
  if (member.previous === undefined) chain.first = member.next;
  else member.previous.next = member.next;
  if (member.next === undefined) chain.last = member.previous;
  else member.next.previous = member.previous;
  member.previous = undefined;
  member.next = undefined;
  chain.size--;
}
