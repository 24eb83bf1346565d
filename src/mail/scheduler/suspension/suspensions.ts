import { messageOfEnvelope } from "../../../foundation/ids.ts";
import { tell } from "../action.ts";
import { append, newChain } from "../chain.ts";
import { suspended, suspensionEnded } from "../events.ts";
import { readyAt } from "../serve/lines.ts";
import { domainOf, goesByMx, planFor } from "../plan.ts";
import { relayText } from "../relay-text.ts";
import { leaveQueue } from "../serve/ready-queues.ts";
import type { Candidate, RelayQueue, SchedulerState, Ticket } from "../state.ts";
import { move } from "../ticket.ts";
import { suspensionKey, type Suspension, type SuspensionFacts, type SuspensionLevel } from "./suspension.ts";
import { dropWake, setWake } from "../wake-heap.ts";

/**
 * Standing holds: a sender, a domain, a host, whatever `SUSPENSION_LEVELS` names, is suspended until an operator lifts it or
 * its time is over. What is present is held by it, and what comes later; nothing of it is tried, warned about or expired.
 *
 * An envelope is looked up when it would be tried (or warned about): one look for each level, whatever is suspended. It
 * then lies on the suspension's shelf and costs nothing until that is lifted, which touches what lies there and nothing
 * else (`awaken.ts`). Where it lies is not durable and need not be: suspensions are, and after a start each envelope that
 * is due meets them again.
 *
 * The time under a suspension does not count for expiry: `awaken.ts`. A time that the sender set (DELIVERBY) runs on.
 */
/** Sets it, or changes reason and end of one that is there. What is ready is put on its shelf. */
export function suspend(s: SchedulerState, given: SuspensionFacts, isTold: boolean): Suspension {
  const known = s.suspensions[given.level].get(given.key);
  // It has been in force since then, whoever changes it now.
  const facts = known === undefined ? given : { ...given, setAt: known.facts.setAt };
  const suspension: Suspension = known ?? {
    kind: "suspension",
    facts,
    tickets: newChain(),
    unwritten: 0,
    heapAt: -1,
  };
  suspension.facts = facts;
  if (known === undefined) {
    s.suspensions[given.level].set(given.key, suspension);
    s.suspensionCount++;
  }
  setWake(s.suspensionWakes, suspension, facts.untilAt ?? Infinity);
  if (isTold) {
    const { level, key, because, by, untilAt: until } = facts;
    s.out.push(tell(suspended, { level, key, because, by, until }));
  }
  shelveReady(s);
  return suspension;
}

/** Takes it out of the books; what lies on its shelf is the caller's to awaken. Undefined: there is none. */
export function endSuspension(
  s: SchedulerState,
  { level, key }: Pick<SuspensionFacts, "level" | "key">,
  by: string | undefined,
): Suspension | undefined {
  const suspension = s.suspensions[level].get(key);
  if (suspension === undefined) return undefined;
  s.suspensions[level].delete(key);
  s.suspensionCount--;
  dropWake(s.suspensionWakes, suspension);
  s.out.push(tell(suspensionEnded, { level, key, by, envelopes: suspension.tickets.size }));
  return suspension;
}

/**
 * What an envelope is under by itself, rather than by where it would go: of several the one that was set first, so that no
 * part of the time is left out when they end one after the other.
 */
export function suspensionOf(s: SchedulerState, ticket: Ticket): Suspension | undefined {
  if (s.suspensionCount === 0) return undefined;
  let first: Suspension | undefined;
  for (const [level, key] of keysOf(s, ticket)) {
    const found = s.suspensions[level].get(key);
    if (found !== undefined && (first === undefined || found.facts.setAt < first.facts.setAt)) first = found;
  }
  return first;
}

function* keysOf(s: SchedulerState, ticket: Ticket): Generator<readonly [SuspensionLevel, string], void, void> {
  const { all, envelope, message, sender, domain, relay, tenant } = s.suspensions;
  if (all.size > 0) yield ["all", "*"];
  if (envelope.size > 0) yield ["envelope", ticket.id];
  if (message.size > 0) yield ["message", messageOfEnvelope(ticket.id)];
  if (sender.size > 0) {
    const { sender: from, messageSender } = ticket.message;
    for (const one of messageSender === undefined ? [from] : [messageSender, from]) {
      yield ["sender", suspensionKey("sender", one)];
      if (one !== "") yield ["sender", `@${domainOf(one)}`];
    }
  }
  if (domain.size > 0) yield ["domain", domainOf(ticket.recipient)];
  if (relay.size > 0) {
    // A relay is known by its domain until its mail exchangers are.
    const plan = planFor(s.settings.plans, ticket.action);
    if (plan?.kind === "relay" && goesByMx(plan)) yield ["relay", domainOf(ticket.recipient)];
  }
  if (tenant.size > 0 && ticket.message.tenant !== undefined) yield ["tenant", ticket.message.tenant];
}

/** By the relay's name, or by one of its smarthosts as it was written. */
export function suspensionOfRelay(s: SchedulerState, relay: RelayQueue): Suspension | undefined {
  const { relay: known } = s.suspensions;
  if (known.size === 0) return undefined;
  const names = [relayText(relay), ...relay.plan.ways.map(({ text }) => text)];
  return firstOf(known, names);
}

/** By the host's name, address, or as the log writes it; or by the route to it, where nobody says from which source by all. */
export function suspensionOfRoute(
  s: SchedulerState,
  { host, address }: Pick<Candidate, "host" | "address">,
  route: { readonly source: string | undefined; readonly text: string },
): Suspension | undefined {
  const { host: hosts, route: routes } = s.suspensions;
  if (hosts.size === 0 && routes.size === 0) return undefined;
  const ip = "ip" in host.address ? host.address.ip : host.address.path;
  return (
    firstOf(hosts, [host.name, address, ip, route.text]) ??
    firstOf(routes, [`${route.source ?? "*"} > ${route.text}`, `${route.source ?? "*"}>${address}`, route.text])
  );
}

function firstOf(known: ReadonlyMap<string, Suspension>, names: readonly string[]): Suspension | undefined {
  for (const name of names) {
    const found = known.get(name.toLowerCase());
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Waits for the end of the suspension, and for nothing else. */
export function shelve(s: SchedulerState, ticket: Ticket, suspension: Suspension): void {
  if (ticket.queue !== undefined) leaveQueue(s, ticket);
  dropWake(s.wakes, ticket);
  move(s, ticket, "waiting");
  s.counts.waiting--;
  s.counts.held++;
  append(suspension.tickets, ticket);
  ticket.queue = suspension;
}

/** Something has just been suspended: what is ready and under it by itself leaves its queue. */
function shelveReady(s: SchedulerState): void {
  for (const relay of s.relays.values()) {
    s.dirty.add(relay);
    for (const ticket of readyAt(relay)) shelveIfSuspended(s, ticket);
  }
  for (const queue of s.localQueues.values()) {
    for (let ticket = queue.tickets.first; ticket !== undefined;) {
      const { next } = ticket;
      shelveIfSuspended(s, ticket);
      ticket = next;
    }
  }
}

function shelveIfSuspended(s: SchedulerState, ticket: Ticket): void {
  const suspension = suspensionOf(s, ticket);
  if (suspension !== undefined) shelve(s, ticket, suspension);
}

/**
 * Every suspension that an envelope is under, in the order of the levels: by itself, and by where it waits or would go as far
 * as that is known.
 */
export function suspensionsOn(s: SchedulerState, ticket: Ticket): readonly SuspensionFacts[] {
  if (s.suspensionCount === 0) return [];
  const found = new Set<Suspension>();
  for (const [level, key] of keysOf(s, ticket)) {
    const suspension = s.suspensions[level].get(key);
    if (suspension !== undefined) found.add(suspension);
  }
  const { queue } = ticket;
  if (queue?.kind === "suspension") found.add(queue);
  if (queue?.kind === "batch") {
    const { relay } = queue.line;
    const ofRelay = suspensionOfRelay(s, relay);
    if (ofRelay !== undefined) found.add(ofRelay);
  }
  return [...found].map(({ facts }) => facts);
}
