import { unreachable } from "../../foundation/assert.ts";
import type { EnvelopeId } from "../../foundation/ids.ts";
import type { Connected, Outcome, Resolved, Transacted } from "../delivery/delivery.ts";
import type { LoadedEnvelope } from "../queue/store.ts";
import { tell, type Action } from "./action.ts";
import type { Direction } from "./admin/admin.ts";
import { closeCommands, commandRead, forgiveRoutes, onCommand, type Command } from "./commands.ts";
import { paused, resumed } from "./events.ts";
import { takeUpAdded, type Expanded } from "./expanded.ts";
import type { Fate } from "./writing/fate.ts";
import { awakenFromEarlierSettings, awakenSome, noteLifeWritten } from "./awaken.ts";
import { readyAt } from "./serve/lines.ts";
import { forgetUnused } from "./forgetting.ts";
import { changeLives } from "./life.ts";
import { newLoading } from "./loading.ts";
import { makeReady, onWake, schedule } from "./ready.ts";
import { onRefused, putOff, writeAllNow, writeDue } from "./writing/refused-writes.ts";
import { countApart } from "./serve/hanging.ts";
import { leaveQueue, lookAtAllRelays } from "./serve/ready-queues.ts";
import { dispatch, leave } from "./serve/serve.ts";
import { onConnected, onDelivered, onGone, onResolved, onTransacted } from "./serve/sessions.ts";
import { LEAST_SET_BACK_MS, mendDueAt, setBack } from "./set-back.ts";
import { decide, NO_SENDER, settleUnreturnable } from "./settle.ts";
import type { CoreSettings, SchedulerState, Ticket } from "./state.ts";
import type { SuspensionFacts, SuspensionLevel } from "./suspension/suspension.ts";
import { keepUntilMet, lift, onSuspend, onUnsuspend, suspendedWhileLoading } from "./suspension/suspending.ts";
import { suspend } from "./suspension/suspensions.ts";
import { admit, forget } from "./ticket.ts";
import { flush, postpone, takeWritten } from "./writing/writing.ts";
import { dropWake, nextWake, takeDue } from "./wake-heap.ts";
import { applyAfter, endWish, forgetWishes, noteReturned, noteUndone } from "./wishes.ts";

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
  /** The store is being read: `loaded` follows, portion by portion, and `all-loaded`. */
  | { readonly on: "loading" }
  | { readonly on: "all-loaded" }
  /** What the store held at the start. Envelopes known already are passed over. */
  | { readonly on: "loaded"; readonly envelopes: readonly LoadedEnvelope[] }
  /** Committed just now. */
  | { readonly on: "queued"; readonly envelopes: readonly LoadedEnvelope[] }
  /** `isStale`: asked by earlier settings, and asked again since. */
  | {
      readonly on: "resolved";
      readonly relay: string;
      readonly answers: readonly Resolved[];
      readonly isStale?: true | undefined;
    }
  | { readonly on: "connected"; readonly session: string; readonly connected: Connected }
  | { readonly on: "transacted"; readonly session: string; readonly transacted: Transacted }
  | { readonly on: "gone"; readonly envelopes: readonly EnvelopeId[] }
  /** Final delivery ended; no outcome: the store no longer had it. */
  | { readonly on: "delivered"; readonly envelope: EnvelopeId; readonly outcome?: Outcome | Expanded | undefined }
  /** `untold`: whose senders want no bounce, so that none was made. */
  | { readonly on: "written"; readonly write: number; readonly untold?: readonly EnvelopeId[] | undefined }
  /** A notice could not be made (`problem`), or the store refused the batch: nothing of this write was done. */
  | {
      readonly on: "unwritten";
      readonly write: number;
      readonly problem?: string | undefined;
      readonly refused?: string | undefined;
      /** Whether a notice was in the batch. */
      readonly hasNotice?: boolean | undefined;
    }
  /** Its bounce is wanted for these and has no way to whom it is for, now or later: nothing of this write was done. */
  | {
      readonly on: "unreturnable";
      readonly write: number;
      readonly envelopes: readonly EnvelopeId[];
      readonly because: string;
    }
  | { readonly on: "command"; readonly command: number; readonly wants: Command }
  /** An operator ends rests and penalties, by the name of a route or relay. Answered as a command is. */
  | { readonly on: "forgive"; readonly command: number; readonly which: string }
  | { readonly on: "pause"; readonly direction: Direction; readonly because: string }
  | { readonly on: "resume"; readonly direction: Direction }
  /** What the store held at the start, before any envelope. */
  | { readonly on: "suspensions"; readonly known: readonly SuspensionFacts[] }
  /** Answered, when it is durable, with the number of envelopes that it holds just then. */
  | { readonly on: "suspend"; readonly command: number; readonly suspension: SuspensionFacts }
  /** Answered, when it is durable, with the number of envelopes that it held; with `none` when there is no such one. */
  | {
      readonly on: "unsuspend";
      readonly command: number;
      readonly level: SuspensionLevel;
      readonly key: string;
      readonly by: string;
    }
  | { readonly on: "settings"; readonly settings: CoreSettings }
  | { readonly on: "store"; readonly isUsable: boolean }
  | { readonly on: "stop" }
  /** The deadline of the stop is over: what still runs does not end in this process. */
  | { readonly on: "end" }
  | { readonly on: "timer" };

/** Envelopes that one timer event handles; more follow at once, in the next. */
const MOST_DUE_AT_ONCE = 1000;
export function step(s: SchedulerState, event: SchedulerEvent, now: number): readonly Action[] {
  if (now < s.now - LEAST_SET_BACK_MS) setBack(s, now);
  // By a moment: time stands still until the clock has come up.
  s.now = Math.max(s.now, now);
  take(s, event);
  dispatch(s);
  flush(s);
  forgetUnused(s);
  setTimer(s);
  const { out } = s;
  s.out = [];
  return out;
}

/** True when nothing is being tried or written: what `stop` waits for. */
export function isQuiet(s: SchedulerState): boolean {
  return s.sessions.size === 0 && s.localActive === 0 && s.writes.size === 0;
}

function take(s: SchedulerState, event: SchedulerEvent): void {
  switch (event.on) {
    case "queued":
      s.since.queued += event.envelopes.length;
      commandRead(s, admitAll(s, event.envelopes));
      return;
    case "loading":
      s.loading ??= newLoading();
      return;
    case "loaded":
      commandRead(s, admitAll(s, event.envelopes));
      return;
    case "all-loaded":
      onAllLoaded(s);
      return;
    case "resolved":
      onResolved(s, event.relay, event.isStale === true ? undefined : event.answers);
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
      for (const fate of takeWritten(s, event.write))
        conclude(s, fate, event.untold?.includes(fate.ticket.id) === true);
      return;
    case "unwritten":
      for (const fate of takeWritten(s, event.write))
        if (event.problem === undefined) onRefused(s, fate, event.hasNotice !== false, event.refused);
        else putOff(s, fate, event.problem);
      return;
    case "unreturnable": {
      const concerned = new Set(event.envelopes);
      for (const fate of takeWritten(s, event.write))
        if (concerned.has(fate.ticket.id)) settleUnreturnable(s, fate, event.because);
        else decide(s, fate);
      return;
    }
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
    case "suspensions":
      for (const facts of event.known) suspend(s, facts, false);
      return;
    case "suspend":
      onSuspend(s, event.command, event.suspension);
      return;
    case "unsuspend":
      onUnsuspend(s, event);
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
      writeAllNow(s);
      lookAtAllRelays(s);
      return;
    case "end":
      forgetWishes(s);
      return;
    case "timer":
      onTimer(s);
      return;
    default:
      unreachable(event);
  }
}

function admitAll(s: SchedulerState, envelopes: readonly LoadedEnvelope[]): readonly Ticket[] {
  // All are admitted before the first is looked at: the message's line names its number of recipients.
  const tickets = admit(s, envelopes);
  for (const ticket of tickets) {
    mendDueAt(s, ticket);
    schedule(s, ticket);
  }
  return tickets;
}

function onAllLoaded(s: SchedulerState): void {
  const { loading } = s;
  if (loading === undefined) return;
  s.loading = undefined;
  closeCommands(s, loading.commands);
  suspendedWhileLoading(s, loading.suspends, loading.lifts);
  keepUntilMet(s);
}

/** The store has what was decided. */
function conclude(s: SchedulerState, fate: Fate, isUntold: boolean): void {
  const { ticket, kind, command, added, notice, lifted } = fate;
  if (notice?.kind === "bounce") s.since.bounced++;
  if (added !== undefined) takeUpAdded(s, ticket, added);
  const { after } = ticket;
  if (kind === "gone") {
    if (after !== undefined) endWish(s, ticket, after, fate, isUntold);
    forget(s, ticket);
  } else if (after !== undefined) applyAfter(s, ticket, after);
  else schedule(s, ticket);
  if (lifted !== undefined) noteLifeWritten(s, lifted);
  if (command === undefined) return;
  // Only what was to be returned dies by a command.
  if (kind === "kept" && ticket.state === "dead")
    noteUndone(s, command, `it is kept as dead: ${ticket.heldBecause ?? NO_SENDER}`);
  else noteReturned(s, command, fate, isUntold);
}

function changeSettings(s: SchedulerState, settings: CoreSettings): void {
  const { scheduler: before } = s.settings;
  s.settings = settings;
  changeLives(s, before);
  s.total.limit = settings.route.limits.total;
  s.hanging.limit = settings.route.limits.hanging;
  s.homes.clear();
  const ready = [];
  for (const relay of s.relays.values()) {
    // Its way may have changed: sessions end after what they carry, and what is ready is sent on its new way.
    relay.isRetired = true;
    s.relays.delete(relay.key);
    dropWake(s.relayWakes, relay);
    if (relay.isResolving) relay.isResolving = false;
    for (const ticket of readyAt(relay)) {
      leaveQueue(s, ticket);
      ready.push(ticket);
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
  awakenFromEarlierSettings(s);
}

function onTimer(s: SchedulerState): void {
  s.timerAt = undefined;
  for (let count = 0; count < MOST_DUE_AT_ONCE; count++) {
    const ticket = takeDue(s.wakes, s.now);
    if (ticket === undefined) break;
    onWake(s, ticket);
  }
  if (s.loading === undefined)
    for (let one = takeDue(s.suspensionWakes, s.now); one !== undefined; one = takeDue(s.suspensionWakes, s.now))
      lift(s, one.facts, undefined);
  writeDue(s);
  awakenSome(s, (ticket, lifted) => {
    if (lifted === undefined) schedule(s, ticket);
    else postpone(s, { do: "write", ticket, kind: "kept", command: undefined, lifted });
  });
  for (let relay = takeDue(s.relayWakes, s.now); relay !== undefined; relay = takeDue(s.relayWakes, s.now))
    s.dirty.add(relay);
  for (let bucket = takeDue(s.bucketWakes, s.now); bucket !== undefined; bucket = takeDue(s.bucketWakes, s.now))
    s.freed.add(bucket);
  for (let session = takeDue(s.idleSessions, s.now); session !== undefined; session = takeDue(s.idleSessions, s.now)) {
    if (session.phase === "connecting") countApart(s, session);
    else leave(s, session);
  }
}

/** The next instant at which something falls due. */
export function nextDueAt(s: SchedulerState): number | undefined {
  const next = Math.min(
    nextWake(s.wakes) ?? Infinity,
    nextWake(s.relayWakes) ?? Infinity,
    nextWake(s.idleSessions) ?? Infinity,
    nextWake(s.bucketWakes) ?? Infinity,
    (s.loading === undefined ? nextWake(s.suspensionWakes) : undefined) ?? Infinity,
    nextWake(s.rewriteWakes) ?? Infinity,
    s.awakening.length > 0 ? s.now : Infinity,
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
