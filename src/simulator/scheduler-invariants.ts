import { BrokenInvariant } from "../foundation/assert.ts";
import { isWaitedFor, type Limited } from "../mail/route/limited.ts";
import { assertGreylist } from "./greylist-invariants.ts";
import { batchesIn } from "../mail/scheduler/serve/sender-turns.ts";
import {
  liveStateOf,
  mayWork,
  type Batch,
  type DomainLine,
  type MessageEntry,
  type RelayQueue,
  type SchedulerState,
  type Session,
  type Ticket,
} from "../mail/scheduler/state.ts";
import { SUSPENSION_LEVELS } from "../mail/scheduler/suspension/suspension.ts";
import type { WakeHeap, Wakeable } from "../mail/scheduler/wake-heap.ts";

/**
 * What must hold between any two events: no envelope forgotten or in two places, no limit exceeded, books that agree.
 * Throws with the sentence that is not true. One look over a million envelopes takes a second or two, so nothing is
 * compared by structure and no text is made before something is wrong.
 */
export function assertSchedulerInvariants(s: SchedulerState): void {
  const places = new Map<Ticket, Ticket["place"]>();
  const put = (ticket: Ticket, place: Ticket["place"]): void => {
    if (places.has(ticket)) broken(`${ticket.id} is ${places.get(ticket)} and ${place}`);
    places.set(ticket, place);
  };
  collectReady(s, put);
  for (const session of s.sessions.values()) for (const ticket of session.tickets) put(ticket, "active");
  for (const { fates } of s.writes.values()) for (const { ticket } of fates) put(ticket, "writing");
  for (const [id, { fate }] of s.rewrites) {
    if (fate.ticket.id !== id) broken(`what waits to be written of ${id} is of it`);
    put(fate.ticket, "writing");
  }
  equal(s.rewriteWakes.members.length, s.rewrites.size, "what waits to be written is in its heap");
  assertHeap(s.rewriteWakes);
  for (let at = s.backlog.from; at < s.backlog.tasks.length; at++) {
    const task = s.backlog.tasks[at];
    if (task !== undefined) put(task.ticket, "writing");
  }
  const localActive = assertTickets(s, places);
  equal(localActive, s.localActive, "final deliveries are counted");
  assertHeap(s.wakes);
  assertHeap(s.relayWakes);
  assertHeap(s.idleSessions);
  assertHeap(s.bucketWakes);
  assertShelves(s);
  assertLimits(s);
  for (const relay of s.relays.values()) {
    assertRelay(relay);
    assertGreylist(s, relay);
  }
  if (mayWork(s, "out")) for (const relay of s.relays.values()) assertIsServed(s, relay);
}

/** Each ticket is where it says, and messages and counts know how many there are. Returns the final deliveries. */
function assertTickets(s: SchedulerState, places: Map<Ticket, Ticket["place"]>): number {
  const counts = { waiting: 0, ready: 0, active: 0, writing: 0, held: 0, dead: 0 };
  /** Only of messages with several envelopes: the others are looked at as they come. */
  const totals = new Map<MessageEntry, { total: number; inPlay: number }>();
  /** Messages whose envelopes have several senders. */
  const heads = new Set<MessageEntry>();
  let messages = 0;
  let localActive = 0;
  let seen = 0;
  for (const ticket of s.tickets.values()) {
    counts[liveStateOf(ticket)]++;
    const { message, place } = ticket;
    const isInPlay = place === "ready" || place === "active";
    if (message.of !== undefined || message.others !== undefined) heads.add(message.of ?? message);
    if (message.total === 1) {
      if (message.of === undefined && message.others === undefined) messages++;
      if (message.inPlay !== (isInPlay ? 1 : 0)) broken(`the message of ${ticket.id} knows its own`);
    } else {
      const total = totals.get(message) ?? { total: 0, inPlay: 0 };
      total.total++;
      if (isInPlay) total.inPlay++;
      totals.set(message, total);
    }
    const found = places.get(ticket);
    if (found !== undefined) seen++;
    if (place === "waiting") {
      if (found !== undefined) broken(`${ticket.id} waits and is ${found}`);
      if (!mayWaitForever(ticket) && ticket.heapAt < 0) broken(`${ticket.id} waits and nothing will wake it`);
    } else if (place === "active" && found === undefined) localActive++;
    else if (found !== place) broken(`${ticket.id} is in one place, and knows it: ${place}, found ${found}`);
  }
  if (seen !== places.size) broken("nothing is queued that is not in the books");
  for (const [message, { total, inPlay }] of totals) {
    equal(message.total, total, "a message knows how many envelopes it has");
    equal(message.inPlay, inPlay, "a message knows how many of its envelopes are in play");
  }
  const whole = [...totals.keys()].filter((message) => message.of === undefined && message.others === undefined);
  equal(s.messageCount, messages + whole.length + heads.size, "messages are counted");
  for (const state of ["waiting", "ready", "active", "writing", "held", "dead"] as const)
    equal(s.counts[state], counts[state], `${state} envelopes are counted`);
  return localActive;
}

/** For a person: held without an end, or under a suspension, which knows its own. */
function mayWaitForever({ state, heldUntilAt, queue }: Ticket): boolean {
  return queue?.kind === "suspension" || (state === "held" && heldUntilAt === undefined);
}

/** What waits for something in common: under a suspension that is in force, for its relay, or about to be due. */
function assertShelves(s: SchedulerState): void {
  let suspensions = 0;
  let isTimed = 0;
  const shelves = new Set<Exclude<Ticket["queue"], undefined>>(s.awakening);
  for (const level of SUSPENSION_LEVELS) {
    for (const [key, suspension] of s.suspensions[level]) {
      suspensions++;
      const { facts } = suspension;
      if (facts.key !== key || facts.level !== level) broken(`the suspension of ${key} knows what it is of`);
      if (facts.untilAt !== undefined) {
        isTimed++;
        if (suspension.heapAt < 0) broken(`the suspension of ${key} will end`);
      }
      shelves.add(suspension);
    }
  }
  equal(s.suspensionCount, suspensions, "suspensions are counted");
  equal(s.suspensionWakes.members.length, isTimed, "suspensions with an end are in their heap");
  assertHeap(s.suspensionWakes);
  for (const [key, stalled] of s.stalled) {
    if (stalled.key !== key || stalled.tickets.size === 0) broken(`somebody waits for ${key}`);
    shelves.add(stalled);
  }
  let shelved = 0;
  for (const shelf of shelves) {
    for (let ticket = shelf.tickets.first; ticket !== undefined; ticket = ticket.next) {
      shelved++;
      if (ticket.queue !== shelf || ticket.place !== "waiting") broken(`${ticket.id} lies where it thinks`);
      if (ticket.state !== "queued") broken(`${ticket.id} is ${ticket.state} and under a suspension`);
    }
  }
  for (const ticket of s.tickets.values()) if (ticket.place === "waiting" && ticket.queue !== undefined) shelved--;
  equal(shelved, 0, "who waits for something in common is known there");
}

function collectReady(s: SchedulerState, put: (ticket: Ticket, place: Ticket["place"]) => void): void {
  for (const relay of [...s.relays.values(), ...s.failing.map((group) => group.relay)]) {
    let count = 0;
    let batches = 0;
    for (const line of relay.lines.values()) {
      const before = { count, batches };
      for (const batch of batchesIn(line)) {
        batches++;
        if (batch.message.total > 1 && line.byMessage?.get(batch.message) !== batch)
          broken(`relay ${relay.key} knows its batches by message`);
        if (batch.tickets.size === 0) broken("no batch is empty");
        for (let ticket = batch.tickets.first; ticket !== undefined; ticket = ticket.next) {
          if (ticket.queue !== batch || batch.line !== line) broken(`${ticket.id} knows its batch`);
          put(ticket, "ready");
          count++;
        }
      }
      if (line.batchCount === 0) broken("no line is empty");
      if (line.relay !== relay) broken(`the line of ${line.domain} knows its relay`);
      equal(line.readyCount, count - before.count, `the line of ${line.domain} counts what is ready`);
      equal(line.batchCount, batches - before.batches, `the line of ${line.domain} counts its batches`);
      for (const batch of line.byMessage?.values() ?? []) {
        if (batch.line !== line) broken("a batch is in its line");
        if (
          relay.domain === undefined &&
          line.domain !== "" &&
          relay.byMessage?.get(batch.message)?.has(batch) !== true
        )
          broken("the batches of a message at a shared relay know of each other");
      }
      assertSenders(line);
    }
    assertTurns(relay);
    equal(relay.readyCount, count, `relay ${relay.key} counts what is ready`);
    equal(relay.batchCount, batches, `relay ${relay.key} counts its batches`);
  }
  for (const queue of s.localQueues.values()) {
    for (let ticket = queue.tickets.first; ticket !== undefined; ticket = ticket.next) put(ticket, "ready");
    const mayGo = queue.tickets.size > 0 && queue.active < s.settings.scheduler.local.perRecipient;
    if (queue.hasTurn !== mayGo) broken("who has something to deliver and room has a turn");
  }
}

/** A sender has one batch in its line at a time, and nobody waits behind one that is not there. */
function assertSenders(line: DomainLine): void {
  if (line.senders?.size === 0) broken("where no sender waits nothing is kept");
  const heads = new Set<Batch>();
  for (let batch = line.batches.first; batch !== undefined; batch = batch.next) {
    heads.add(batch);
    if (batch.turn !== undefined && batch.turn.head !== batch) broken("who has the turn is its sender's head");
  }
  for (const [sender, one] of line.senders ?? []) {
    if (!heads.has(one.kind === "sender" ? one.head : one)) broken(`${sender} has one batch in its line`);
    if (one.kind === "batch") continue;
    for (let batch = one.waiting.first; batch !== undefined; batch = batch.next)
      if (batch.turn !== one || heads.has(batch)) broken(`what waits behind ${sender}'s turn knows it`);
  }
}

/** Each line has its turns or is parked, and a relay with parked lines stands in line for them. */
function assertTurns(relay: RelayQueue): void {
  let lines = 0;
  for (let line = relay.turns.first; line !== undefined; line = line.next) {
    lines++;
    if (line.parkedAt !== undefined || relay.lines.get(line.domain) !== line) broken("who has turns is not parked");
  }
  for (const [limit, parked] of relay.parked ?? []) {
    if (parked.size === 0) broken(`relay ${relay.key} keeps a place for nobody`);
    if (!relay.waitsOn.has(limit)) broken(`relay ${relay.key} waits for the limits of its parked lines`);
    for (let line = parked.first; line !== undefined; line = line.next) {
      lines++;
      if (line.parkedAt !== limit || relay.lines.get(line.domain) !== line) broken("who is parked knows where");
    }
  }
  equal(relay.lines.size, lines, `relay ${relay.key} serves or parks each of its lines`);
}

function assertHeap<Member extends Wakeable>({ members, instants }: WakeHeap<Member>): void {
  equal(members.length, instants.length, "each member of a heap has its instant");
  for (let at = 0; at < members.length; at++) {
    const parentAt = at === 0 ? -Infinity : (instants[(at - 1) >> 1] ?? Infinity);
    if (members[at]?.heapAt !== at) broken("who is in a heap knows its place");
    else if (parentAt > (instants[at] ?? -Infinity)) broken("the heap is one");
  }
}

function assertLimits(s: SchedulerState): void {
  const used = new Map<Limited, number>();
  for (const { occupies, domainLimits } of s.sessions.values())
    for (const one of [...occupies, ...domainLimits]) used.set(one, (used.get(one) ?? 0) + 1);
  const { limits } = s.settings.route;
  // Sessions from before a change of settings may be more than would be opened now.
  const isBefore = new Set<Limited>();
  for (const { relay, occupies, domainLimits } of s.sessions.values())
    if (relay.isRetired) for (const one of [...occupies, ...domainLimits]) isBefore.add(one);
  const check = (what: string, one: Limited, most: number): void => {
    if (one.used !== (used.get(one) ?? 0)) broken(`${what}: as many are counted as there are (${one.used})`);
    if (one.used > most && !isBefore.has(one)) broken(`${what}: ${one.used} of at most ${most}`);
  };
  check("total", s.total, limits.total);
  check("hanging", s.hanging, limits.hanging);
  for (const [key, one] of s.hosts) check(`host ${key}`, one, one.limit);
  for (const [key, one] of s.sources) check(`source ${key}`, one, one.limit);
  for (const [key, one] of s.domains) check(`domain ${key}`, one, one.limit);
  for (const [key, one] of s.shaped) check(key, one, one.limit);
  for (const route of s.routes.values()) check(`route ${route.text}`, route.connections, Infinity);
  for (const relay of s.relays.values()) check(`relay ${relay.key}`, relay.connections, limits.relay);
  assertShaping(s);
  for (const [key, bucket] of s.buckets) {
    if (bucket.missing < 0) broken(`${key}: a token came back twice`);
    if (isWaitedFor(bucket) && bucket.heapAt < 0) broken(`${key}: somebody waits and nobody will be called`);
  }
}

/**
 * The limits of settings once more, from the sessions alone and by looking at every rule: of those that match, the one with
 * the longest pattern.
 */
function assertShaping(s: SchedulerState): void {
  const { limits, shaping, sources = [], pools } = s.settings.route;
  const ofSource = new Map<string, number>();
  for (const { address, connections } of [...sources, ...Object.values(pools).flat()])
    if (connections !== undefined && !ofSource.has(address)) ofSource.set(address, connections);
  const sessions = [...s.sessions.values()].filter(({ relay }) => !relay.isRetired);
  const groups = new Map<string, { count: number; most: number }>();
  const count = (what: string, most: number): void => {
    const known = groups.get(what) ?? { count: 0, most };
    groups.set(what, { count: known.count + 1, most });
  };
  for (const { domain, candidate, route, occupies } of sessions) {
    const { name } = candidate.host;
    const rules = (of: string, isHost: boolean) =>
      Object.entries(shaping)
        .filter(([pattern]) => pattern.startsWith("mx:") === isHost && matches(pattern.replace(/^mx:/, ""), of))
        .toSorted(([a], [b]) => b.length - a.length);
    const [byHost] = rules(name, true).filter(([, rule]) => rule.connections !== undefined);
    count(`host ${route.address} ${byHost?.[0] ?? ""}`, byHost?.[1].connections ?? limits.host);
    // Those that hang are counted apart.
    if (!occupies.includes(s.hanging))
      count(`source ${route.source ?? "*"}`, ofSource.get(route.source ?? "") ?? limits.source);
    if (domain !== "") {
      const [byDomain] = rules(domain, false).filter(([, rule]) => rule.connections !== undefined);
      count(`domain ${domain}`, byDomain?.[1].connections ?? limits.domain);
    }
    for (const [pattern, { together }] of [...rules(name, true), ...rules(domain, false)])
      if (together?.connections !== undefined) count(`together ${pattern}`, together.connections);
  }
  for (const [what, { count: used, most }] of groups) if (used > most) broken(`${what}: ${used} of at most ${most}`);
}

function matches(pattern: string, name: string): boolean {
  if (name === "") return false;
  return pattern === "*" || (pattern.startsWith("*.") ? name.endsWith(pattern.slice(1)) : name === pattern);
}

function assertRelay(relay: RelayQueue): void {
  let connecting = 0;
  for (const session of relay.sessions) if (session.phase === "connecting") connecting++;
  equal(relay.connecting, connecting, `relay ${relay.key} counts the sessions that connect`);
  for (const session of relay.idle)
    if (session.phase !== "idle" || session.heapAt < 0) broken(`session ${session.id} is idle and will be left`);
}

/** Whatever is ready will be looked at again: by a session's end, a lookup's answer, a place given back, or a timer. */
function assertIsServed(s: SchedulerState, relay: RelayQueue): void {
  if (relay.readyCount === 0 || relay.isResolving || relay.sessions.size > 0 || relay.heapAt >= 0) return;
  for (const one of relay.waitsOn) if (one.kind === "bucket" ? one.heapAt >= 0 : one.used > 0) return;
  if (s.relays.get(relay.key) === relay) broken(`relay ${relay.key} has work and nobody will look at it`);
}

/**
 * The same for what one event touched, at a cost that does not depend on how much there is: its sessions and their
 * relays, the limits that these occupy, the envelopes that were handed out, written or put back.
 */
export function assertTouched(s: SchedulerState, sessions: readonly Session[], tickets: readonly Ticket[]): void {
  for (const session of sessions) {
    const { relay } = session;
    assertIsServed(s, relay);
    const isOpen = s.sessions.get(session.id) === session;
    if (isOpen !== relay.sessions.has(session)) broken(`session ${session.id} is in both books or in none`);
    for (const limit of session.occupies)
      if (limit.used < (isOpen ? 1 : 0)) broken(`session ${session.id}: what it occupies is counted`);
    const isNew = isOpen && session.phase === "connecting" && session.openedAt === s.now;
    if (isNew && [...session.occupies, ...session.domainLimits].some((limit) => limit.used > limit.limit))
      broken(`session ${session.id} was opened beyond a limit`);
    if (session.phase !== "busy" && session.tickets.length > 0) broken(`session ${session.id} carries and is idle`);
  }
  for (const ticket of tickets) {
    if (s.tickets.get(ticket.id) !== ticket) continue;
    const { place } = ticket;
    const { queue } = ticket;
    const isReady = queue?.kind === "batch" || queue?.kind === "local";
    if ((place === "ready") !== isReady || (queue !== undefined && !isReady && place !== "waiting"))
      broken(`${ticket.id} is ${place}, and a queue has it or not`);
    if (place === "waiting" && ticket.heapAt < 0 && !mayWaitForever(ticket))
      broken(`${ticket.id} waits and nothing will wake it`);
    if (place !== "waiting" && place !== "ready" && ticket.heapAt >= 0)
      broken(`${ticket.id} is ${place} and would be woken`);
    if (ticket.message.total < 1 || ticket.message.inPlay > ticket.message.total)
      broken(`the message of ${ticket.id} counts its envelopes`);
  }
}

function equal(is: number, should: number, what: string): void {
  if (is !== should) broken(`${what}: ${is}, and there are ${should}`);
}

function broken(what: string): never {
  throw new BrokenInvariant(`the scheduler's books do not agree: ${what}`);
}
