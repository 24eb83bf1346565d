import type { Clock } from "../../foundation/clock.ts";
import { PosthornError } from "../../foundation/error.ts";
import type { LocalDelivery } from "../../mail/delivery/delivery.ts";

/**
 * The delivery processes as one `LocalDelivery`: the newest, which has the newest settings, gets the mail. With none
 * there (the server starts, or one is just being started again) a call waits up to `patienceMs` for one to come, then
 * rejects with ROLE_UNAVAILABLE: what is in the queue at a start is not put off only because the scheduler was first.
 */
export interface LocalPool extends LocalDelivery {
  add(member: LocalDelivery): void;
  /** Nothing new for this member, or it is gone. */
  remove(member: LocalDelivery): void;
}

export function localPool(options: { clock: Clock; patienceMs: number }): LocalPool {
  const members = new Set<LocalDelivery>();
  let waiting: (() => void)[] = [];
  const newest = (): LocalDelivery | undefined => [...members].at(-1);

  return {
    add(member) {
      members.add(member);
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake();
    },
    remove: (member) => void members.delete(member),
    async deliver(request) {
      if (members.size === 0) {
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
