import type { AnyEvent } from "../../foundation/events.ts";
import { assert } from "../../foundation/assert.ts";
import * as connectionEvents from "../connection/events.ts";
import * as bounceEvents from "../delivery/bounce/events.ts";
import * as mailboxEvents from "../delivery/mailbox/events.ts";
import * as smtpEvents from "../delivery/smtp/events.ts";
import * as tlsPolicyEvents from "../delivery/tls-policy/events.ts";
import * as filterEvents from "../filter/events.ts";
import * as authenticationEvents from "../filter/authentication/events.ts";
import * as hookEvents from "../filter/hooks/events.ts";
import * as queueEvents from "../queue/events.ts";
import * as schedulerEvents from "../scheduler/events.ts";
import * as sessionEvents from "../session/events.ts";
import * as logEvents from "./events.ts";

/**
 * The log stage: what the other stages say about the way of a message. Before it: every stage, through `Emit`.
 *
 *     stage → emitter (a buffer) → [process boundary] → writer → stdout | file | syslog(3) | RFC 5424 address
 *                                                     → journal (SQLite, in a thread of its own)
 *                                                     → subscribers (`posthorn tail`)
 *
 * Invariants: emitting never waits and never throws; every buffer on this way has a bound, and what a full buffer drops
 * is counted and said; text of a peer reaches no sink with a control character in it; declarations are the only source
 * of lines, fields and the manual's list of events.
 *
 * The lines speak as Postfix's do, so that people's tools (pflogsumm) and habits work.
 */
export interface Catalogue {
  readonly events: readonly AnyEvent[];
  find(name: string): AnyEvent | undefined;
}

/** Each of a module's exports that is a declaration. */
export function eventsIn(module: object): readonly AnyEvent[] {
  return Object.values(module).filter(isEvent);
}

function isEvent(value: unknown): value is AnyEvent {
  return (
    typeof value === "object" &&
    value !== null &&
    "name" in value &&
    "level" in value &&
    "fields" in value &&
    "line" in value &&
    typeof value.line === "function"
  );
}

/** The declarations of the stages of mail. Admin and processes add theirs where the catalogue is built. */
export const mailEvents: readonly AnyEvent[] = [
  connectionEvents,
  sessionEvents,
  filterEvents,
  authenticationEvents,
  hookEvents,
  queueEvents,
  schedulerEvents,
  smtpEvents,
  tlsPolicyEvents,
  mailboxEvents,
  bounceEvents,
  logEvents,
].flatMap(eventsIn);

export function catalogueOf(...groups: readonly (readonly AnyEvent[])[]): Catalogue {
  const byName = new Map<string, AnyEvent>();
  for (const event of groups.flat()) {
    assert(!byName.has(event.name), `one declaration for the event ${event.name}`);
    byName.set(event.name, event);
  }
  return { events: [...byName.values()], find: (name) => byName.get(name) };
}
