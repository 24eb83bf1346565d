import { unreachable } from "../../foundation/assert.ts";
import type { EnvelopeId } from "../../foundation/ids.ts";
import type { Connected, Outcome, Resolved, Transacted } from "../delivery/delivery.ts";
import type { LoadedEnvelope } from "../queue/store.ts";
import { tell, type Action } from "./action.ts";
import type { Direction } from "./admin.ts";
import { applyAfter, forgiveRoutes, noteWritten, onCommand, type Command } from "./commands.ts";
import { paused, resumed } from "./events.ts";
import type { Fate } from "./fate.ts";
import { makeReady, onWake, schedule } from "./ready.ts";
import { leaveQueue } from "./ready-queues.ts";
import { dispatch, leave } from "./serve.ts";
import { onConnected, onDelivered, onGone, onResolved, onTransacted } from "./sessions.ts";
import { decide } from "./settle.ts";
import type { CoreSettings, SchedulerState } from "./state.ts";
import { admit, forget } from "./ticket.ts";
import { flush, takeWritten } from "./writing.ts";
import { dropWake, nextWake, takeDue } from "./wake-heap.ts";

/**
 * The scheduler: decides what is tried when, where and with whom. Before it: queue; after it: route and delivery.
 *
 * `step` takes the state, an event and the time, changes the state and returns what is to be done. It knows ids, times and
 * addresses, never content; it knows no socket, disk or clock, and draws chance from a seed. So the same events give
 * the same actions: a production day is replayed from its journal (`replay.ts`), a simulated week takes a second.
 *
 * An envelope (`Ticket`) is always in exactly one place:
 *
 *     waiting → ready → active → writing → gone
 *        ↑        ↑________│        │
 *        └──────────────────────────┘        held and dead ones wait as well
 *
 * Invariants: nothing is tried again before the outcome of its last attempt is durable. No limit of connections is
 * exceeded at any moment. A decision costs O(log n) of the envelopes known. While a route rests its envelopes wait for
 * it, not each for itself. Whatever a delivery answers, or does not, no envelope is forgotten.
 *
 * RFC 5321 sections 4.5.4.1 (retries, expiry) and 5.1 (which host); RFC 2852 (DELIVERBY), RFC 4865 (FUTURERELEASE).
 */
export type SchedulerEvent =
  /** What the store held at the start. Envelopes known already are passed over. */
  | { readonly on: "loaded"; readonly envelopes: readonly LoadedEnvelope[] }
  /** Committed just now. */
  | { readonly on: "queued"; readonly envelopes: readonly LoadedEnvelope[] }
  | { readonly on: "resolved"; readonly relay: string; readonly answers: readonly Resolved[] }
  | { readonly on: "connected"; readonly session: string; readonly connected: Connected }
  | { readonly on: "transacted"; readonly session: string; readonly transacted: Transacted }
  | { readonly on: "gone"; readonly envelopes: readonly EnvelopeId[] }
  /** Final delivery ended; no outcome: the store no longer had it. */
  | { readonly on: "delivered"; readonly envelope: EnvelopeId; readonly outcome?: Outcome | undefined }
  | { readonly on: "written"; readonly write: number }
  /** A notice could not be made: nothing of this write was done. */
  | { readonly on: "unwritten"; readonly write: number }
  | { readonly on: "command"; readonly command: number; readonly wants: Command }
  /** An operator ends rests and penalties, by the name of a route or relay. Answered as a command is. */
  | { readonly on: "forgive"; readonly command: number; readonly which: string }
  | { readonly on: "pause"; readonly direction: Direction; readonly because: string }
  | { readonly on: "resume"; readonly direction: Direction }
  | { readonly on: "settings"; readonly settings: CoreSettings }
  | { readonly on: "store"; readonly isUsable: boolean }
  | { readonly on: "stop" }
  | { readonly on: "timer" };

/** Envelopes that one timer event handles; more follow at once, in the next. */
const MOST_DUE_AT_ONCE = 1000;
/** A bounce that could not be made is tried again after this. */
const UNWRITTEN_WAIT_MS = 300_000;

export function step(s: SchedulerState, event: SchedulerEvent, now: number): readonly Action[] {
  // A machine's clock may be set back; the scheduler's time stands still then.
  s.now = Math.max(s.now, now);
  take(s, event);
  dispatch(s);
  flush(s);
  setTimer(s);
  return s.out.splice(0);
}

/** True when nothing is being tried or written: what `stop` waits for. */
export function isQuiet(s: SchedulerState): boolean {
  return s.sessions.size === 0 && s.localActive === 0 && s.writes.size === 0;
}

function take(s: SchedulerState, event: SchedulerEvent): void {
  switch (event.on) {
    case "queued":
      s.since.queued += event.envelopes.length;
      admitAll(s, event.envelopes);
      return;
    case "loaded":
      admitAll(s, event.envelopes);
      return;
    case "resolved":
      onResolved(s, event.relay, event.answers);
      return;
    case "connected":
      onConnected(s, event.session, event.connected);
      return;
    case "transacted":
      onTransacted(s, event.session, event.transacted);
      return;
    case "gone":
      onGone(s, event.envelopes);
      return;
    case "delivered":
      onDelivered(s, event.envelope, event.outcome);
      return;
    case "written":
      for (const fate of takeWritten(s, event.write)) conclude(s, fate);
      return;
    case "unwritten":
      for (const fate of takeWritten(s, event.write)) putOff(s, fate);
      return;
    case "command":
      onCommand(s, event.command, event.wants);
      return;
    case "forgive":
      forgiveRoutes(s, event.command, event.which);
      return;
    case "pause":
      s.paused.set(event.direction, { because: event.because, sinceAt: s.now });
      s.out.push(tell(paused, { direction: event.direction, because: event.because }));
      lookAtAllRelays(s);
      return;
    case "resume":
      if (s.paused.delete(event.direction)) s.out.push(tell(resumed, { direction: event.direction }));
      lookAtAllRelays(s);
      return;
    case "settings":
      changeSettings(s, event.settings);
      return;
    case "store":
      s.isStoreUsable = event.isUsable;
      lookAtAllRelays(s);
      return;
    case "stop":
      s.isStopping = true;
      lookAtAllRelays(s);
      return;
    case "timer":
      onTimer(s);
      return;
    default:
      unreachable(event);
  }
}

function admitAll(s: SchedulerState, envelopes: readonly LoadedEnvelope[]): void {
  // All are admitted before the first is looked at: the message's line names its number of recipients.
  for (const ticket of admit(s, envelopes)) schedule(s, ticket);
}

/** The store has what was decided. */
function conclude(s: SchedulerState, { ticket, kind, command }: Fate): void {
  if (kind === "gone") forget(s, ticket);
  else if (ticket.after !== undefined) applyAfter(s, ticket, ticket.after);
  else schedule(s, ticket);
  if (command !== undefined) noteWritten(s, command);
}

/** The notice that goes with it could not be made: a change is written without it, an end is put off. */
function putOff(s: SchedulerState, fate: Fate): void {
  const { ticket } = fate;
  if (fate.kind === "kept") {
    decide(s, { ...fate, notice: undefined });
    return;
  }
  ticket.dueAt = s.now + UNWRITTEN_WAIT_MS;
  schedule(s, ticket);
  if (fate.command !== undefined) noteWritten(s, fate.command);
}

function changeSettings(s: SchedulerState, settings: CoreSettings): void {
  s.settings = settings;
  s.total.limit = settings.route.limits.total;
  const ready = [];
  for (const relay of s.relays.values()) {
    // Its way may have changed: sessions end after what they carry, and what is ready is sent on its new way.
    relay.isRetired = true;
    s.relays.delete(relay.key);
    dropWake(s.relayWakes, relay);
    if (relay.isResolving) relay.isResolving = false;
    for (let batch = relay.batches.first; batch !== undefined; batch = relay.batches.first) {
      for (let ticket = batch.tickets.first; ticket !== undefined; ticket = batch.tickets.first) {
        leaveQueue(s, ticket);
        ready.push(ticket);
      }
    }
    for (const session of relay.idle.splice(0)) leave(s, session);
  }
  for (const queue of s.localQueues.values()) {
    for (let ticket = queue.tickets.first; ticket !== undefined; ticket = queue.tickets.first) {
      leaveQueue(s, ticket);
      ready.push(ticket);
    }
  }
  for (const ticket of ready) makeReady(s, ticket);
}

function lookAtAllRelays(s: SchedulerState): void {
  for (const relay of s.relays.values()) s.dirty.add(relay);
}

function onTimer(s: SchedulerState): void {
  s.timerAt = undefined;
  for (let count = 0; count < MOST_DUE_AT_ONCE; count++) {
    const ticket = takeDue(s.wakes, s.now);
    if (ticket === undefined) break;
    onWake(s, ticket);
  }
  for (let relay = takeDue(s.relayWakes, s.now); relay !== undefined; relay = takeDue(s.relayWakes, s.now))
    s.dirty.add(relay);
  for (let session = takeDue(s.idleSessions, s.now); session !== undefined; session = takeDue(s.idleSessions, s.now))
    leave(s, session);
}

/** The next instant at which something falls due. */
export function nextDueAt(s: SchedulerState): number | undefined {
  const next = Math.min(
    nextWake(s.wakes) ?? Infinity,
    nextWake(s.relayWakes) ?? Infinity,
    nextWake(s.idleSessions) ?? Infinity,
  );
  return next === Infinity ? undefined : next;
}

function setTimer(s: SchedulerState): void {
  const at = nextDueAt(s);
  // A timer that fires too early does no harm; setting one for each step would.
  if (at === undefined || (s.timerAt !== undefined && s.timerAt <= at)) return;
  s.timerAt = at;
  s.out.push({ do: "timer", at });
}
