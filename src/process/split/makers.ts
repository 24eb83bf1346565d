import { MOST_MAKERS } from "../../foundation/ids.ts";

/** Numbers of those that make message ids; who makes none has the scheduler's. */
export const SCHEDULER_MAKER = 0;

/** So many that nobody has, or none at all: a version of the settings receives with all of its processes. */
export function freeMakers(taken: Iterable<number>, count: number): readonly number[] {
  const theirs = new Set([SCHEDULER_MAKER, ...taken]);
  const free = Array.from({ length: MOST_MAKERS }, (_, maker) => maker).filter((maker) => !theirs.has(maker));
  if (free.length < count)
    throw new Error(
      `no room for ${count} more ingress processes beside ${theirs.size - 1}, with ${MOST_MAKERS - 1} at most: sessions of settings before earlier reloads go on; reload again when they have ended, or with a smaller processes.ingress`,
    );
  return free.slice(0, count);
}
