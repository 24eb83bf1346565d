import { assert } from "../../../foundation/assert.ts";
import { append, newChain, unlink } from "../chain.ts";
import { lineAt, noteMessage, placeBatch, settleLine } from "./lines.ts";
import { forgetSibling } from "./mixing.ts";
import { domainOf, lineOf } from "../plan.ts";
import { nextInLine } from "./priorities.ts";
import { giveTurn, losePlace } from "./sender-turns.ts";
import type { Batch, DomainLine, LocalQueue, RelayQueue, SchedulerState, Ticket } from "../state.ts";

/**
 * Where ready envelopes wait for their turn. At a relay: one line for each recipient domain, in it one batch for each
 * message; the lines take turns, the senders in a line, and each sender's batches, so that a list of five thousand is
 * served between single mails, not before them. Locally: one queue for each recipient, and the recipients take turns.
 */
export function joinRelay(s: SchedulerState, relay: RelayQueue, ticket: Ticket): void {
  const line = lineAt(relay, lineOf(relay.plan, ticket.recipient));
  let batch = line.byMessage?.get(ticket.message);
  if (batch === undefined) {
    batch = {
      kind: "batch",
      message: ticket.message,
      line,
      tickets: newChain(),
      turn: undefined,
      previous: undefined,
      next: undefined,
    };
    noteMessage(line, batch);
    placeBatch(line, batch, ticket);
    line.batchCount++;
    relay.batchCount++;
  }
  append(batch.tickets, ticket);
  ticket.queue = batch;
  line.readyCount++;
  relay.readyCount++;
  s.dirty.add(relay);
}

export function joinLocal(s: SchedulerState, ticket: Ticket): void {
  let queue = s.localQueues.get(ticket.recipient);
  if (queue === undefined) {
    queue = {
      kind: "local",
      recipient: ticket.recipient,
      tickets: newChain(),
      active: 0,
      hasTurn: false,
      previous: undefined,
      next: undefined,
    };
    s.localQueues.set(ticket.recipient, queue);
  }
  append(queue.tickets, ticket);
  ticket.queue = queue;
  settleTurn(s, queue);
}

/** Takes a ticket out of where it waits for its turn, for the end of a suspension or for its relay. */
export function leaveQueue(s: SchedulerState, ticket: Ticket): void {
  const { queue } = ticket;
  assert(queue !== undefined, "a ready ticket waits in a queue");
  ticket.queue = undefined;
  unlink(queue.tickets, ticket);
  if (queue.kind === "local") {
    settleTurn(s, queue);
    return;
  }
  if (queue.kind === "suspension") {
    s.counts.held--;
    s.counts.waiting++;
    return;
  }
  if (queue.kind === "stalled") {
    if (queue.tickets.size === 0 && s.stalled.get(queue.key) === queue) s.stalled.delete(queue.key);
    return;
  }
  const { line } = queue;
  const { relay } = line;
  line.readyCount--;
  relay.readyCount--;
  s.dirty.add(relay);
  if (queue.tickets.size > 0) return;
  if (line.front === queue) line.front = queue.previous;
  losePlace(line, queue);
  line.byMessage?.delete(queue.message);
  forgetSibling(relay, queue);
  line.batchCount--;
  relay.batchCount--;
  settleLine(line);
}

/** Takes the next envelopes of one message, and sends what is left of it to the end of the line, and that behind others. */
export function takeBatch(
  s: SchedulerState,
  line: DomainLine,
  most: number,
  batch: Batch | undefined = nextInLine(line),
  mostDomains = Infinity,
): readonly Ticket[] {
  if (batch === undefined) return [];
  const { turns } = line.relay;
  const taken = takeFrom(s, batch, most, mostDomains);
  if (batch.tickets.size > 0) {
    if (line.front === batch) line.front = batch.previous;
    giveTurn(line, batch);
  }
  if (line.readyCount > 0 && line.parkedAt === undefined) {
    unlink(turns, line);
    append(turns, line);
  }
  return taken;
}

/** Takes the next envelopes of a batch, in whosever turn it is. */
export function takeFrom(s: SchedulerState, batch: Batch, most: number, mostDomains: number): readonly Ticket[] {
  const taken: Ticket[] = [];
  // Only at a smarthost a batch has several domains.
  const domains = batch.line.domain === "" && mostDomains < most ? new Set<string>() : undefined;
  let next: Ticket | undefined;
  for (let ticket = batch.tickets.first; ticket !== undefined && taken.length < most; ticket = next) {
    ({ next } = ticket);
    if (domains !== undefined) {
      const domain = domainOf(ticket.recipient);
      if (!domains.has(domain) && domains.size >= mostDomains) continue;
      domains.add(domain);
    }
    leaveQueue(s, ticket);
    taken.push(ticket);
  }
  return taken;
}

/** Takes the next envelope of the recipient whose turn it is. */
export function takeLocal(s: SchedulerState): Ticket | undefined {
  const queue = s.localTurns.first;
  const ticket = queue?.tickets.first;
  if (queue === undefined || ticket === undefined) return undefined;
  // Before it leaves: its recipient goes to the end of the line, if it stays in it at all.
  unlink(s.localTurns, queue);
  queue.hasTurn = false;
  queue.active++;
  s.localActive++;
  leaveQueue(s, ticket);
  return ticket;
}

/** A final delivery ended. */
export function giveBackLocal(s: SchedulerState, recipient: string): void {
  s.localActive--;
  const queue = s.localQueues.get(recipient);
  assert(queue !== undefined && queue.active > 0, "a local queue lives while one of its envelopes is active");
  queue.active--;
  settleTurn(s, queue);
}

function settleTurn(s: SchedulerState, queue: LocalQueue): void {
  const mayGo = queue.tickets.size > 0 && queue.active < s.settings.scheduler.local.perRecipient;
  if (mayGo !== queue.hasTurn) {
    if (mayGo) append(s.localTurns, queue);
    else unlink(s.localTurns, queue);
    queue.hasTurn = mayGo;
  }
  if (queue.tickets.size === 0 && queue.active === 0) s.localQueues.delete(queue.recipient);
}

export function lookAtAllRelays(s: SchedulerState): void {
  for (const relay of s.relays.values()) s.dirty.add(relay);
}
