import { findPasswdById } from "../foundation/ffi/passwd.io.ts";
import { withDeadline } from "../foundation/deadline.ts";
import type { Clock } from "../foundation/clock.ts";
import { Turns } from "../foundation/turns.ts";
import { unnamedUser } from "../foundation/unnamed-user.ts";

/** Users' names by their numbers, from whatever directory the system has. Never rejects. */
export interface UserNames {
  /** A user whom the directory does not know, or not now, is `uid-1000`: still who it is, and nobody else. */
  of(uid: number): Promise<string>;
}

const MOST_NAMES = 10_000;
const REMEMBERED_MS = 60_000;
const DEADLINE_MS = 5000;
/** Each holds a thread of Node's pool for as long as the directory likes; files need some, too. */
const MOST_AT_ONCE = 2;
const MOST_WAITING = 1000;

export function userNames(clock: Clock, find: typeof findPasswdById = findPasswdById): UserNames {
  const known = new Map<number, { readonly name: Promise<string>; readonly untilAt: number }>();
  const line = new Turns({ most: MOST_AT_ONCE, mostWaiting: MOST_WAITING });
  const ask = async (uid: number): Promise<string> => {
    try {
      const entry = await withDeadline(clock, DEADLINE_MS, "the name of a user", (signal) =>
        // Whoever asked has gone meanwhile.
        line.tryTake(async () => (signal.aborted ? undefined : find(uid))),
      );
      // A name that could be taken for something else in the log or in a table is none.
      if (entry !== undefined && /^[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,255}$/.test(entry.name)) return entry.name;
    } catch {
      // Asked again in a minute; meanwhile the number says who it is.
    }
    return unnamedUser(uid);
  };
  return {
    of(uid) {
      const before = known.get(uid);
      if (before !== undefined && before.untilAt > clock.monotonicMs()) return before.name;
      const name = ask(uid);
      known.delete(uid);
      known.set(uid, { name, untilAt: clock.monotonicMs() + REMEMBERED_MS });
      const oldest = known.keys().next();
      if (known.size > MOST_NAMES && oldest.done !== true) known.delete(oldest.value);
      return name;
    },
  };
}
