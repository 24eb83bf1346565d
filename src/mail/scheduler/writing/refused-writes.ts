import { messageOfEnvelope } from "../../../foundation/ids.ts";
import { tell } from "../action.ts";
import { noticeFailed, writeRefused } from "../events.ts";
import type { Fate } from "./fate.ts";
import { schedule } from "../ready.ts";
import { decide } from "../settle.ts";
import type { SchedulerState, Ticket } from "../state.ts";
import { dueAtOf, setDueAt } from "../ticket-times.ts";
import { dropWake, setWake, takeDue, type Wakeable } from "../wake-heap.ts";
import { applyAfter, noteAsked, noteUndone, tellUndone } from "../wishes.ts";

/**
 * What the store, or the making of a notice, would not have. An end, or a change that nothing depends on but itself, is
 * written again, ever more seldom: what was delivered stays delivered, and is not tried meanwhile. It waits here and is no
 * write that runs, so a stop does not wait for it, and nothing else is held up. What comes with a bounce, or with envelopes
 * that take its place, is put off: the envelope is tried again.
 */
export interface Rewrite extends Wakeable {
  readonly fate: Fate;
  /** What the store said. */
  readonly because: string;
}

/** A bounce or a delay notice that could not be made is tried again after this. */
const UNWRITTEN_WAIT_MS = 300_000;
/** Ids that a notice of success is given before it is left out. */
const MOST_NOTICE_IDS = 2;
/** What the store refuses is written again after this, doubling up to the wait above. */
const FIRST_REFUSED_WAIT_MS = 1000;

/** The store refused the batch that it was in. `hasNotice`: a notice was among it. */
export function onRefused(s: SchedulerState, fate: Fate, hasNotice: boolean, why = "it did not say why"): void {
  if (maySucceedAgain(fate)) writeAgain(s, hasNotice ? fate : { ...fate, notice: undefined }, why);
  else {
    const { notice, ticket, added } = fate;
    const because = becauseOf(why);
    if (notice !== undefined) tellNotice(s, ticket, notice.kind, because);
    if (added !== undefined) tellRefused(s, ticket, why, UNWRITTEN_WAIT_MS);
    putOff(s, fate, because);
  }
}

/**
 * The notice that goes with it could not be made: a change is written without it, and an end is put off. A delay is told
 * later.
 */
export function putOff(s: SchedulerState, fate: Fate, problem = "its notice could not be made"): void {
  const { ticket, command, failure } = fate;
  if (fate.kind === "kept") {
    if (fate.notice !== undefined) {
      ticket.warnedMs = undefined;
      ticket.warnAgainAt = s.now + UNWRITTEN_WAIT_MS;
    }
    decide(s, { ...fate, notice: undefined });
    return;
  }
  const isOperators = failure?.cause.kind === "operator";
  const what = fate.added === undefined ? "its bounce could not be made" : "what takes its place could not be written";
  const because = `${what}: ${problem}`;
  // What was not due stays so. What was is not tried at once: who wants it returned has the time to ask again.
  if (!isOperators || dueAtOf(ticket) <= s.now) {
    setDueAt(ticket, s.now + UNWRITTEN_WAIT_MS);
    ticket.unreturned = because;
  }
  if (isOperators) tellUndone(s, ticket, "bounce", because);
  goOn(s, ticket);
  if (command !== undefined) noteUndone(s, command, because);
}

/** Whose wait is over. */
export function writeDue(s: SchedulerState): void {
  for (let one = takeDue(s.rewriteWakes, s.now); one !== undefined; one = takeDue(s.rewriteWakes, s.now))
    rewrite(s, one);
}

/** The server stops: all are tried now, and this is the last time. */
export function writeAllNow(s: SchedulerState): void {
  for (const one of s.rewrites.values()) {
    dropWake(s.rewriteWakes, one);
    rewrite(s, one);
  }
}

function rewrite(s: SchedulerState, { fate }: Rewrite): void {
  s.rewrites.delete(fate.ticket.id);
  decide(s, fate);
}

/**
 * What adds envelopes may be refused for that each time: once alone, for the others in its batch; then it is put off.
 */
function maySucceedAgain({ notice, added, refused }: Fate): boolean {
  return (notice === undefined || notice.kind === "success") && (added === undefined || refused === undefined);
}

/**
 * The id of a notice may have been taken: it gets another one, twice. After that a notice of success is left out, which
 * never holds up a write; and what is refused without one, alone, waits.
 */
function writeAgain(s: SchedulerState, fate: Fate, why: string): void {
  const { ticket, kind, notice, command } = fate;
  const times = (fate.refused?.times ?? 0) + 1;
  const because = becauseOf(why);
  if (notice !== undefined && times > MOST_NOTICE_IDS) {
    tellNotice(s, ticket, notice.kind, because);
    decide(s, { ...fate, notice: undefined, refused: { times: 1 } });
    return;
  }
  if (notice !== undefined || times === 1) {
    decide(s, { ...fate, refused: { times } });
    return;
  }
  if (command !== undefined) noteUndone(s, command, because);
  if (command !== undefined && kind === "gone") goOn(s, ticket);
  else wait(s, { ...fate, command: undefined, refused: { times } }, why);
}

function wait(s: SchedulerState, fate: Fate, why: string): void {
  const { ticket, refused } = fate;
  const times = refused?.times ?? 1;
  const waitMs = Math.min(FIRST_REFUSED_WAIT_MS * 2 ** Math.min(times - 2, 20), UNWRITTEN_WAIT_MS);
  const one: Rewrite = { fate, because: why, heapAt: -1 };
  s.rewrites.set(ticket.id, one);
  setWake(s.rewriteWakes, one, s.now + waitMs);
  tellRefused(s, ticket, why, s.isStopping ? undefined : waitMs);
  // Who waits for the end of this write would wait for as long as it is refused.
  const { after } = ticket;
  if (after?.command === undefined) return;
  const { command, ...wanted } = after;
  ticket.after = wanted;
  noteAsked(s, command);
}

/** It stays in the queue as it was. */
function goOn(s: SchedulerState, ticket: Ticket): void {
  if (ticket.after !== undefined) applyAfter(s, ticket, ticket.after);
  else schedule(s, ticket);
}

function becauseOf(why: string): string {
  return `the queue refused it: ${why}`;
}

function tellNotice(s: SchedulerState, { id }: Ticket, kind: string, problem: string): void {
  s.out.push(tell(noticeFailed, { message: messageOfEnvelope(id), kind, problem }));
}

function tellRefused(s: SchedulerState, { id, recipient }: Ticket, because: string, wait: number | undefined): void {
  const message = messageOfEnvelope(id);
  s.out.push(tell(writeRefused, { message, envelope: id, to: recipient, because, wait }));
}
