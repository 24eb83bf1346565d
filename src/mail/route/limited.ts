/** Who waits for something that is scarce, in the order of asking, so that each gets its turn. */
export interface Line {
  /** Keys of relays; those before `from` have had their turn. */
  waiting: string[];
  from: number;
}

/**
 * A number of connections that may not exceed a limit, and who waits for one to be given back. A limit may fall below
 * what is used just now.
 */
export interface Limited extends Line {
  readonly kind: "limit";
  used: number;
  limit: number;
}

export function limited(limit: number): Limited {
  return { kind: "limit", used: 0, limit, waiting: [], from: 0 };
}

export function hasRoom(of: Limited): boolean {
  return of.used < of.limit;
}

export function isWaitedFor(of: Line): boolean {
  return of.from < of.waiting.length;
}

/** How many stand in line. */
export function waitingFor(of: Line): number {
  return of.waiting.length - of.from;
}

/** Takes out who has waited longest. */
export function nextWaiting(of: Line): string | undefined {
  const key = of.waiting[of.from];
  if (key === undefined) return undefined;
  of.from++;
  // What was taken is cut off now and then rather than each time: a shift would cost the length of the line.
  if (of.from > 32 && of.from * 2 > of.waiting.length) {
    of.waiting.splice(0, of.from);
    of.from = 0;
  }
  return key;
}
