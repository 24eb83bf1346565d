import type { Clock } from "../../foundation/clock.ts";
import { withDeadline } from "../../foundation/deadline.ts";
import { messageOf } from "../../foundation/error.ts";
import * as passwd from "../../foundation/ffi/passwd.io.ts";
import { Turns } from "../../foundation/turns.ts";
import type { UserAnswer, UserDirectory } from "./users.ts";

/** Each question holds a thread of Node's pool; a directory that hangs must leave some for files. */
const MOST_AT_ONCE = 2;
/** Questions that wait for one of them; beyond that nobody knows, at once. A directory that hangs fills no memory. */
const MOST_WAITING = 1000;
/** How long the directory (a server, perhaps) may take. */
const DEADLINE_MS = 20_000;

/**
 * The system's users through getpwnam_r(3) and getgrouplist(3), so that whatever nsswitch.conf(5) names is asked. Names
 * are asked as they are given; who has addresses folds them first.
 */
export function systemUsers(
  clock: Clock,
  system: Pick<typeof passwd, "findPasswd" | "groupsOfUser"> = passwd,
): UserDirectory {
  const line = new Turns({ most: MOST_AT_ONCE, mostWaiting: MOST_WAITING });
  const ask = async (name: string, signal: AbortSignal): Promise<UserAnswer> => {
    const answer = await line.tryTake(async (): Promise<UserAnswer> => {
      // Whoever asked has gone meanwhile.
      if (signal.aborted) return { kind: "none" };
      const entry = await system.findPasswd(name);
      if (entry === undefined) return { kind: "none" };
      if (!entry.home.startsWith("/"))
        return { kind: "failed", text: `the home of ${name} is no absolute path: ${JSON.stringify(entry.home)}` };
      const { uid, gid, home, shell } = entry;
      return {
        kind: "found",
        user: { name: entry.name, uid, gid, home, shell, groups: await system.groupsOfUser(entry.name, gid) },
      };
    });
    return answer ?? { kind: "failed", text: "too many questions about the system's users wait" };
  };
  return {
    async find(name, signal) {
      try {
        return await withDeadline(
          clock,
          DEADLINE_MS,
          `the system's answer about user ${name}`,
          (s) => ask(name, s),
          signal,
        );
      } catch (thrown) {
        return { kind: "failed", text: messageOf(thrown) };
      }
    },
  };
}
