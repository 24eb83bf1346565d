import type { Action } from "../action.ts";
import type { RecordedInput } from "./replay.ts";
import { step, type SchedulerEvent } from "../scheduler.ts";
import { areAlike, restore, snapshot } from "./snapshot.ts";
import type { SchedulerState } from "../state.ts";
import { stepText } from "./step-text.ts";

/** What a replay tells of a recording. */
export type Retold =
  /** A recorded state. `isGap`: it is not what the inputs before it lead to, so some of those were not recorded. */
  | { readonly kind: "start"; readonly at: number; readonly envelopes: number; readonly isGap: boolean }
  | { readonly kind: "step"; readonly at: number; readonly text: string }
  /** The recording cannot be followed to its next start: another version wrote it. */
  | { readonly kind: "broken"; readonly at: number; readonly because: string };

export interface RetellWish {
  /** An id, a domain, a host or an address: only steps that speak of it, and of the sessions that were opened for it. */
  readonly about?: string | undefined;
  readonly fromAt: number;
  readonly untilAt: number;
}

/** Runs recorded inputs again and tells the steps between two instants. Nothing but the recording is needed, and nothing is changed. */
export function* retell(inputs: Iterable<RecordedInput>, wish: RetellWish): Generator<Retold, void, void> {
  const about = wish.about?.toLowerCase();
  const followed: Followed = { sessions: new Set(), writes: new Set() };
  let state: SchedulerState | undefined;
  for (const { at, isStart, json } of inputs) {
    if (at > wish.untilAt) return;
    if (isStart) {
      const isGap = state !== undefined && !areAlike(snapshot(state), json);
      // Sessions of another run have the same names.
      if (isGap) {
        followed.sessions.clear();
        followed.writes.clear();
      }
      // Only a recorder writes starts, and it writes states.
      state = restore(json) as SchedulerState;
      yield { kind: "start", at, envelopes: state.tickets.size, isGap };
      continue;
    }
    if (state === undefined) continue;
    const event = JSON.parse(json) as SchedulerEvent;
    let actions: readonly Action[];
    try {
      actions = step(state, event, at);
    } catch (thrown) {
      state = undefined;
      yield { kind: "broken", at, because: thrown instanceof Error ? thrown.message : String(thrown) };
      continue;
    }
    if (at < wish.fromAt && about === undefined) continue;
    if (about !== undefined && !isAbout(about, json, event, actions, followed)) continue;
    if (at >= wish.fromAt) yield { kind: "step", at, text: stepText(event, actions, at) };
  }
}

interface Followed {
  readonly sessions: Set<string>;
  readonly writes: Set<number>;
}

function isAbout(
  about: string,
  json: string,
  event: SchedulerEvent,
  actions: readonly Action[],
  { sessions, writes }: Followed,
): boolean {
  let isMeant = speaksOf(json, about);
  if ("session" in event && sessions.has(event.session)) isMeant = true;
  if ("write" in event && writes.delete(event.write)) isMeant = true;
  for (const action of actions) {
    if (!speaksOf(JSON.stringify(action), about)) continue;
    isMeant = true;
    // What becomes of a session, or of a write, is said by its name alone.
    if (action.do === "connect") sessions.add(action.request.session);
    if (action.do === "transact") sessions.add(action.session);
    if (action.do === "write") writes.add(action.write);
  }
  return isMeant;
}

/** As a whole: `M.1` is not `M.10`, and `b.example` is no part of `club.example`. */
function speaksOf(json: string, about: string): boolean {
  const text = json.toLowerCase();
  for (let at = text.indexOf(about); at >= 0; at = text.indexOf(about, at + 1))
    if (!isInName(text[at - 1]) && !isInName(text[at + about.length])) return true;
  return false;
}

function isInName(character = ""): boolean {
  return /[\p{L}\p{N}_-]/u.test(character);
}
