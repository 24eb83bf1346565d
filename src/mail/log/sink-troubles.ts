import { sinkFailed, sinkRecovered } from "./events.ts";
import type { EventRecord } from "./record.ts";

/** A sink of the log, or the journal, that cannot be written now. For `posthorn status`. */
export interface SinkTrouble {
  readonly sink: string;
  readonly problem: string;
  readonly sinceAt: number;
}

/** Follows what sinks report; `undefined` when nothing has changed. */
export function troublesAfter(
  troubles: readonly SinkTrouble[],
  { name, at, fields }: EventRecord,
): readonly SinkTrouble[] | undefined {
  if (name !== sinkFailed.name && name !== sinkRecovered.name) return undefined;
  const sink = String(fields["sink"]);
  const others = troubles.filter((one) => one.sink !== sink);
  if (name === sinkFailed.name) return [...others, { sink, problem: String(fields["problem"]), sinceAt: at }];
  return others.length === troubles.length ? undefined : others;
}
