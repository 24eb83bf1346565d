/**
 * A number of connections that may not exceed a limit, and who waits for one to be given back, in the order of asking,
 * so that each gets its turn. A limit may fall below what is used just now.
 */
export interface Limited {
  used: number;
  limit: number;
  /** Keys of relays; those before `from` have had their turn. */
  waiting: string[];
  from: number;
}

export function limited(limit: number): Limited {
  return { used: 0, limit, waiting: [], from: 0 };
}

export function hasRoom(of: Limited): boolean {
  return of.used < of.limit;
}

export function isWaitedFor(of: Limited): boolean {
  return of.from < of.waiting.length;
}

/** How many stand in line. */
export function waitingFor(of: Limited): number {
  return of.waiting.length - of.from;
}

/** Takes out who has waited longest. */
export function nextWaiting(of: Limited): string | undefined {
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
