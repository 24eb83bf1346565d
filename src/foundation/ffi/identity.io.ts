import { existsSync } from "node:fs";
import { PosthornError } from "../error.ts";
import { exitAtOnce } from "./exit.io.ts";
import { requireFfi } from "./ffi.io.ts";
import type { RunAs } from "./identity.ts";

/** May this process become others? That takes to have been started by root. */
export function mayChangeIdentity(): boolean {
  return process.getuid?.() === 0;
}

/**
 * From here on every thread of this process (Node's pool for files among them) acts as `who`: effective user and group,
 * and groups. The real user stays root's, so that the user can neither signal nor trace us, and so that another call can
 * become somebody else. Whatever the kernel refuses, or does not show afterwards, ends the process at once: nothing may go
 * on with rights that it does not know.
 *
 * The C library gives each thread its rights and waits for all; so does Node, which calls it.
 */
export function actAs(who: RunAs): void {
  const { setegid, seteuid, setgroups } = process;
  if (setegid === undefined || seteuid === undefined || setgroups === undefined) return exitAtOnce(EX_NOPERM);
  try {
    if (process.geteuid?.() !== 0) seteuid(0);
    setgroups([...who.groups]);
    setegid(who.gid);
    seteuid(who.uid);
  } catch {
    exitAtOnce(EX_NOPERM);
  }
  const groups = process.getgroups?.() ?? [];
  const allowed = new Set([...who.groups, who.gid]);
  const isRight =
    process.geteuid?.() === who.uid && process.getegid?.() === who.gid && groups.every((group) => allowed.has(group));
  if (!isRight) exitAtOnce(EX_NOPERM);
}

const EX_NOPERM = 77;

/** The system calls' own numbers: the C library's functions would change all threads. */
const CALLS: Readonly<
  Record<string, { readonly setresuid: number; readonly setresgid: number; readonly setgroups: number }>
> = {
  x64: { setresuid: 117, setresgid: 119, setgroups: 116 },
  arm64: { setresuid: 147, setresgid: 149, setgroups: 159 },
};

/**
 * Runs a synchronous `work` while this one thread, and nothing else of the process, acts as `who`: effective user, groups,
 * and `gid` in every sense. The real and the saved user never become the user: who shares one of them with us may signal
 * us. So what `work` starts is not the user as a whole: `startAs` is for that. Root can be `who`, too, to signal or start
 * what is not ours. Throws `LIBRARY_UNAVAILABLE` where that is not possible; ends the process when it cannot come back.
 */
export function inThreadAs<Value>(who: RunAs, work: () => Value): Value {
  const purpose = "acting as another user (setresuid)";
  const calls = process.platform === "linux" ? CALLS[process.arch] : undefined;
  if (calls === undefined) {
    throw new PosthornError("LIBRARY_UNAVAILABLE", {
      message: `${purpose} is known for Linux on x64 and arm64 only`,
      advice: "run the server on one of these, or as the user whose commands it runs",
    });
  }
  const ffi = requireFfi(purpose);
  const three = ffi.declare("long syscall(long number, long a, long b, long c)");
  const list = ffi.declare("long syscall(long number, long size, void *list)");
  const set = (number: number, ...ids: readonly [number, number, number]): void => {
    if (Number(three(number, ...ids)) !== 0) exitAtOnce(EX_NOPERM);
  };
  const setGroups = (groups: readonly number[]): void => {
    const ids = Uint32Array.from(groups);
    if (Number(list(calls.setgroups, ids.length, new Uint8Array(ids.buffer))) !== 0) exitAtOnce(EX_NOPERM);
  };
  const before = {
    uid: process.geteuid?.() ?? 0,
    gid: process.getegid?.() ?? 0,
    realGid: process.getgid?.() ?? 0,
    // Node adds the effective group to what the system says.
    groups: (process.getgroups?.() ?? []).filter((group) => group !== process.getegid?.()),
  };
  // Saved stays root's: that is the way back, and the one thing that execve(2) takes from what we start.
  set(calls.setresuid, 0, 0, 0);
  try {
    setGroups(who.groups);
    set(calls.setresgid, who.gid, who.gid, who.gid);
    set(calls.setresuid, who.uid === 0 ? 0 : before.uid, who.uid, 0);
    return work();
  } finally {
    set(calls.setresuid, KEEP, 0, KEEP);
    set(calls.setresgid, before.realGid, before.gid, before.realGid);
    setGroups(before.groups);
    set(calls.setresuid, 0, before.uid, 0);
  }
}

/** (uid_t) -1: as it is. */
const KEEP = -1;
/** Root itself, for the moment in which something is started or signalled. */
export const asRoot: RunAs = { uid: 0, gid: 0, groups: [] };

/** Of util-linux, or busybox: sets the user of what it then becomes, by number, and asks no directory of users for it. */
const HELPERS: readonly string[] = ["/usr/bin/nsenter", "/bin/nsenter", "/usr/sbin/nsenter", "/sbin/nsenter"];

/**
 * Has `start` start a program that is `who` in every sense. The groups come from this thread; the user is set in the new
 * process, which nobody can signal before. Were it set here, for the moment of the fork, the user could end us in it.
 *
 * Throws `LIBRARY_UNAVAILABLE` where it is not possible.
 */
export function startAs<Value>(
  who: RunAs,
  program: string,
  args: readonly string[],
  start: (program: string, args: readonly string[]) => Value,
): Value {
  const helper = HELPERS.find((path) => existsSync(path));
  if (helper === undefined) {
    throw new PosthornError("LIBRARY_UNAVAILABLE", {
      message: `running a command as another user takes nsenter, and there is none (${HELPERS.join(", ")})`,
      advice: "install util-linux",
    });
  }
  return inThreadAs({ ...who, uid: 0 }, () => start(helper, [`-S${who.uid}`, "--", program, ...args]));
}
