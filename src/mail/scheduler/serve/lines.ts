import type { Scarce } from "../../route/rate.ts";
import { servesRefusedFirst } from "../../route/greylist.ts";
import { append, insertBehind, newChain, unlink } from "../chain.ts";
import { forgetSibling, noteSibling } from "./mixing.ts";
import { batchesIn, losePlace, takePlace } from "./sender-turns.ts";
import type { Batch, DomainLine, RelayQueue, SchedulerState, Ticket } from "../state.ts";

/**
 * The lines of a relay: what is ready there, by recipient domain. A line is there while something is in it. It has its
 * turns, or, while a limit of its domain is full, it is parked and costs nothing until something is given back.
 */
export function lineAt(relay: RelayQueue, domain: string): DomainLine {
  let line = relay.lines.get(domain);
  if (line === undefined) {
    line = {
      domain,
      relay,
      batches: newChain(),
      front: undefined,
      byMessage: undefined,
      senders: undefined,
      readyCount: 0,
      batchCount: 0,
      parkedAt: undefined,
      previous: undefined,
      next: undefined,
    };
    relay.lines.set(domain, line);
    append(relay.turns, line);
  }
  return line;
}

/**
 * Where a new batch waits: behind the others, or, where hosts greylist and it was refused before, in front of those that
 * were never tried, behind those that were.
 */
export function placeBatch(line: DomainLine, batch: Batch, first: Ticket): void {
  const { greylist } = line.relay;
  if (first.attempts === 0 || greylist === undefined || !servesRefusedFirst(greylist)) {
    takePlace(line, batch);
    return;
  }
  insertBehind(line.batches, line.front, batch);
  line.front = batch;
}

/** It goes before all others of its line: it has waited longest for what is to be found out. */
export function placeFirst(batch: Batch): void {
  const { line } = batch;
  if (line.front === batch) line.front = batch.previous;
  losePlace(line, batch);
  batch.turn = undefined;
  insertBehind(line.batches, undefined, batch);
  line.front ??= batch;
}

/** Takes a line away with its last batch. */
export function settleLine(line: DomainLine): void {
  if (line.batchCount > 0) return;
  leaveTurns(line);
  line.relay.lines.delete(line.domain);
}

/** It waits for this limit of its domain; the relay stands in line for it. */
export function parkLine(line: DomainLine, limit: Scarce): void {
  const { relay } = line;
  leaveTurns(line);
  line.parkedAt = limit;
  relay.parked ??= new Map();
  let parked = relay.parked.get(limit);
  if (parked === undefined) {
    parked = newChain();
    relay.parked.set(limit, parked);
  }
  append(parked, line);
  standInLine(relay, [limit]);
}

/** Something of the limit was given back: whoever waits longest has turns again. */
export function unparkNext(relay: RelayQueue, limit: Scarce): void {
  const line = relay.parked?.get(limit)?.first;
  if (line === undefined) return;
  leaveTurns(line);
  append(relay.turns, line);
  // The others wait on.
  if (relay.parked?.has(limit) === true) standInLine(relay, [limit]);
}

export function standInLine(relay: RelayQueue, limits: readonly Scarce[]): false {
  for (const limit of limits) {
    if (relay.waitsOn.has(limit)) continue;
    relay.waitsOn.add(limit);
    limit.waiting.push(relay.key);
  }
  return false;
}

/** The domain's mail has another way now: with all that is ready it goes to another relay, in a moment. */
export function moveLine(s: SchedulerState, line: DomainLine, to: RelayQueue): void {
  const from = line.relay;
  if (from === to) return;
  leaveTurns(line);
  from.lines.delete(line.domain);
  from.readyCount -= line.readyCount;
  from.batchCount -= line.batchCount;
  s.dirty.add(from);
  s.dirty.add(to);
  to.readyCount += line.readyCount;
  const there = to.lines.get(line.domain);
  for (const batch of line.byMessage?.values() ?? []) forgetSibling(from, batch);
  if (there === undefined) {
    line.relay = to;
    for (const batch of line.byMessage?.values() ?? []) noteSibling(to, batch);
    to.lines.set(line.domain, line);
    to.batchCount += line.batchCount;
    append(to.turns, line);
    return;
  }
  there.readyCount += line.readyCount;
  // The links of each change as it moves.
  const moving = [...batchesIn(line)];
  for (const batch of moving) {
    const same = there.byMessage?.get(batch.message);
    const { first } = batch.tickets;
    if (same === undefined) {
      batch.line = there;
      batch.turn = undefined;
      batch.rank = undefined;
      noteMessage(there, batch);
      if (first !== undefined) placeBatch(there, batch, first);
      there.batchCount++;
      to.batchCount++;
      continue;
    }
    for (let ticket = batch.tickets.first; ticket !== undefined; ticket = batch.tickets.first) {
      unlink(batch.tickets, ticket);
      append(same.tickets, ticket);
      ticket.queue = same;
    }
  }
}

/** Envelopes of one message find each other; the only one of its message is not looked for. */
export function noteMessage(line: DomainLine, batch: Batch): void {
  if (batch.message.total === 1) return;
  line.byMessage ??= new Map();
  line.byMessage.set(batch.message, batch);
  noteSibling(line.relay, batch);
}

/** All that is ready in a line, as it is now. */
export function readyIn(line: DomainLine): readonly Ticket[] {
  const found: Ticket[] = [];
  for (const batch of batchesIn(line))
    for (let ticket = batch.tickets.first; ticket !== undefined; ticket = ticket.next) found.push(ticket);
  return found;
}

/** All that is ready at a relay. */
export function readyAt(relay: RelayQueue): readonly Ticket[] {
  return [...relay.lines.values()].flatMap(readyIn);
}

function leaveTurns(line: DomainLine): void {
  const { relay, parkedAt } = line;
  if (parkedAt === undefined) {
    unlink(relay.turns, line);
    return;
  }
  line.parkedAt = undefined;
  const parked = relay.parked?.get(parkedAt);
  if (parked === undefined) return;
  unlink(parked, line);
  if (parked.size === 0) relay.parked?.delete(parkedAt);
  if (relay.parked?.size === 0) relay.parked = undefined;
}
