import { assert } from "../../foundation/assert.ts";
import { append, newChain, unlink } from "./chain.ts";
import type { Batch, LocalQueue, RelayQueue, SchedulerState, Ticket } from "./state.ts";

/**
 * Where ready envelopes wait for their turn. At a relay: one batch for each message, and the batches take turns, so that
 * a list of five thousand is served between single mails, not before them. Locally: one queue for each recipient, and
 * the recipients take turns.
 */
export function joinRelay(s: SchedulerState, relay: RelayQueue, ticket: Ticket): void {
  let batch = relay.byMessage.get(ticket.message);
  if (batch === undefined) {
    batch = {
      kind: "batch",
      message: ticket.message,
      relay,
      tickets: newChain(),
      previous: undefined,
      next: undefined,
    };
    relay.byMessage.set(ticket.message, batch);
    append(relay.batches, batch);
  }
  append(batch.tickets, ticket);
  ticket.queue = batch;
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

/** Takes a ready ticket out of where it waits. */
export function leaveQueue(s: SchedulerState, ticket: Ticket): void {
  const { queue } = ticket;
  assert(queue !== undefined, "a ready ticket waits in a queue");
  ticket.queue = undefined;
  unlink(queue.tickets, ticket);
  if (queue.kind === "local") {
    settleTurn(s, queue);
    return;
  }
  queue.relay.readyCount--;
  s.dirty.add(queue.relay);
  if (queue.tickets.size === 0) {
    unlink(queue.relay.batches, queue);
    queue.relay.byMessage.delete(queue.message);
  }
}

/** Takes the next envelopes of one message, and sends what is left of it to the end of the line. */
export function takeBatch(s: SchedulerState, relay: RelayQueue, most: number): readonly Ticket[] {
  const batch = relay.batches.first;
  if (batch === undefined) return [];
  const taken = takeFrom(s, batch, most);
  if (batch.tickets.size > 0) {
    unlink(relay.batches, batch);
    append(relay.batches, batch);
  }
  return taken;
}

function takeFrom(s: SchedulerState, batch: Batch, most: number): readonly Ticket[] {
  const taken: Ticket[] = [];
  for (let ticket = batch.tickets.first; ticket !== undefined && taken.length < most; ticket = batch.tickets.first) {
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
