import { failureText } from "../envelope/failure-text.ts";
import { hasRoom } from "../route/limited.ts";
import type { Hindrance } from "./admin.ts";
import { choose, domainLimit } from "./choose.ts";
import type { RelayQueue, SchedulerState, Ticket } from "./state.ts";

/**
 * "Why is it still here?": what holds an envelope up, in the order in which it would have to clear, with the earliest
 * moment at which it can clear by itself.
 */
export function hindrancesOf(s: SchedulerState, ticket: Ticket): readonly Hindrance[] {
  const found: Hindrance[] = [];
  if (!s.isStoreUsable) found.push({ what: "store", text: "the queue's store failed and is being recovered" });
  if (s.isStopping) found.push({ what: "paused", text: "the server is stopping" });
  switch (ticket.place) {
    case "active":
      return [...found, { what: "attempt", text: "it is being tried just now" }];
    case "writing":
      return [...found, { what: "store", text: "what was decided about it is being written" }];
    case "waiting":
      return [...found, ...whileWaiting(s, ticket)];
    case "ready":
      return [...found, ...whileReady(s, ticket)];
  }
}

function whileWaiting(s: SchedulerState, ticket: Ticket): readonly Hindrance[] {
  if (ticket.state === "held")
    return [{ what: "held", text: ticket.heldBecause ?? "held", untilAt: ticket.heldUntilAt }];
  if (ticket.state === "dead")
    return [
      { what: "dead", text: "it can neither be delivered nor returned; kept until then", untilAt: ticket.expiresAt },
    ];
  const tries = ticket.attempts === 0 ? "not due yet" : `waits after attempt ${ticket.attempts}`;
  return [{ what: "not-due", text: tries, untilAt: ticket.dueAt }, ...pausedFor(s, ticket)];
}

function whileReady(s: SchedulerState, ticket: Ticket): readonly Hindrance[] {
  const found = [...pausedFor(s, ticket)];
  const { queue } = ticket;
  if (queue === undefined) return found;
  if (queue.kind === "local") {
    const { atOnce, perRecipient } = s.settings.scheduler.local;
    if (queue.active >= perRecipient)
      found.push({
        what: "limit",
        text: `${queue.active} deliveries for this recipient run (scheduler.local.perRecipient)`,
      });
    if (s.localActive >= atOnce)
      found.push({ what: "limit", text: `${s.localActive} final deliveries run (scheduler.local.atOnce)` });
    found.push({ what: "queue", text: `${queue.tickets.size} ready for this recipient` });
    return found;
  }
  found.push(...atRelay(s, queue.relay));
  found.push({
    what: "queue",
    text: `${queue.relay.readyCount} ready at this relay in ${queue.relay.batches.size} messages, ${queue.relay.sessions.size} sessions`,
  });
  return found;
}

function atRelay(s: SchedulerState, relay: RelayQueue): readonly Hindrance[] {
  const { limits } = s.settings.route;
  if (relay.isResolving) return [{ what: "queue", text: "its next hosts are being looked up" }];
  if (relay.penalty.restsUntilAt > s.now) {
    const last = relay.penalty.lastFailure;
    const why = last === undefined ? "" : `: ${failureText(last)}`;
    return [{ what: "relay-rests", text: `the relay rests${why}`, untilAt: relay.penalty.restsUntilAt }];
  }
  const full: Hindrance[] = [];
  if (!hasRoom(s.total)) full.push({ what: "limit", text: `${s.total.used} connections in all (route.limits.total)` });
  if (relay.domain !== undefined && !hasRoom(domainLimit(s, relay.domain)))
    full.push({ what: "limit", text: `connections for this domain (route.limits.domain, ${limits.domain})` });
  if (!hasRoom(relay.connections))
    full.push({
      what: "limit",
      text: `${relay.connections.used} connections for this relay; more when they have worked (up to route.limits.relay, ${limits.relay})`,
    });
  if (full.length > 0 || relay.candidates.length === 0) return full;
  const choice = choose(s, relay);
  if (choice.kind === "full") {
    const text = `its next hosts have as many connections as they may just now (route.limits.host, route or source)`;
    return [{ what: "limit", text }];
  }
  if (choice.kind === "none" && choice.untilAt < Infinity)
    return [{ what: "route-rests", text: restingText(s, relay), untilAt: choice.untilAt }];
  return [];
}

function restingText(s: SchedulerState, relay: RelayQueue): string {
  const addresses = new Set(relay.candidates.map((one) => one.address));
  const resting = [...s.routes.values()].filter(
    (route) => addresses.has(route.address) && route.penalty.restsUntilAt > s.now,
  );
  const told = resting.map(({ text, penalty }) => {
    const why = penalty.lastFailure === undefined ? "" : ` (${failureText(penalty.lastFailure)})`;
    return `${text}, penalty ${penalty.count}${why}`;
  });
  return `every next host rests: ${told.join("; ")}`;
}

function pausedFor(s: SchedulerState, ticket: Ticket): readonly Hindrance[] {
  const direction = s.settings.plans[ticket.action]?.kind === "local" ? "local" : "out";
  const pause = s.paused.get(direction);
  return pause === undefined ? [] : [{ what: "paused", text: `${direction} is paused: ${pause.because}` }];
}
