import { messageOfEnvelope } from "../../foundation/ids.ts";
import { tell } from "./action.ts";
import { countSuspended } from "./awaken.ts";
import { changeUndone } from "./events.ts";
import type { Fate } from "./writing/fate.ts";
import { release, schedule } from "./ready.ts";
import { endRests, makeDueNow, relayOf } from "./retrying.ts";
import { markHeld, operatorFailure, startWriting, tellRemoved } from "./settle.ts";
import type { After, SchedulerState, Ticket, Wish } from "./state.ts";
import { suspensionOf } from "./suspension/suspensions.ts";
import { expiresAtOf, setDueAt } from "./ticket-times.ts";
import { postpone } from "./writing/writing.ts";

/**
 * What operators want done with envelopes that are busy: being tried, or being written. It is done when that has ended
 * (`settle.ts`, `applyAfter`), unless the envelope leaves the queue by it. A write that runs ends soon, and the command waits
 * for what comes of it. An attempt, or a write that the store refuses, may take long: the command is answered with how
 * many there are, and what is wanted is remembered until then; that it came too late is told.
 */
/** What asks for more stays when less is asked for afterwards: who has thrown it away does not have it held. */
const RANKS: Readonly<Record<Wish["do"], number>> = {
  retry: 0,
  schedule: 0,
  release: 1,
  hold: 1,
  bounce: 2,
  remove: 3,
};

/** Whoever names mail to have it tried wants it whether it is held or not. */
function rankOf(wish: Wish): number {
  return wish.do === "retry" && wish.isMeant ? RANKS.release : RANKS[wish.do];
}

const WANTED: Readonly<Record<Wish["do"], string>> = {
  retry: "tried at once",
  schedule: "due when somebody chose",
  release: "released",
  hold: "held",
  bounce: "returned",
  remove: "removed",
};

/** Without a command nobody waits for it. */
export function wish(
  s: SchedulerState,
  ticket: Ticket,
  wanted: Wish,
  command: number | undefined,
): "none" | "asked" | "written" {
  const { after } = ticket;
  if (after !== undefined) {
    if (rankOf(after) > rankOf(wanted)) return "none";
    if (after.command !== undefined) noteUndone(s, after.command);
  }
  const isWaitedFor = command !== undefined && ticket.place === "writing" && !s.rewrites.has(ticket.id);
  ticket.after = isWaitedFor ? { ...wanted, command } : wanted;
  return isWaitedFor ? "written" : "asked";
}

/** The write that ran has ended, and the envelope is still here. */
export function applyAfter(s: SchedulerState, ticket: Ticket, after: After): void {
  ticket.after = undefined;
  const { command } = after;
  if (after.do === "remove") remove(s, ticket, after.because, command);
  else if (after.do === "release" && ticket.state === "held") release(s, ticket, { command });
  else if (after.do === "hold" && ticket.state !== "dead") hold(s, ticket, after.because, after.untilAt, command);
  else if (after.do === "bounce" && ticket.state !== "dead") bounce(s, ticket, after.because, command);
  else if (after.do === "retry" && (ticket.state === "queued" || after.isMeant)) retry(s, ticket);
  else if (after.do === "schedule" && ticket.state === "queued") reschedule(s, ticket, after.at, command);
  else {
    schedule(s, ticket);
    if (command !== undefined) noteUndone(s, command);
    else if (after.do !== "release") tellUndone(s, ticket, after.do, "it is kept as dead");
  }
}

/** The envelope has left the queue; perhaps as was wanted, by another command or by itself. */
export function endWish(
  s: SchedulerState,
  ticket: Ticket,
  { do: wanted, command }: After,
  fate: Fate,
  isUntold: boolean,
): void {
  const isReturned = fate.notice?.kind === "bounce";
  // Of what was to be tried there is nothing left to try.
  if (wanted === "retry") return;
  const isFulfilled =
    wanted === "bounce" ? isReturned : wanted === "remove" && !isReturned && fate.command !== undefined;
  if (!isFulfilled) tellUndone(s, ticket, wanted, "too late, it had left the queue");
  if (command === undefined) return;
  if (isFulfilled) noteReturned(s, command, fate, isUntold);
  else noteUndone(s, command);
}

/** An attempt does not end any more: what was wanted of it is gone with this process. */
export function forgetWishes(s: SchedulerState): void {
  for (const ticket of s.tickets.values())
    if (ticket.after !== undefined && ticket.after.command === undefined)
      tellUndone(s, ticket, ticket.after.do, "the server stopped before its attempt ended; ask for it again");
}

export function tellUndone(s: SchedulerState, { id, recipient }: Ticket, wanted: Wish["do"], why: string): void {
  const message = messageOfEnvelope(id);
  s.out.push(tell(changeUndone, { message, envelope: id, to: recipient, wanted: WANTED[wanted], why }));
}

/** For people: what becomes of it when what runs has ended. */
export function wishText({ after }: Ticket): string {
  return after === undefined ? "" : `; then it is ${WANTED[after.do]}, if it is still here`;
}

export function hold(
  s: SchedulerState,
  ticket: Ticket,
  because: string,
  untilAt: number | undefined,
  command?: number,
): void {
  countSuspended(s, ticket);
  markHeld(s, ticket, because, untilAt);
  postpone(s, { do: "write", ticket, kind: "kept", command });
}

/** To another instant. */
export function reschedule(s: SchedulerState, ticket: Ticket, at: number, command?: number): void {
  countSuspended(s, ticket);
  startWriting(s, ticket);
  // Tried once more at the very end rather than returned untried.
  setDueAt(ticket, Math.min(at, expiresAtOf(ticket)));
  // Its relay's recovery does not bring it back earlier.
  ticket.lastRound = undefined;
  ticket.isScheduled = true;
  postpone(s, { do: "write", ticket, kind: "kept", command });
}

function retry(s: SchedulerState, ticket: Ticket): void {
  if (ticket.state !== "queued") {
    release(s, ticket, { dueAt: s.now });
    return;
  }
  schedule(s, ticket);
  // What is suspended stays so: who wants it tried lifts that.
  if (ticket.place === "writing" || suspensionOf(s, ticket) !== undefined) return;
  if (ticket.place === "waiting") makeDueNow(s, ticket);
  const relay = relayOf(ticket);
  if (relay !== undefined) endRests(s, { by: "envelope", id: ticket.id }, new Set([relay]));
}

export function remove(s: SchedulerState, ticket: Ticket, because: string, command?: number): void {
  tellRemoved(s, ticket, because);
  postpone(s, { do: "write", ticket, kind: "gone", command });
}

export function bounce(s: SchedulerState, ticket: Ticket, because: string, command?: number): void {
  postpone(s, { do: "give-up", ticket, failure: operatorFailure(because), command });
}

/** What a command took out of the queue is gone; of a bounce, whom it told. */
export function noteReturned(s: SchedulerState, id: number, { notice }: Fate, isUntold: boolean): void {
  const progress = s.commands.get(id);
  if (progress !== undefined && notice?.kind === "bounce") {
    if (isUntold) progress.untold++;
    else if (notice.to !== undefined) progress.toPostmaster++;
  }
  noteWritten(s, id);
}

/** One change of a command is durable. */
function noteWritten(s: SchedulerState, id: number): void {
  const progress = s.commands.get(id);
  if (progress === undefined) return;
  progress.unwritten--;
  answerIfDone(s, id);
}

/** One change of a command did not come about; without a reason because there was nothing left to change. */
export function noteUndone(s: SchedulerState, id: number, because?: string): void {
  const progress = s.commands.get(id);
  if (progress === undefined) return;
  progress.envelopes--;
  if (because !== undefined) {
    progress.undone++;
    progress.because ??= because;
  }
  noteWritten(s, id);
}

/** One change of a command is done when what runs has ended, which may take long. */
export function noteAsked(s: SchedulerState, id: number | undefined): void {
  const progress = id === undefined ? undefined : s.commands.get(id);
  if (id === undefined || progress === undefined) return;
  progress.envelopes--;
  progress.asked++;
  noteWritten(s, id);
}

export function answerIfDone(s: SchedulerState, id: number): void {
  const progress = s.commands.get(id);
  if (progress === undefined || progress.unwritten > 0 || progress.isOpen) return;
  s.commands.delete(id);
  const { envelopes, asked, toPostmaster, untold, undone, suspended, because } = progress;
  s.out.push({
    do: "answer",
    command: id,
    envelopes,
    ...(asked === 0 ? {} : { asked }),
    ...(toPostmaster === 0 ? {} : { toPostmaster }),
    ...(untold === 0 ? {} : { untold }),
    ...(undone === 0 ? {} : { undone, because }),
    ...(suspended === 0 ? {} : { suspended }),
  });
}
