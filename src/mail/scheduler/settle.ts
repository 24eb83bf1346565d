import { planFor } from "./plan.ts";
import { assert } from "../../foundation/assert.ts";
import { messageOfEnvelope } from "../../foundation/ids.ts";
import { replyText } from "../../protocol/smtp/reply.ts";
import type { Outcome } from "../delivery/delivery.ts";
import { failureText } from "../envelope/failure-text.ts";
import type { Failure } from "../envelope/failure.ts";
import { firstProgress } from "../queue/queue.ts";
import type { AttemptRecord } from "../queue/store.ts";
import { tell } from "./action.ts";
import { failedBySettings } from "./awaken.ts";
import { delaysText, delayText } from "./retry/delay.ts";
import { attemptBy, died, expired, held, removedByOperator } from "./events.ts";
import type { Expanded } from "./expanded.ts";
import type { Fate, NoticeWish } from "./writing/fate.ts";
import { beginAnew } from "./life.ts";
import { leaveQueue } from "./serve/ready-queues.ts";
import { internalWaitMs, relaySchedule, spreadMs, waitMs } from "./retry/retry.ts";
import { chanceOf } from "./chance.ts";
import { scopeOf } from "./retry/scope.ts";
import type { Attempt, SchedulerState, Ticket } from "./state.ts";
import { move, warnAt } from "./ticket.ts";
import { afterToldMs, TOLD_BELIEVED, toldWaitMs } from "./retry/told-wait.ts";
import { dropWake } from "./wake-heap.ts";
import { expiresAtOf, readyAtOf, setDueAt, setWarnedAt } from "./ticket-times.ts";

/**
 * The ends of attempts become fates: what is to be written, and what the sender is to be told. Events are emitted here;
 * writing is `writing.ts`.
 */
/** The next host or the mailbox has it: it leaves the queue. */
export function settleDelivered(s: SchedulerState, ticket: Ticket, attempt: Attempt, outcome: Delivered): void {
  s.since.delivered++;
  ticket.attempts++;
  tellAttempt(s, ticket, attempt, "sent", outcome.status, outcome.text);
  const notice: NoticeWish | undefined =
    outcome.dsnPassedOn || ticket.message.sender === ""
      ? undefined
      : {
          kind: "success",
          about: {
            envelope: ticket.id,
            action: outcome.isFinal ? "delivered" : "relayed",
            ...(outcome.taker === undefined ? {} : { taker: outcome.taker }),
            status: outcome.status,
            relay: attempt.relay,
            text: outcome.text,
            lastAttemptAt: s.now,
          },
        };
  decide(s, { ticket, kind: "gone", notice });
}

/** Its user sends it on: what comes of it takes its place. */
export function settleExpanded(s: SchedulerState, ticket: Ticket, attempt: Attempt, outcome: Expanded): void {
  s.since.delivered++;
  ticket.attempts++;
  const added = outcome.envelopes.map((envelope) => ({
    envelope,
    progress: firstProgress(envelope, s.now, s.settings.scheduler.expireAfter),
  }));
  const ids = outcome.envelopes.map(({ id }) => id).join(" ");
  tellAttempt(s, ticket, attempt, "sent", "2.0.0", `${outcome.text} as ${ids}`);
  decide(s, { ticket, kind: "gone", added });
}

type Delivered = Extract<Outcome, { kind: "delivered" }>;

/** An attempt failed: once more later, or for good. */
export function settleFailed(s: SchedulerState, ticket: Ticket, attempt: Attempt, failure: Failure): void {
  if (attempt.isUntried !== true) ticket.attempts++;
  if (attempt.relay !== "none") ticket.lastHost = attempt.relay;
  ticket.lastRound =
    attempt.round ?? (failure.cause.kind === "settings" ? failedBySettings(attempt.under ?? s.settings) : undefined);
  if (ticket.isScheduled !== undefined) ticket.isScheduled = undefined;
  noteRefusal(ticket, failure);
  const { after } = ticket;
  if (after?.do === "remove") {
    ticket.after = undefined;
    tellAttempt(s, ticket, attempt, "deferred", failure.status, failureText(failure));
    tellRemoved(s, ticket, after.because);
    decide(s, { ticket, kind: "gone", command: after.command });
  } else if (after?.do === "bounce") {
    ticket.after = undefined;
    const end = failure.lasting === "permanent" ? failure : operatorFailure(after.because);
    giveUp(s, ticket, { ...attempt, command: after.command }, end);
  } else if (failure.lasting === "permanent") giveUp(s, ticket, attempt, failure);
  else if (s.now >= expiresAtOf(ticket)) {
    s.since.expired++;
    s.out.push(
      tell(expired, { message: messageOfEnvelope(ticket.id), from: ticket.message.sender, envelopes: [ticket.id] }),
    );
    giveUp(s, ticket, attempt, expiredFailure(s, ticket, failure), failure);
  } else defer(s, ticket, attempt, failure);
}

function defer(s: SchedulerState, ticket: Ticket, attempt: Attempt, failure: Failure): void {
  s.since.deferred++;
  const { retry } = s.settings.scheduler;
  let wait: number;
  const isBySettings = attempt.isUntried === true && failure.cause.kind === "settings";
  if (failure.cause.kind === "internal" || isBySettings) {
    // Our own side's failure says nothing about the next host: it does not push the schedule on.
    if (attempt.isUntried !== true) ticket.attempts--;
    ticket.mishaps = (ticket.mishaps ?? 0) + 1;
    wait = internalWaitMs(retry.internal, ticket.mishaps);
  } else {
    if (ticket.mishaps !== undefined) ticket.mishaps = 0;
    const isLocal = planFor(s.settings.plans, ticket.action)?.kind === "local";
    wait = waitMs(isLocal ? retry.local : relaySchedule(s, ticket).value, ticket.attempts);
  }
  const retryAt =
    nextAttemptAt(s, ticket, attempt, failure) ?? s.now + spreadMs(wait, retry.spread, chanceOf(s).next());
  // One last attempt at the very end rather than an envelope that expires untried.
  setDueAt(ticket, Math.min(retryAt, expiresAtOf(ticket)));
  tellAttempt(s, ticket, attempt, "deferred", failure.status, failureText(failure));
  // Another time to be tried at is given it when this is written.
  const after = ticket.after?.do === "retry" || ticket.after?.do === "schedule" ? undefined : ticket.after;
  if (after !== undefined) ticket.after = undefined;
  if (after?.do === "hold") markHeld(s, ticket, after.because, after.untilAt);
  decide(s, {
    ticket,
    kind: "kept",
    failure,
    attempt: recordOf(attempt, "deferred", failure),
    command: after?.command,
    notice: after === undefined && s.now >= warnAt(s, ticket) ? delayNotice(s, ticket, failure) : undefined,
  });
}

/**
 * When it is tried again, whatever the schedule says: when what its relay has learnt of greylisting says, or the reply
 * itself. Attempts count as ever: a schedule goes on from the number of all of them, when no wait is told any more, and
 * bounds the waits of a host that has had its say five times.
 */
function nextAttemptAt(s: SchedulerState, ticket: Ticket, attempt: Attempt, failure: Failure): number | undefined {
  if (attempt.retryAt !== undefined) return attempt.retryAt;
  const toldMs = toldWaitMs(failure.reply);
  if (toldMs === undefined || failure.lasting === "permanent") return undefined;
  const at = s.now + afterToldMs(toldMs, chanceOf(s).next());
  if (ticket.attempts <= TOLD_BELIEVED) return at;
  return Math.max(at, s.now + waitMs(relaySchedule(s, ticket).value, ticket.attempts - TOLD_BELIEVED));
}

/**
 * It was not tried, because its sender or others before it were refused for now: it counts as failed for now, without an attempt, and
 * its schedule does not go on.
 */
export function settlePutOff(s: SchedulerState, ticket: Ticket, untilAt: number, failure: Failure): void {
  const { after } = ticket;
  if (after !== undefined || s.now >= expiresAtOf(ticket)) {
    settleFailed(s, ticket, { ...untried(s), isUntried: true, retryAt: untilAt }, failure);
    return;
  }
  s.since.deferred++;
  ticket.lastRound = undefined;
  if (ticket.isScheduled !== undefined) ticket.isScheduled = undefined;
  setDueAt(ticket, Math.min(untilAt, expiresAtOf(ticket)));
  noteRefusal(ticket, failure);
  const text = failureText(failure);
  const why = ticket.isOfRefusedSender === true ? `not tried: its sender was refused just now: ${text}` : text;
  tellAttempt(s, ticket, untried(s), "deferred", failure.status, why);
  decide(s, { ticket, kind: "kept", failure });
}

function noteRefusal(ticket: Ticket, failure: Failure): void {
  const isOfRefusedSender = failure.lasting === "temporary" && scopeOf(failure, "recipient") === "sender";
  if (isOfRefusedSender) ticket.isOfRefusedSender = true;
  else if (ticket.isOfRefusedSender !== undefined) ticket.isOfRefusedSender = undefined;
}

/** It failed for good: back to the sender, or, without one, told to postmaster or kept as dead. */
export function giveUp(s: SchedulerState, ticket: Ticket, attempt: Attempt, failure: Failure, before?: Failure): void {
  const text = before === undefined ? failureText(failure) : `${failureText(failure)}: ${failureText(before)}`;
  tellAttempt(s, ticket, attempt, "bounced", failure.status, text);
  const about = {
    envelope: ticket.id,
    failure,
    before,
    relay: attempt.relay,
    text,
    status: failure.status,
    lastAttemptAt: s.now,
  };
  const { command } = attempt;
  const end: Bounced = {
    ticket,
    kind: "gone",
    failure,
    attempt: recordOf(attempt, "bounced", failure),
    notice: { kind: "bounce", about },
    command,
  };
  if (ticket.message.sender === "") settleDeadLetter(s, end);
  else decide(s, end);
}

type Bounced = Fate & { readonly notice: NoticeWish };

/** Its bounce has no way to whom it is for: from the sender to postmaster, from there to what is kept as dead. */
export function settleUnreturnable(s: SchedulerState, { notice, ...fate }: Fate, because: string): void {
  assert(notice !== undefined, "what cannot be returned had a notice");
  if (notice.to === undefined) settleDeadLetter(s, { ...fate, notice }, because);
  else keepAsDead(s, fate, because);
}

/** There is no sender who can be told. */
function settleDeadLetter(s: SchedulerState, end: Bounced, because?: string): void {
  const { deadLetters } = s.settings.scheduler;
  const to = deadLetters.to === "postmaster" ? s.settings.postmaster : undefined;
  if (to === undefined || isFor(to, end.ticket)) keepAsDead(s, end, because);
  else decide(s, { ...end, notice: { ...end.notice, to } });
}

/** Why nobody is told, where there is nothing else to say. */
export const NO_SENDER = "it has no sender";

function keepAsDead(s: SchedulerState, { ticket, failure, attempt, command }: Fate, because: string | undefined): void {
  s.since.dead++;
  startWriting(s, ticket);
  move(s, ticket, "writing", "dead");
  beginAnew(s, ticket);
  const { sender } = ticket.message;
  s.out.push(
    tell(died, { envelope: ticket.id, from: sender, to: ticket.recipient, because, until: expiresAtOf(ticket) }),
  );
  // Whoever held it has wanted it returned: it is not theirs any more.
  if (ticket.heldUntilAt !== undefined) ticket.heldUntilAt = undefined;
  // What a filter keeps back is not let go by that: the quarantine, and why, stays beside what nobody could be told.
  const { quarantine, heldBecause = "in quarantine" } = ticket;
  const why = quarantine === undefined ? because : `${because ?? NO_SENDER}; ${heldBecause}`;
  if (ticket.heldBecause !== why) ticket.heldBecause = why;
  decide(s, { ticket, kind: "kept", failure, attempt, command });
}

/**
 * What cannot even reach postmaster is not told to postmaster. A notice keeps the address that it was made for, through
 * aliases, forwards and restarts: whatever that stands for now, another notice would come to the same end.
 */
function isFor(postmaster: string, { recipient, givenRecipient = recipient }: Ticket): boolean {
  const folded = postmaster.toLowerCase();
  return givenRecipient.toLowerCase() === folded || recipient.toLowerCase() === folded;
}

export function tellRemoved(s: SchedulerState, ticket: Ticket, because: string): void {
  const { id, recipient } = ticket;
  s.out.push(tell(removedByOperator, { message: messageOfEnvelope(id), envelope: id, to: recipient, because }));
}

/** The delay warning, at its time and not after an attempt. */
export function warn(s: SchedulerState, ticket: Ticket): void {
  decide(s, { ticket, kind: "kept", notice: delayNotice(s, ticket, undefined) });
}

function delayNotice(s: SchedulerState, ticket: Ticket, failure: Failure | undefined): NoticeWish {
  setWarnedAt(ticket, s.now);
  const relay = ticket.lastHost ?? "none";
  return { kind: "delay", about: { envelope: ticket.id, failure, relay, retryUntilAt: expiresAtOf(ticket) } };
}

/** Its state becomes held; a fate must follow. */
export function markHeld(s: SchedulerState, ticket: Ticket, because: string, untilAt: number | undefined): void {
  startWriting(s, ticket);
  move(s, ticket, "writing", "held");
  ticket.heldBecause = because;
  if (untilAt !== ticket.heldUntilAt) ticket.heldUntilAt = untilAt;
  s.out.push(
    tell(held, {
      message: messageOfEnvelope(ticket.id),
      envelope: ticket.id,
      to: ticket.recipient,
      because,
      until: untilAt,
    }),
  );
}

/** The ticket's fate goes to the store at the end of this step. */
export function decide(s: SchedulerState, fate: Fate): void {
  startWriting(s, fate.ticket);
  s.urgent.push(fate);
}

export function startWriting(s: SchedulerState, ticket: Ticket): void {
  if (ticket.queue !== undefined) leaveQueue(s, ticket);
  dropWake(s.wakes, ticket);
  if (ticket.place !== "writing") move(s, ticket, "writing");
}

export function operatorFailure(because: string): Failure {
  return { lasting: "permanent", status: "5.7.1", cause: { kind: "operator", text: because } };
}

function expiredFailure(s: SchedulerState, ticket: Ticket, last: Failure): Failure {
  return {
    lasting: "permanent",
    status: "5.4.7",
    cause: { kind: "expired", afterMs: s.now - ticket.message.receivedAt },
    ...(last.reply === undefined ? {} : { reply: last.reply }),
    ...(last.host === undefined ? {} : { host: last.host }),
  };
}

function recordOf(attempt: Attempt, outcome: AttemptRecord["outcome"], failure: Failure): AttemptRecord {
  const { startedAt, tookMs, relay } = attempt;
  const record = { startedAt, tookMs, outcome, relay, failure };
  return failure.reply === undefined ? record : { ...record, replyText: replyText(failure.reply) };
}

function tellAttempt(
  s: SchedulerState,
  ticket: Ticket,
  attempt: Attempt,
  status: "sent" | "deferred" | "bounced",
  dsn: string,
  reply: string,
): void {
  const { receivedAt } = ticket.message;
  const totalMs = s.now - receivedAt;
  // It may end without ever having been due: by an operator, or by the sender's deadline.
  const beforeMs = (readyAtOf(ticket) ?? s.now) - receivedAt;
  const waitingMs = totalMs - beforeMs - attempt.connectMs - attempt.tookMs;
  s.out.push(
    tell(attemptBy[attempt.speaker], {
      message: messageOfEnvelope(ticket.id),
      envelope: ticket.id,
      to: ticket.recipient,
      origTo: ticket.givenRecipient,
      relay: attempt.relay,
      session: attempt.session,
      delay: delayText(totalMs),
      delays: delaysText({ totalMs, beforeMs, waitingMs, connectMs: attempt.connectMs, transmitMs: attempt.tookMs }),
      dsn,
      status,
      reply,
      attempt: ticket.attempts,
      took: Math.round(attempt.tookMs),
    }),
  );
}

/** An end without an attempt at any host. */
export function untried(s: SchedulerState): Attempt {
  return { speaker: "qmgr", relay: "none", startedAt: s.now, connectMs: 0, tookMs: 0 };
}
