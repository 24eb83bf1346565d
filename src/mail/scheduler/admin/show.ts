import { failureText } from "../../envelope/failure-text.ts";
import { forgive, type Penalty } from "../../route/penalty.ts";
import { penaltyRules } from "../serve/choose.ts";
import { KINDS, type Kind, type Thing } from "./show-kinds.ts";
import type { Standing, StandingCounts } from "./standing.ts";
import type { SchedulerState } from "../state.ts";
import type { Tallies } from "./tallies.ts";
import { ROW_STATES, type ShowFilter, type ShowPage, type ShowPlace, type ShownRow } from "./shown-row.ts";

interface Found extends ShowPlace {
  readonly thing: Thing<never>;
}

const PAGE = 2000;
/** Things looked at in one go: some two milliseconds. */
const SLICE = 5000;

/**
 * What the scheduler knows of the world outside, as rows for people: routes, relays, hosts, our source addresses and
 * recipient domains. A look changes nothing.
 *
 * Rows come in pages, what is in trouble first: a page is found by one pass over what there is, and between two pages
 * nothing is kept. So a list is true row by row, not as one instant, and a hundred thousand rows cost the server a page.
 *
 * Gives the next page behind `behind`. Whoever drives it lets other work go on whenever it yields.
 */
export function* showPage(
  s: SchedulerState,
  tallies: Tallies,
  standing: Standing,
  filter: ShowFilter,
  behind?: ShowPlace,
): Generator<undefined, ShowPage, void> {
  const most = Math.min(filter.limit ?? PAGE, PAGE);
  const wantedState = filter.state === undefined ? 0 : 1 << ROW_STATES.indexOf(filter.state);
  const name = filter.name?.toLowerCase();
  // Each kind is made into rows by itself; what `of` is, is between its own functions.
  const kind = KINDS[filter.what] as unknown as Kind<never>;
  let found: Found[] = [];
  let last: Found | undefined;
  let isMore = false;
  let seen = 0;
  for (const thing of kind.things(s, tallies, standing)) {
    if (++seen % SLICE === 0) yield;
    if (wantedState !== 0 && (stateOf(s, thing) & wantedState) === 0) continue;
    const place = { rank: rankOf(s, thing), size: sizeOf(thing.counts), name: thing.name, id: thing.id ?? "", thing };
    if (behind !== undefined && inOrder(place, behind) <= 0) continue;
    if (last !== undefined && inOrder(place, last) >= 0) {
      isMore = true;
      continue;
    }
    if (name !== undefined && !thing.name.toLowerCase().includes(name)) continue;
    found.push(place);
    if (found.length < 4 * most) continue;
    isMore = true;
    found = found.sort(inOrder).slice(0, most);
    last = found.at(-1);
  }
  found.sort(inOrder);
  isMore ||= found.length > most;
  found = found.slice(0, most);
  const end = found.at(-1);
  return {
    rows: found.map(({ thing }) => rowOf(s, kind, thing)),
    ...(isMore && end !== undefined ? { next: { rank: end.rank, size: end.size, name: end.name, id: end.id } } : {}),
  };
}

/** Trouble first, then where most waits, then by name. */
function inOrder(one: ShowPlace, other: ShowPlace): number {
  if (one.rank !== other.rank) return one.rank - other.rank;
  if (one.size !== other.size) return other.size - one.size;
  if (one.name !== other.name) return one.name < other.name ? -1 : 1;
  return one.id < other.id ? -1 : one.id > other.id ? 1 : 0;
}

function restsUntil({ restsUntilAt = 0, penalty }: Thing<never>): number {
  return Math.max(restsUntilAt, penalty?.restsUntilAt ?? 0);
}

function rankOf(s: SchedulerState, thing: Thing<never>): number {
  if (restsUntil(thing) > s.now) return 0;
  if (thing.penalty !== undefined && thing.penalty.count > 0) return 1;
  return thing.connections > 0 ? 2 : 3;
}

function sizeOf({ ready, waiting, held }: Readonly<StandingCounts>): number {
  return ready + waiting + held;
}

/** One bit for each of `ROW_STATES`. */
function stateOf(s: SchedulerState, thing: Thing<never>): number {
  const { tally, connections, counts, isSuspended: isHeld } = thing;
  const isNew = tally?.lastSuccessAt === undefined && tally?.lastFailureAt === undefined;
  return (
    (isNew ? 1 : 0) |
    (connections > 0 ? 2 : 0) |
    (restsUntil(thing) > s.now ? 4 : 0) |
    (counts.ready + counts.waiting > 0 ? 8 : 0) |
    (counts.held > 0 || isHeld ? 16 : 0)
  );
}

function rowOf(s: SchedulerState, kind: Kind<never>, thing: Thing<never>): ShownRow {
  const { tally, counts, penalty, connections } = thing;
  const state = stateOf(s, thing);
  const restsUntilAt = restsUntil(thing);
  const limit = kind.limit(s, thing.of);
  return {
    name: thing.name,
    states: ROW_STATES.filter((_, at) => (state & (1 << at)) !== 0),
    connections,
    allowed: Math.min(thing.allowed ?? Infinity, limit),
    limit,
    sessions: tally?.sessions ?? 0,
    failures: tally?.failures ?? 0,
    refused: tally?.refused ?? 0,
    penalty: penalty === undefined ? 0 : forgiven(s, penalty),
    ...(restsUntilAt > s.now ? { restsUntilAt } : {}),
    ready: counts.ready,
    waiting: counts.waiting,
    held: counts.held,
    lastFailure: penalty?.lastFailure === undefined ? tally?.lastFailure : failureText(penalty.lastFailure),
    lastFailureAt: tally?.lastFailureAt,
    lastSuccessAt: tally?.lastSuccessAt,
    note: kind.note(thing.of),
  };
}

/** What quiet time has earned is reckoned on a copy. */
function forgiven(s: SchedulerState, penalty: Penalty): number {
  const copy = { ...penalty };
  forgive(copy, s.now, penaltyRules(s));
  return copy.count;
}
