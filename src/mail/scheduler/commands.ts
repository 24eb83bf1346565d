import { messageOfEnvelope } from "../../foundation/ids.ts";
import type { Penalty } from "../route/penalty.ts";
import type { Selector } from "./admin/admin.ts";
import { lastHomesOf } from "./serve/homes.ts";
import { isCandidate, isHost, isNamed } from "./named-host.ts";
import { domainOf, release } from "./ready.ts";
import { relayText } from "./relay-text.ts";
import { endRests, makeDueNow, relayOf } from "./retrying.ts";
import type { CommandProgress, RelayQueue, SchedulerState, Ticket } from "./state.ts";
import { ownSenderOf } from "./ticket.ts";
import { endGreylistRest } from "./retry/greylisting.ts";
import { forgiveSenders } from "./retry/refused-senders.ts";
import { answerIfDone, bounce, hold, remove, reschedule, wish } from "./wishes.ts";

/** What operators change. A command is answered when all its changes are durable. */
export type Command = { readonly selector: Selector } & (
  | { readonly do: "hold"; readonly because: string; readonly untilAt?: number | undefined }
  /** `quarantined`: only what is in quarantine, which is left alone otherwise. */
  | { readonly do: "release"; readonly quarantined?: boolean | undefined }
  | { readonly do: "retryNow" }
  | { readonly do: "schedule"; readonly at: number }
  | { readonly do: "remove"; readonly because: string; readonly quarantined?: boolean | undefined }
  | { readonly do: "bounce"; readonly because: string }
);

export function onCommand(s: SchedulerState, id: number, command: Command): void {
  const progress: CommandProgress = {
    envelopes: 0,
    unwritten: 0,
    isOpen: s.loading !== undefined,
    asked: 0,
    toPostmaster: 0,
    untold: 0,
    undone: 0,
    suspended: 0,
    because: undefined,
  };
  s.commands.set(id, progress);
  const found = select(s, command.selector);
  applyToAll(s, id, command, progress, found);
  // A message's envelopes are read together.
  if (found.length > 0 && meansThis(command)) progress.isOpen = false;
  if (progress.isOpen) s.loading?.commands.push({ id, command, since: s.now });
  answerIfDone(s, id);
}

/** What was asked for before these were read. They are in their places, and nothing has been handed out yet. */
export function commandRead(s: SchedulerState, tickets: readonly Ticket[]): void {
  for (const { id, command, since } of s.loading?.commands ?? []) {
    const progress = s.commands.get(id);
    const isNamed = isSelected(s, command.selector);
    // What came meanwhile may be read as well. What comes from times to come is older than the clock's last correction.
    const wasThere = ({ message: { receivedAt } }: Ticket): boolean => receivedAt <= since || receivedAt > s.now;
    const named = tickets.filter((ticket) => wasThere(ticket) && isNamed(ticket));
    if (progress !== undefined && named.length > 0) applyToAll(s, id, command, progress, named);
  }
}

/** All is read: what these concern is known. */
export function closeCommands(s: SchedulerState, commands: readonly { readonly id: number }[]): void {
  for (const { id } of commands) {
    const progress = s.commands.get(id);
    if (progress === undefined) continue;
    progress.isOpen = false;
    answerIfDone(s, id);
  }
}

function applyToAll(
  s: SchedulerState,
  id: number,
  command: Command,
  progress: CommandProgress,
  tickets: readonly Ticket[],
): void {
  const relays = new Set<RelayQueue>();
  for (const ticket of tickets) {
    const change = applyTo(s, ticket, command, id);
    const relay = relayOf(ticket);
    if (relay !== undefined) relays.add(relay);
    if (change === "none") continue;
    if (change === "suspended") {
      progress.suspended++;
      continue;
    }
    if (change === "asked") {
      progress.asked++;
      continue;
    }
    progress.envelopes++;
    if (change === "written") progress.unwritten++;
  }
  if (command.do === "retryNow") endRests(s, command.selector, relays);
}

/**
 * `written`: a fate with the command's number follows, or the end of a wish. `asked`: done when the attempt that runs has
 * ended, unless it leaves the queue by that. `done`: nothing to write. `suspended`: left as it is, because of that.
 */
type Change = "none" | "suspended" | "done" | "asked" | "written";

function applyTo(s: SchedulerState, ticket: Ticket, command: Command, id: number): Change {
  const isBusy = ticket.place === "active" || ticket.place === "writing";
  if (!concerns(command, ticket)) return "none";
  switch (command.do) {
    case "hold": {
      if (ticket.state === "dead") return "none";
      const { because, untilAt } = command;
      if (isBusy) return wish(s, ticket, { do: "hold", because, untilAt }, id);
      hold(s, ticket, because, untilAt, id);
      return "written";
    }
    case "release": {
      if (isBusy)
        return ticket.state === "held" || ticket.after?.do === "hold" ? wish(s, ticket, { do: "release" }, id) : "none";
      // What died in quarantine is on no list of it: only by its name.
      const isDeadInQuarantine = ticket.state === "dead" && ticket.quarantine !== undefined && meansThis(command);
      if (ticket.state !== "held" && !isDeadInQuarantine) return "none";
      release(s, ticket, { command: id });
      return "written";
    }
    case "retryNow": {
      const isMeant = meansThis(command);
      if (ticket.state !== "queued" ? !isMeant : !mayBeDue(ticket, command, s.now)) return "none";
      if (ticket.place === "active") return "none";
      // It is not waited for: a full disk may hold up the write.
      if (isBusy) return wish(s, ticket, { do: "retry", isMeant }, undefined);
      if (ticket.state !== "queued") {
        release(s, ticket, { command: id, dueAt: s.now });
        return "written";
      }
      // What is suspended stays so: who wants it tried lifts that.
      if (ticket.queue?.kind === "suspension") return "suspended";
      if (ticket.place === "waiting") makeDueNow(s, ticket);
      return "done";
    }
    case "schedule": {
      if (ticket.place === "active" || ticket.state !== "queued" || !mayBeDue(ticket, command, command.at))
        return "none";
      if (isBusy) return wish(s, ticket, { do: "schedule", at: command.at }, id);
      reschedule(s, ticket, command.at, id);
      return "written";
    }
    case "remove": {
      if (isBusy) return wish(s, ticket, { do: "remove", because: command.because }, id);
      remove(s, ticket, command.because, id);
      return "written";
    }
    case "bounce": {
      if (ticket.state === "dead") return "none";
      if (isBusy) return wish(s, ticket, { do: "bounce", because: command.because }, id);
      bounce(s, ticket, command.because, id);
      return "written";
    }
  }
}

/** What is in quarantine is changed by what means it: by the commands for it, or removed or returned by its name. */
function concerns(command: Command, ticket: Ticket): boolean {
  const isQuarantined = ticket.quarantine !== undefined;
  const means = "quarantined" in command && command.quarantined === true;
  if (means || !isQuarantined) return means === isQuarantined;
  return meansThis(command) && (command.do === "remove" || command.do === "bounce");
}

/** Somebody means this mail and no other. */
function meansThis({ selector }: Command): boolean {
  return selector.by === "envelope" || selector.by === "message";
}

/** RFC 4865: the sender's time holds, unless somebody means this mail. */
function mayBeDue(ticket: Ticket, command: Command, at: number): boolean {
  return meansThis(command) || (ticket.notBeforeAt ?? 0) <= at;
}

/** An operator says that something works again: its rest and its penalty end. Answered with how many there were. */
export function forgiveRoutes(s: SchedulerState, id: number, which: string): void {
  let forgiven = 0;
  const wanted = which.toLowerCase();
  for (const route of s.routes.values()) {
    const shown = `${route.source ?? "*"} > ${route.text}`.toLowerCase();
    const isOurs = route.source?.toLowerCase() === wanted;
    if (!isOurs && !isHost(route, wanted) && shown !== wanted) continue;
    if (clear(route.penalty, s.now)) forgiven++;
  }
  for (const [source, penalty] of s.sourceRests)
    if (source.toLowerCase() === wanted && clear(penalty, s.now)) forgiven++;
  const named: RelayQueue[] = [];
  const homes = lastHomesOf(s, wanted);
  for (const relay of s.relays.values()) {
    const isNamed =
      relayText(relay).toLowerCase() === wanted ||
      relay.lines.has(wanted) ||
      homes.has(relay) ||
      relay.plan.ways.some(({ text }) => text.toLowerCase() === wanted);
    if (isNamed) {
      const isGreylisted = relay.greylist?.phase === "resting";
      endGreylistRest(s, relay);
      if (clear(relay.penalty, s.now) || isGreylisted) forgiven++;
    }
    if (isNamed || relay.candidates.some((one) => isCandidate(one, wanted))) named.push(relay);
  }
  forgiven += forgiveSenders(s, named);
  // Whatever goes there may go now.
  for (const relay of s.relays.values()) if (relay.readyCount > 0) s.dirty.add(relay);
  s.out.push({ do: "answer", command: id, envelopes: forgiven });
}

function clear(penalty: Penalty, now: number): boolean {
  const wasOwed = penalty.count > 0 || penalty.restsUntilAt > now;
  penalty.count = 0;
  penalty.restsUntilAt = 0;
  penalty.lastFailure = undefined;
  return wasOwed;
}

function select(s: SchedulerState, selector: Selector): readonly Ticket[] {
  if (selector.by === "envelope") {
    const ticket = s.tickets.get(selector.id);
    return ticket === undefined ? [] : [ticket];
  }
  const is = isSelected(s, selector);
  const found: Ticket[] = [];
  for (const ticket of s.tickets.values()) if (is(ticket)) found.push(ticket);
  return found;
}

/** Made for one look: what is being tried just now is looked up once. */
function isSelected(s: SchedulerState, selector: Selector): (ticket: Ticket) => boolean {
  switch (selector.by) {
    case "envelope":
      return (ticket) => ticket.id === selector.id;
    case "message":
      return (ticket) => messageOfEnvelope(ticket.id) === selector.id;
    case "sender": {
      const sender = selector.sender.toLowerCase();
      return ({ message }) => [message.sender, ownSenderOf(message)].some((one) => one.toLowerCase() === sender);
    }
    case "domain": {
      const domain = selector.domain.toLowerCase();
      if (selector.withSubdomains !== true) return (ticket) => domainOf(ticket.recipient) === domain;
      return ({ recipient }) => domainOf(recipient) === domain || domainOf(recipient).endsWith(`.${domain}`);
    }
    case "route": {
      const route = selector.route.toLowerCase();
      const active = new Set<Ticket>();
      for (const session of s.sessions.values()) {
        if (isCandidate(session.candidate, route)) for (const ticket of session.tickets) active.add(ticket);
      }
      return (ticket) => active.has(ticket) || goesBy(ticket, route);
    }
    case "all":
      return () => true;
  }
}

/** Whether it waits for this host now, went there last, or was to go there when no host could be reached. */
function goesBy(ticket: Ticket, route: string): boolean {
  if (ticket.queue?.kind === "batch") return ticket.queue.line.relay.candidates.some((one) => isCandidate(one, route));
  const { lastHost, lastRound } = ticket;
  return [...(lastHost === undefined ? [] : [lastHost]), ...(lastRound?.tried ?? [])].some((text) =>
    isNamed(text, route),
  );
}
