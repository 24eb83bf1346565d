import { messageOfEnvelope } from "../../../foundation/ids.ts";
import { assert } from "../../../foundation/assert.ts";
import type { MailOperation } from "../../queue/store.ts";
import type { NoticePlan } from "../action.ts";
import { nextFailing } from "../serve/failing.ts";
import type { Fate, NoticeWish } from "./fate.ts";
import { decide, giveUp, settleFailed, settlePutOff, startWriting, untried, warn } from "../settle.ts";
import type { SchedulerState, Task, Ticket } from "../state.ts";
import { progressOf } from "../ticket.ts";

/**
 * Fates on their way to the store. Outcomes of attempts are written at once; changes to very many envelopes in slices, a
 * few at a time, so that neither the store nor memory sees a hundred thousand at once. Envelopes whose change comes with
 * a notice are written by message, each in a batch of its own with the notice: a notice that cannot be made holds up
 * nothing else.
 */
const SLICE = 500;
const MOST_SLICES_IN_FLIGHT = 4;
/** A bounce for one message is not torn apart below this. */
const LONGEST_SLICE = 5000;

export function postpone(s: SchedulerState, task: Task): void {
  startWriting(s, task.ticket);
  s.backlog.tasks.push(task);
}

function run(s: SchedulerState, task: Task): void {
  const { ticket } = task;
  switch (task.do) {
    case "fail":
      settleFailed(s, ticket, task.attempt, task.failure);
      return;
    case "give-up":
      giveUp(s, ticket, { ...untried(s), command: task.command }, task.failure);
      return;
    case "put-off":
      settlePutOff(s, ticket, task.untilAt, task.failure);
      return;
    case "warn":
      warn(s, ticket);
      return;
    case "write":
      decide(s, { ticket, kind: task.kind, command: task.command, lifted: task.lifted });
  }
}

/** Turns what this step decided into write actions. */
export function flush(s: SchedulerState): void {
  flushFates(s, false);
  const { backlog } = s;
  while (s.isStoreUsable && s.slicesInFlight < MOST_SLICES_IN_FLIGHT) {
    if (backlog.from === backlog.tasks.length) takeFailing(s);
    if (backlog.from === backlog.tasks.length) break;
    let count = 0;
    for (let task = backlog.tasks[backlog.from]; task !== undefined; task = backlog.tasks[backlog.from]) {
      const before = backlog.tasks[backlog.from - 1];
      if (count >= LONGEST_SLICE || (count >= SLICE && before?.ticket.message !== task.ticket.message)) break;
      backlog.from++;
      count++;
      run(s, task);
    }
    flushFates(s, true);
  }
  if (backlog.from === backlog.tasks.length && backlog.from > 0) {
    backlog.tasks = [];
    backlog.from = 0;
  }
}

/** A slice of what failed together, each message's envelopes in one as far as that goes. */
function takeFailing(s: SchedulerState): void {
  let before: Ticket | undefined;
  let count = 0;
  for (let next = nextFailing(s); next !== undefined; next = nextFailing(s)) {
    const { ticket, fate } = next;
    if (count >= LONGEST_SLICE || (count >= SLICE && before?.message !== ticket.message)) return;
    postpone(s, { ...fate, ticket });
    before = ticket;
    count++;
  }
}

function flushFates(s: SchedulerState, isSlice: boolean): void {
  if (s.urgent.length === 0) return;
  const fates = s.urgent;
  s.urgent = [];
  const quiet: Fate[] = [];
  let told: Map<string, Fate[]> | undefined;
  for (const fate of fates) {
    // What may be why a batch was refused holds up nothing else.
    if (fate.refused !== undefined) {
      write(s, [fate], isSlice);
      continue;
    }
    // A success notice that cannot be made is left out: the mail has been delivered and is not delivered again for it.
    if (fate.notice === undefined || fate.notice.kind === "success") {
      quiet.push(fate);
      continue;
    }
    const key = noticeKeyOf(fate.ticket, fate.notice);
    told ??= new Map();
    const group = told.get(key);
    if (group === undefined) told.set(key, [fate]);
    else group.push(fate);
  }
  if (quiet.length > 0) write(s, quiet, isSlice);
  for (const group of told?.values() ?? []) write(s, group, isSlice);
}

function write(s: SchedulerState, fates: readonly Fate[], isSlice: boolean): void {
  const id = ++s.writeCount;
  s.writes.set(id, { fates, isSlice });
  if (isSlice) s.slicesInFlight++;
  const operations: MailOperation[] = [];
  for (const fate of fates) addOperations(s, operations, fate);
  s.out.push({ do: "write", write: id, operations, notices: noticesOf(fates) });
}

function addOperations(s: SchedulerState, to: MailOperation[], { ticket, kind, failure, attempt, added }: Fate): void {
  const { id: envelope } = ticket;
  // What comes first, or the message would go with its last envelope.
  if (added !== undefined) to.push({ do: "add", message: messageOfEnvelope(envelope), envelopes: added });
  if (added !== undefined || kind === "gone") {
    to.push({ do: "remove", envelope });
    return;
  }
  const known = progressOf(s, ticket);
  const progress = failure === undefined ? known : { ...known, lastFailure: failure };
  to.push(attempt === undefined ? { do: "update", envelope, progress } : { do: "update", envelope, progress, attempt });
}

/** One notice tells one address of one message. */
function noticeKeyOf(ticket: Ticket, { kind, to = ticket.message.sender }: NoticeWish): string {
  return `${messageOfEnvelope(ticket.id)} ${kind} ${to}`;
}

function noticesOf(fates: readonly Fate[]): readonly NoticePlan[] {
  if (fates.every(({ notice }) => notice === undefined)) return [];
  const plans = new Map<string, { plan: NoticePlan; about: NoticePlan["about"][number][] }>();
  for (const { ticket, notice } of fates) {
    if (notice === undefined) continue;
    const key = noticeKeyOf(ticket, notice);
    const known = plans.get(key);
    if (known !== undefined) {
      known.about.push(notice.about);
      continue;
    }
    const about = [notice.about];
    const to = notice.to === undefined ? {} : { to: notice.to };
    plans.set(key, { plan: { kind: notice.kind, message: messageOfEnvelope(ticket.id), ...to, about }, about });
  }
  return [...plans.values()].map(({ plan }) => plan);
}

/** The store has it, or (without `isWritten`) never will. Gives back the fates, for the scheduler to conclude. */
export function takeWritten(s: SchedulerState, id: number): readonly Fate[] {
  const done = s.writes.get(id);
  assert(done !== undefined, "a write ends once");
  s.writes.delete(id);
  if (done.isSlice) s.slicesInFlight--;
  return done.fates;
}
