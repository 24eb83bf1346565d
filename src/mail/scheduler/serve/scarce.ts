import { hasRoom, isWaitedFor, nextWaiting, waitingFor, type Limited } from "../../route/limited.ts";
import { isToBeHad, nextTokenAt, refundToken, spendToken, type Bucket, type Scarce } from "../../route/rate.ts";
import { parkLine, standInLine, unparkNext } from "./lines.ts";
import type { DomainLine, RelayQueue, SchedulerState, Session } from "../state.ts";
import { dropWake, setWake } from "../wake-heap.ts";

/**
 * Taking turns at what is scarce: places of connections, tokens of rates. Who finds none stands in its line, and so does
 * who finds one while others wait: nobody overtakes. When a place is given back or a token returns, the line is called
 * one by one; whoever is called may take one of whatever else it needs and is there, and then stands in line again.
 */
export interface Turn {
  /** Not used up yet. */
  isCalled: boolean;
}

export function isFree(s: SchedulerState, relay: RelayQueue, scarce: Scarce, turn: Turn): boolean {
  return isToBeHad(scarce, s.now) && (turn.isCalled || !othersWait(scarce, relay));
}

function othersWait(scarce: Scarce, relay: RelayQueue): boolean {
  return waitingFor(scarce) > (relay.waitsOn.has(scarce) ? 1 : 0);
}

/** Other relays wait for a place that this session has, and there is no other. */
export function isWanted({ relay, occupies, domainLimits }: Session): boolean {
  const isShort = (limit: Limited): boolean => !hasRoom(limit) && othersWait(limit, relay);
  return occupies.some(isShort) || domainLimits.some(isShort);
}

export function stand(s: SchedulerState, relay: RelayQueue, scarce: readonly Scarce[]): false {
  standInLine(relay, scarce);
  // What is there for those who wait is given out in this step, and a bucket's next token is waited for.
  for (const one of scarce) s.freed.add(one);
  return false;
}

export function park(s: SchedulerState, line: DomainLine, scarce: Scarce): void {
  parkLine(line, scarce);
  s.freed.add(scarce);
}

/** Calls whoever has waited longest for something that is there now; undefined when nobody can be. */
export function callNext(s: SchedulerState): RelayQueue | undefined {
  for (const scarce of s.freed) {
    s.freed.delete(scarce);
    if (!isWaitedFor(scarce)) {
      if (scarce.kind === "bucket") dropWake(s.bucketWakes, scarce);
      continue;
    }
    if (!isToBeHad(scarce, s.now)) {
      if (scarce.kind === "bucket") setWake(s.bucketWakes, scarce, nextTokenAt(scarce, s.now));
      continue;
    }
    const relay = s.relays.get(nextWaiting(scarce) ?? "");
    // Perhaps it does not use the place, or there are more: whoever is next gets its turn as well.
    s.freed.add(scarce);
    if (relay === undefined) continue;
    relay.waitsOn.delete(scarce);
    unparkNext(relay, scarce);
    return relay;
  }
  return undefined;
}

export function take(limits: readonly Limited[]): void {
  for (const limit of limits) limit.used++;
}

export function giveBack(s: SchedulerState, limits: readonly Limited[]): void {
  for (const limit of limits) {
    limit.used--;
    if (isWaitedFor(limit)) s.freed.add(limit);
  }
}

/** A token of each, now. */
export function spend(s: SchedulerState, buckets: readonly Bucket[]): void {
  for (const bucket of buckets) {
    spendToken(bucket, s.now);
    if (isWaitedFor(bucket)) s.freed.add(bucket);
  }
}

/**
 * A session is opened for one mail: its tokens are spent with the connection, for otherwise all that wait would connect
 * for the same one. When the mail goes they are spent anew, at its instant.
 */
export function prepay(s: SchedulerState, session: Session, buckets: readonly Bucket[]): void {
  for (const bucket of buckets) session.prepaid.push({ bucket, at: spendToken(bucket, s.now) });
}

/** May the session's next mail take its tokens? The first one missing, else. */
export function missingToken(
  s: SchedulerState,
  session: Session,
  buckets: readonly Bucket[],
  turn: Turn,
): Bucket | undefined {
  return buckets.find((bucket) => !hasPrepaid(s, session, bucket) && !isFree(s, session.relay, bucket, turn));
}

export function pay(s: SchedulerState, session: Session, buckets: readonly Bucket[]): void {
  refund(s, session);
  spend(s, buckets);
}

/** What was spent for a mail that did not go. */
export function refund(s: SchedulerState, session: Session): void {
  if (session.prepaid.length === 0) return;
  for (const { bucket, at } of session.prepaid.splice(0)) {
    refundToken(bucket, at, s.now);
    if (isWaitedFor(bucket)) s.freed.add(bucket);
  }
}

function hasPrepaid(s: SchedulerState, session: Session, bucket: Bucket): boolean {
  return session.prepaid.some((one) => one.bucket === bucket && one.at + bucket.rate.perMs > s.now);
}
