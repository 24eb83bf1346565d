import type { AnyEvent, Emit } from "../../../foundation/events.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { LocalOutcome } from "../delivery.ts";
import type { FileErrand } from "./errand.ts";
import * as events from "./events.ts";

/** What those share who have errands done in other processes and in other threads. */

const EVENTS: ReadonlyMap<string, AnyEvent> = new Map(
  Object.values(events).map((event): [string, AnyEvent] => [event.name, event]),
);

/** An event of the mailbox's as it is told across the border. */
export interface ToldEvent {
  readonly name: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export function toldEvents(say: (told: ToldEvent) => void): Emit {
  return (event, fields) => say({ name: (event as AnyEvent).name, fields });
}

export function emitTold(emit: Emit, { name, fields }: ToldEvent): void {
  const event = EVENTS.get(name);
  // The other side took event and fields from one call of ours.
  if (event !== undefined) emit(event as never, fields as never);
}

/** It is tried again, and `text` is why. */
export function putOff({ request }: FileErrand, text: string): LocalOutcome {
  const failure: Failure = { lasting: "temporary", status: "4.3.0", cause: { kind: "mailbox", reason: "io", text } };
  return { kind: "failed", envelope: request.envelope.id, relay: "local", failure, tookMs: 0 };
}
