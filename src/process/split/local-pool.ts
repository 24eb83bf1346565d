import type { Clock } from "../../foundation/clock.ts";
import { PosthornError } from "../../foundation/error.ts";
import type { LocalDelivery } from "../../mail/delivery/delivery.ts";

/**
 * The delivery processes as one `LocalDelivery`: the newest of those that go by the version of the settings that is served gets the
 * mail. With none there (the server starts, or one is just being started again) a call waits up to `patienceMs` for one to come, then
 * rejects with ROLE_UNAVAILABLE: what is in the queue at a start is not put off only because the scheduler was first.
 */
export interface LocalPool extends LocalDelivery {
  /** `version`: of the settings by which it delivers. */
  add(member: LocalDelivery, version: number): void;
  /** Mail is from now on for members that go by this version. */
  serve(version: number): void;
  /** Nothing new for this member, which ends what it has. */
  retire(member: LocalDelivery): void;
  /** It is gone. */
  remove(member: LocalDelivery): void;
  finish(withinMs: number): Promise<void>;
}

export function localPool(options: { clock: Clock; patienceMs: number; version: number }): LocalPool {
  const members = new Map<LocalDelivery, number>();
  const retired = new Set<LocalDelivery>();
  let served = options.version;
  let waiting: (() => void)[] = [];
  const newest = (): LocalDelivery | undefined => [...members].findLast(([, version]) => version === served)?.[0];
  const wakeAll = (): void => {
    const woken = waiting;
    waiting = [];
    for (const wake of woken) wake();
  };

  return {
    add(member, version) {
      members.set(member, version);
      if (version === served) wakeAll();
    },
    serve(version) {
      served = version;
      if (newest() !== undefined) wakeAll();
    },
    retire(member) {
      if (members.delete(member)) retired.add(member);
    },
    remove(member) {
      members.delete(member);
      retired.delete(member);
    },
    async finish(withinMs) {
      // One that is gone meanwhile has nothing to end.
      await Promise.allSettled([...members.keys(), ...retired].map(async (member) => member.finish?.(withinMs)));
    },
    async deliver(request) {
      if (newest() === undefined) {
        await new Promise<void>((resolve) => {
          const timer = options.clock.after(options.patienceMs, resolve);
          waiting.push(() => {
            timer.cancel();
            resolve();
          });
        });
      }
      const member = newest();
      if (member !== undefined) return member.deliver(request);
      throw new PosthornError("ROLE_UNAVAILABLE", {
        message: "no delivery process is there",
        advice: "the supervisor restarts it; look for its last lines in the log",
      });
    },
  };
}
