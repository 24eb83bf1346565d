import type { Selector } from "./admin/admin.ts";
import { endGreylistRest } from "./retry/greylisting.ts";
import { isHost } from "./named-host.ts";
import { makeReady } from "./ready.ts";
import { retryRefusedSenders } from "./retry/refused-senders.ts";
import { endRestsOf } from "./serve/round.ts";
import type { RelayQueue, SchedulerState, Ticket } from "./state.ts";
import { setDueAt } from "./ticket-times.ts";
import { dropWake } from "./wake-heap.ts";

/** What a retry does: the mail is due, and what it would wait for rests no longer. */
export function makeDueNow(s: SchedulerState, ticket: Ticket): void {
  dropWake(s.wakes, ticket);
  setDueAt(ticket, s.now);
  makeReady(s, ticket);
}

/** The relay in whose line it waits. */
export function relayOf({ queue }: Ticket): RelayQueue | undefined {
  return queue?.kind === "batch" ? queue.line.relay : undefined;
}

/** Who asks for a retry now does not want to wait for a rest, nor to have it end in a minute. */
export function endRests(s: SchedulerState, selector: Selector, concerned: ReadonlySet<RelayQueue>): void {
  const addresses = new Set<string>();
  for (const relay of selector.by === "all" ? s.relays.values() : concerned) {
    relay.penalty.restsUntilAt = 0;
    endGreylistRest(s, relay);
    // Its hosts may have to be found first.
    relay.endsRests = relay.candidates.length === 0;
    for (const candidate of relay.candidates) addresses.add(candidate.address);
    s.dirty.add(relay);
  }
  retryRefusedSenders(s, selector, selector.by === "all" ? s.relays.values() : concerned);
  endRestsOf(s, addresses);
  if (selector.by !== "route") return;
  const wanted = selector.route.toLowerCase();
  for (const route of s.routes.values()) if (isHost(route, wanted)) route.penalty.restsUntilAt = 0;
  for (const relay of s.relays.values()) if (relay.readyCount > 0) s.dirty.add(relay);
}
