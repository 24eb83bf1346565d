import assert from "node:assert/strict";
import type { Limited } from "../mail/route/limited.ts";
import { liveStateOf, mayWork, type SchedulerState, type Ticket } from "../mail/scheduler/state.ts";

/** What must hold between any two events: no envelope forgotten or in two places, no limit exceeded, books that agree. */
export function assertSchedulerInvariants(s: SchedulerState): void {
  const places = new Map<Ticket, string[]>();
  const put = (ticket: Ticket, place: string): void => {
    const known = places.get(ticket);
    if (known === undefined) places.set(ticket, [place]);
    else known.push(place);
  };
  collectReady(s, put);
  for (const session of s.sessions.values()) for (const ticket of session.tickets) put(ticket, "active");
  for (const { fates } of s.writes.values()) for (const { ticket } of fates) put(ticket, "writing");
  for (const { ticket } of s.backlog.tasks.slice(s.backlog.from)) put(ticket, "writing");

  const counts = { waiting: 0, ready: 0, active: 0, writing: 0, held: 0, dead: 0 };
  const totals = new Map<string, { total: number; inPlay: number }>();
  let localActive = 0;
  for (const ticket of s.tickets.values()) {
    counts[liveStateOf(ticket)]++;
    const total = totals.get(ticket.message.id) ?? { total: 0, inPlay: 0 };
    total.total++;
    if (ticket.place === "ready" || ticket.place === "active") total.inPlay++;
    totals.set(ticket.message.id, total);
    const found = places.get(ticket) ?? [];
    if (ticket.place === "active" && found.length === 0) localActive++;
    else if (ticket.place === "waiting") {
      assert.deepEqual(found, [], `${ticket.id} waits and is elsewhere`);
      const mayWaitForever = ticket.state === "held" && ticket.heldUntilAt === undefined;
      assert.ok(mayWaitForever || ticket.heapAt >= 0, `${ticket.id} waits and nothing will wake it`);
    } else assert.deepEqual(found, [ticket.place], `${ticket.id} is in one place, and knows it`);
    places.delete(ticket);
  }
  assert.equal(places.size, 0, "nothing is queued that is not in the books");
  assert.equal(localActive, s.localActive, "final deliveries are counted");
  assert.deepEqual(counts, s.counts, "the counts agree");
  assert.equal(s.messageCount, totals.size, "messages are counted");
  for (const { message } of s.tickets.values())
    assert.deepEqual(
      { total: message.total, inPlay: message.inPlay },
      totals.get(message.id),
      "messages know their own",
    );
  assertHeaps(s);
  assertLimits(s);
  assertNobodyStarves(s);
}

function collectReady(s: SchedulerState, put: (ticket: Ticket, place: string) => void): void {
  for (const relay of s.relays.values()) {
    let count = 0;
    for (let batch = relay.batches.first; batch !== undefined; batch = batch.next) {
      assert.equal(relay.byMessage.get(batch.message), batch);
      assert.ok(batch.tickets.size > 0, "no batch is empty");
      for (let ticket = batch.tickets.first; ticket !== undefined; ticket = ticket.next) {
        assert.equal(ticket.queue, batch);
        put(ticket, "ready");
        count++;
      }
    }
    assert.equal(count, relay.readyCount);
    assert.equal(relay.byMessage.size, relay.batches.size);
  }
  for (const queue of s.localQueues.values()) {
    for (let ticket = queue.tickets.first; ticket !== undefined; ticket = ticket.next) put(ticket, "ready");
    const mayGo = queue.tickets.size > 0 && queue.active < s.settings.scheduler.local.perRecipient;
    assert.equal(queue.hasTurn, mayGo, "who has something to deliver and room has a turn");
  }
}

function assertHeaps(s: SchedulerState): void {
  for (const heap of [s.wakes, s.relayWakes, s.idleSessions]) {
    heap.forEach((member, at) => {
      assert.equal(member.heapAt, at);
      const parent = heap[(at - 1) >> 1];
      assert.ok(at === 0 || (parent !== undefined && parent.wakeAt <= member.wakeAt), "the heap is one");
    });
  }
}

function assertLimits(s: SchedulerState): void {
  const used = new Map<Limited, number>();
  for (const { occupies } of s.sessions.values()) for (const one of occupies) used.set(one, (used.get(one) ?? 0) + 1);
  const { limits } = s.settings.route;
  const check = (what: string, all: Iterable<Limited>, most: number): void => {
    for (const one of all) {
      assert.equal(one.used, used.get(one) ?? 0, `${what}: as many are counted as there are`);
      assert.ok(one.used <= most, `${what}: ${one.used} of at most ${most}`);
    }
  };
  check("total", [s.total], limits.total);
  check("host", s.hosts.values(), limits.host);
  check("source", s.sources.values(), limits.source);
  check("domain", s.domains.values(), limits.domain);
  check(
    "route",
    [...s.routes.values()].map((route) => route.connections),
    limits.route,
  );
  check(
    "relay",
    [...s.relays.values()].map((relay) => relay.connections),
    limits.relay,
  );
  for (const relay of s.relays.values()) {
    const connecting = [...relay.sessions].filter((session) => session.phase === "connecting").length;
    assert.equal(relay.connecting, connecting);
    assert.ok(relay.idle.every((session) => session.phase === "idle" && session.heapAt >= 0));
  }
}

/** Whatever is ready will be looked at again: by a session's end, a lookup's answer, a place given back, or a timer. */
function assertNobodyStarves(s: SchedulerState): void {
  if (!mayWork(s, "out")) return;
  for (const relay of s.relays.values()) {
    if (relay.readyCount === 0) continue;
    const isAwaited =
      relay.isResolving ||
      relay.sessions.size > 0 ||
      relay.heapAt >= 0 ||
      [...relay.waitsOn].some((limit) => limit.used > 0);
    assert.ok(isAwaited, `relay ${relay.key} has work and nobody will look at it`);
  }
}
