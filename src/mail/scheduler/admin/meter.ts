/**
 * Counters that are never set back: each since the start, and in the sixty minutes before now. Plain data; time is an
 * argument.
 */
export interface Meter {
  readonly totals: Map<string, number>;
  /** One for each minute of the last hour, by the minute's number modulo sixty. */
  readonly minutes: MinuteCounts[];
}

interface MinuteCounts {
  minute: number;
  readonly counts: Map<string, number>;
}

export interface Counted {
  readonly name: string;
  readonly total: number;
  /** In the last whole minute. */
  readonly lastMinute: number;
  /** In the last sixty minutes, the running one included. */
  readonly lastHour: number;
}

const MINUTE_MS = 60_000;
const MINUTES = 60;

export function newMeter(): Meter {
  return { totals: new Map(), minutes: [] };
}

export function countOne(meter: Meter, name: string, now: number, by = 1): void {
  meter.totals.set(name, (meter.totals.get(name) ?? 0) + by);
  const minute = Math.floor(now / MINUTE_MS);
  let slot = meter.minutes[minute % MINUTES];
  if (slot === undefined || slot.minute !== minute) {
    slot = { minute, counts: new Map() };
    meter.minutes[minute % MINUTES] = slot;
  }
  slot.counts.set(name, (slot.counts.get(name) ?? 0) + by);
}

/** Every counter that ever counted, in the order of names. */
export function readMeter(meter: Meter, now: number): readonly Counted[] {
  const minute = Math.floor(now / MINUTE_MS);
  const lastHour = new Map<string, number>();
  const lastMinute = new Map<string, number>();
  // Places of an array that were never written are skipped.
  meter.minutes.forEach((slot) => {
    if (slot.minute <= minute - MINUTES || slot.minute > minute) return;
    for (const [name, count] of slot.counts) {
      lastHour.set(name, (lastHour.get(name) ?? 0) + count);
      if (slot.minute === minute - 1) lastMinute.set(name, count);
    }
  });
  return [...meter.totals]
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, total]) => ({
      name,
      total,
      lastMinute: lastMinute.get(name) ?? 0,
      lastHour: lastHour.get(name) ?? 0,
    }));
}
