import type { Hindrance, LiveWait } from "./admin.ts";
import { atRelay, pausedFor, suspendedUntil, whyNotDue } from "./hindrances.ts";
import { endsOf } from "../life.ts";
import { liveStateOf, type SchedulerState, type Ticket } from "../state.ts";
import { suspensionOf } from "../suspension/suspensions.ts";
import { dueAtOf } from "../ticket-times.ts";
import { wishText } from "../wishes.ts";

/**
 * What a list shows of an envelope beside what the store knows: what the scheduler does about it, when it is due and why it
 * waits just now, where that is another reason than its last failure. `hindrances.ts` tells all of one envelope; this is
 * for a hundred thousand, so what many wait for is found and written once for a page, and nothing is looked for that
 * the envelope does not have at hand.
 */
/** Adds to a row, as JSON, what is known of its ticket. Good for one page: what it has found is kept. */
export function liveRows(s: SchedulerState): (row: string, ticket: Ticket | undefined) => string {
  const found = new Map<unknown, string>();
  /** What holds up all that wait for the same: a suspension, a line, a direction. */
  const once = (key: unknown, find: () => Hindrance | undefined): string => {
    let text = found.get(key);
    if (text === undefined) found.set(key, (text = written(find())));
    return text;
  };
  /** For now; what only waits for its turn in line waits for nothing in particular. */
  const readyWait = (ticket: Ticket): string => {
    const { queue } = ticket;
    if (!s.isStoreUsable) return once("store", () => ({ what: "store", text: "the queue's store is being recovered" }));
    if (s.paused.size > 0) {
      // By the kind of its queue: network delivery, or final.
      const paused = once(queue?.kind, () => pausedFor(s, ticket)[0]);
      if (paused !== "") return paused;
    }
    if (queue?.kind !== "batch") return "";
    return once(queue.line, () => atRelay(s, queue.line).find(({ what }) => what !== "queue"));
  };
  const waitOf = (ticket: Ticket): string => {
    const { place, queue, state } = ticket;
    if (place === "ready") return readyWait(ticket);
    if (place === "active") return ticket.after === undefined ? "" : written(tried(ticket));
    if (place !== "waiting" || state !== "queued") return "";
    const suspension = queue?.kind === "suspension" ? queue : suspensionOf(s, ticket);
    if (suspension !== undefined) return once(suspension, () => suspendedUntil(suspension.facts));
    const text = whyNotDue(s, ticket);
    return text === undefined ? "" : written({ what: "not-due", text, untilAt: dueAtOf(ticket) });
  };
  return (row, ticket) => {
    if (ticket === undefined) return row;
    const dueAt = dueAtOf(ticket);
    // Quotation marks within texts are escaped: this is the member, or nothing.
    const shown = withEnds(row, ticket);
    const isKnown = ticket.place !== "waiting" || row.includes(`"dueAt":${dueAt},`);
    return `${shown.slice(0, -1)},"live":"${liveStateOf(ticket)}"${isKnown ? "" : `,"nextAt":${dueAt}`}${waitOf(ticket)}}`;
  };
}

/** The row has them by the settings of when it was written. */
function withEnds(row: string, ticket: Ticket): string {
  const { expiresAt, heldUntilAt } = endsOf(ticket);
  const shown = withInstant(row, "expiresAt", expiresAt);
  return heldUntilAt === undefined ? shown : withInstant(shown, "heldUntilAt", heldUntilAt);
}

/** Quotation marks within texts are escaped: this is the member, or nothing. */
function withInstant(row: string, name: string, at: number | undefined): string {
  if (at === undefined) return row;
  const member = `"${name}":${Math.round(at)}`;
  return row.includes(member) ? row : row.replace(new RegExp(`"${name}":\\d+`), member);
}

function tried(ticket: Ticket): Hindrance {
  return { what: "attempt", text: `it is being tried${wishText(ticket)}` };
}

function written(hindrance: Hindrance | undefined): string {
  if (hindrance === undefined) return "";
  const { what, text, untilAt } = hindrance;
  const waits: LiveWait = { what, text, untilAt };
  return `,"waits":${JSON.stringify(waits)}`;
}
