/**
 * A number of connections that may not exceed a limit, and who waits for one to be given back. The waiting ones are
 * kept in the order in which they came, so that each gets its turn. A limit may fall below what is used just now.
 */
export interface Limited {
  used: number;
  limit: number;
  /** Keys of relays. */
  readonly waiting: Set<string>;
}

export function limited(limit: number): Limited {
  return { used: 0, limit, waiting: new Set() };
}

export function hasRoom(of: Limited): boolean {
  return of.used < of.limit;
}
