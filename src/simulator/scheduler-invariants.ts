import { BrokenInvariant } from "../foundation/assert.ts";
import type { Limited } from "../mail/route/limited.ts";
import {
  liveStateOf,
  mayWork,
  type MessageEntry,
  type RelayQueue,
  type SchedulerState,
  type Session,
  type Ticket,
} from "../mail/scheduler/state.ts";
import type { WakeHeap, Wakeable } from "../mail/scheduler/wake-heap.ts";

/**
 * What must hold between any two events: no envelope forgotten or in two places, no limit exceeded, books that agree.
 * Throws with the sentence that is not true. One look over a million envelopes takes a second or two, so nothing is
 * compared by structure and no text is made before something is wrong.
 */
export function assertSchedulerInvariants(s: SchedulerState): void {
  const places = new Map<Ticket, Ticket["place"]>();
  const put = (ticket: Ticket, place: Ticket["place"]): void => {
    if (places.has(ticket)) broken(`${ticket.id} is ${places.get(ticket)} and ${place}`);
    places.set(ticket, place);
  };
  collectReady(s, put);
  for (const session of s.sessions.values()) for (const ticket of session.tickets) put(ticket, "active");
  for (const { fates } of s.writes.values()) for (const { ticket } of fates) put(ticket, "writing");
  for (let at = s.backlog.from; at < s.backlog.tasks.length; at++) {
    const task = s.backlog.tasks[at];
    if (task !== undefined) put(task.ticket, "writing");
  }
  const localActive = assertTickets(s, places);
  equal(localActive, s.localActive, "final deliveries are counted");
  assertHeap(s.wakes);
  assertHeap(s.relayWakes);
  assertHeap(s.idleSessions);
  assertLimits(s);
  for (const relay of s.relays.values()) assertRelay(relay);
  if (mayWork(s, "out")) for (const relay of s.relays.values()) assertIsServed(s, relay);
}

/** Each ticket is where it says, and messages and counts know how many there are. Returns the final deliveries. */
function assertTickets(s: SchedulerState, places: Map<Ticket, Ticket["place"]>): number {
  const counts = { waiting: 0, ready: 0, active: 0, writing: 0, held: 0, dead: 0 };
  /** Only of messages with several envelopes: the others are looked at as they come. */
  const totals = new Map<MessageEntry, { total: number; inPlay: number }>();
  let messages = 0;
  let localActive = 0;
  let seen = 0;
  for (const ticket of s.tickets.values()) {
    counts[liveStateOf(ticket)]++;
    const { message, place } = ticket;
    const isInPlay = place === "ready" || place === "active";
    if (message.total === 1) {
      messages++;
      if (message.inPlay !== (isInPlay ? 1 : 0)) broken(`the message of ${ticket.id} knows its own`);
    } else {
      const total = totals.get(message) ?? { total: 0, inPlay: 0 };
      total.total++;
      if (isInPlay) total.inPlay++;
      totals.set(message, total);
    }
    const found = places.get(ticket);
    if (found !== undefined) seen++;
    if (place === "waiting") {
      if (found !== undefined) broken(`${ticket.id} waits and is ${found}`);
      const mayWaitForever = ticket.state === "held" && ticket.heldUntilAt === undefined;
      if (!mayWaitForever && ticket.heapAt < 0) broken(`${ticket.id} waits and nothing will wake it`);
    } else if (place === "active" && found === undefined) localActive++;
    else if (found !== place) broken(`${ticket.id} is in one place, and knows it: ${place}, found ${found}`);
  }
  if (seen !== places.size) broken("nothing is queued that is not in the books");
  for (const [message, { total, inPlay }] of totals) {
    equal(message.total, total, `message ${message.id} knows how many envelopes it has`);
    equal(message.inPlay, inPlay, `message ${message.id} knows how many are in play`);
  }
  equal(s.messageCount, messages + totals.size, "messages are counted");
  for (const state of ["waiting", "ready", "active", "writing", "held", "dead"] as const)
    equal(s.counts[state], counts[state], `${state} envelopes are counted`);
  return localActive;
}

function collectReady(s: SchedulerState, put: (ticket: Ticket, place: Ticket["place"]) => void): void {
  for (const relay of s.relays.values()) {
    let count = 0;
    let batches = 0;
    for (let batch = relay.batches.first; batch !== undefined; batch = batch.next) {
      batches++;
      if (relay.byMessage.get(batch.message) !== batch) broken(`relay ${relay.key} knows its batches by message`);
      if (batch.tickets.size === 0) broken("no batch is empty");
      for (let ticket = batch.tickets.first; ticket !== undefined; ticket = ticket.next) {
        if (ticket.queue !== batch) broken(`${ticket.id} knows its batch`);
        put(ticket, "ready");
        count++;
      }
    }
    equal(relay.readyCount, count, `relay ${relay.key} counts what is ready`);
    equal(relay.batches.size, batches, `relay ${relay.key} counts its batches`);
    equal(relay.byMessage.size, batches, `relay ${relay.key} knows no other batches`);
  }
  for (const queue of s.localQueues.values()) {
    for (let ticket = queue.tickets.first; ticket !== undefined; ticket = ticket.next) put(ticket, "ready");
    const mayGo = queue.tickets.size > 0 && queue.active < s.settings.scheduler.local.perRecipient;
    if (queue.hasTurn !== mayGo) broken("who has something to deliver and room has a turn");
  }
}

function assertHeap<Member extends Wakeable>(heap: WakeHeap<Member>): void {
  for (let at = 0; at < heap.length; at++) {
    const member = heap[at];
    const parent = heap[(at - 1) >> 1];
    if (member === undefined || member.heapAt !== at) broken("who is in a heap knows its place");
    else if (at > 0 && (parent === undefined || parent.wakeAt > member.wakeAt)) broken("the heap is one");
  }
}

function assertLimits(s: SchedulerState): void {
  const used = new Map<Limited, number>();
  for (const { occupies } of s.sessions.values()) for (const one of occupies) used.set(one, (used.get(one) ?? 0) + 1);
  const { limits } = s.settings.route;
  const check = (what: string, one: Limited, most: number): void => {
    if (one.used !== (used.get(one) ?? 0)) broken(`${what}: as many are counted as there are (${one.used})`);
    if (one.used > most) broken(`${what}: ${one.used} of at most ${most}`);
  };
  check("total", s.total, limits.total);
  for (const one of s.hosts.values()) check("host", one, limits.host);
  for (const one of s.sources.values()) check("source", one, limits.source);
  for (const one of s.domains.values()) check("domain", one, limits.domain);
  for (const route of s.routes.values()) check(`route ${route.text}`, route.connections, limits.route);
  for (const relay of s.relays.values()) check(`relay ${relay.key}`, relay.connections, limits.relay);
}

function assertRelay(relay: RelayQueue): void {
  let connecting = 0;
  for (const session of relay.sessions) if (session.phase === "connecting") connecting++;
  equal(relay.connecting, connecting, `relay ${relay.key} counts the sessions that connect`);
  for (const session of relay.idle)
    if (session.phase !== "idle" || session.heapAt < 0) broken(`session ${session.id} is idle and will be left`);
}

/** Whatever is ready will be looked at again: by a session's end, a lookup's answer, a place given back, or a timer. */
function assertIsServed(s: SchedulerState, relay: RelayQueue): void {
  if (relay.readyCount === 0 || relay.isResolving || relay.sessions.size > 0 || relay.heapAt >= 0) return;
  for (const limit of relay.waitsOn) if (limit.used > 0) return;
  if (s.relays.get(relay.key) === relay) broken(`relay ${relay.key} has work and nobody will look at it`);
}

/**
 * The same for what one event touched, at a cost that does not depend on how much there is: its sessions and their
 * relays, the limits that these occupy, the envelopes that were handed out, written or put back.
 */
export function assertTouched(s: SchedulerState, sessions: readonly Session[], tickets: readonly Ticket[]): void {
  for (const session of sessions) {
    const { relay } = session;
    assertIsServed(s, relay);
    const isOpen = s.sessions.get(session.id) === session;
    if (isOpen !== relay.sessions.has(session)) broken(`session ${session.id} is in both books or in none`);
    for (const limit of session.occupies)
      if (limit.used < (isOpen ? 1 : 0)) broken(`session ${session.id}: what it occupies is counted`);
    if (session.phase !== "busy" && session.tickets.length > 0) broken(`session ${session.id} carries and is idle`);
  }
  for (const ticket of tickets) {
    if (s.tickets.get(ticket.id) !== ticket) continue;
    const { place } = ticket;
    if ((place === "ready") !== (ticket.queue !== undefined))
      broken(`${ticket.id} is ${place}, and a queue has it or not`);
    if (place === "waiting" && ticket.heapAt < 0 && !(ticket.state === "held" && ticket.heldUntilAt === undefined))
      broken(`${ticket.id} waits and nothing will wake it`);
    if (place !== "waiting" && place !== "ready" && ticket.heapAt >= 0)
      broken(`${ticket.id} is ${place} and would be woken`);
    if (ticket.message.total < 1 || ticket.message.inPlay > ticket.message.total)
      broken(`the message of ${ticket.id} counts its envelopes`);
  }
}

function equal(is: number, should: number, what: string): void {
  if (is !== should) broken(`${what}: ${is}, and there are ${should}`);
}

function broken(what: string): never {
  throw new BrokenInvariant(`the scheduler's books do not agree: ${what}`);
}
