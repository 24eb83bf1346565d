import type { Clock, Timer } from "../../../foundation/clock.ts";
import { DeadlinePassed, withDeadline, withLimit, type Cut } from "../../../foundation/deadline.ts";
import { messageOf } from "../../../foundation/error.ts";
import type { Random } from "../../../foundation/random.ts";
import { formatDuration } from "../../../foundation/units.ts";
import { createHostTurns } from "./host-turns.ts";

/** What a pool needs of a database's client. */
export interface PoolDriver<Connection> {
  /** Connects and logs in. When the signal aborts it closes what it had begun. `onGone`: the connection was lost. */
  open(host: string, signal: AbortSignal, onGone: (why: string) => void): Promise<Connection>;
  /** Closes at once, whatever is under way. Never throws. */
  close(connection: Connection): void;
  /** Whether the server answered "error" over a connection that is as good as before. */
  isAnswer(error: unknown): boolean;
}

export interface PoolOptions {
  readonly hosts: readonly string[];
  readonly mostConnections: number;
  readonly mostWaiting: number;
  readonly connectMs: number;
  readonly idleMs: number;
  readonly lifetimeMs: number;
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

export interface Pool<Connection> {
  /**
   * Runs `work` with a connection of its own, within `limitMs` (the wait for the connection included). Rejects with
   * `PoolFailure`, in words for people; a connection whose work failed or did not end is closed.
   */
  use<Value>(limitMs: number, work: (connection: Connection, host: string) => Promise<Value>): Promise<Value>;
  counts(): { readonly open: number; readonly busy: number; readonly waiting: number; readonly most: number };
  close(): void;
}

export class PoolFailure extends Error {
  override readonly name = "PoolFailure";
}

interface Member<Connection> {
  readonly connection: Connection;
  readonly host: string;
  readonly openedAt: number;
  idleSince: number;
  uses: number;
  isBusy: boolean;
  isGone: boolean;
}
interface Waiter<Connection> {
  take(member: Member<Connection>): void;
  fail(failure: PoolFailure): void;
}

/**
 * Connections to the first of several servers that can be reached. A server that fails is left alone for a growing while;
 * while all of them rest, who asks is told at once. A server that has failed is tried by one connection before there are
 * more. Idle connections that a restarted server closed are noticed, and cost no lookup.
 */
export function createPool<Connection>(
  driver: PoolDriver<Connection>,
  options: PoolOptions,
  clock: Clock,
  random: Random,
): Pool<Connection> {
  const turns = createHostTurns(options, clock, random);
  const members = new Set<Member<Connection>>();
  const waiting = new Set<Waiter<Connection>>();
  const opening = new Set<AbortController>();
  const underWay = new Set<Cut>();
  let isClosed = false;
  let sweeper: Timer | undefined;

  const drop = (member: Member<Connection>): void => {
    member.isGone = true;
    if (members.delete(member)) driver.close(member.connection);
  };
  /** When one connection breaks, the others that rest are not to be trusted; and the next proves the server. */
  const distrust = (host: string, why: string): void => {
    turns.doubted(host, why);
    for (const member of members) if (!member.isBusy && member.host === host) drop(member);
  };

  const sweep = (): void => {
    sweeper = undefined;
    let nextMs = Number.POSITIVE_INFINITY;
    const nowMs = clock.monotonicMs();
    for (const member of members) {
      if (member.isBusy) continue;
      const leftMs = member.idleSince + options.idleMs - nowMs;
      if (leftMs <= 0) drop(member);
      else nextMs = Math.min(nextMs, leftMs);
    }
    if (Number.isFinite(nextMs)) sweeper = clock.after(nextMs, sweep);
  };
  const offer = (member: Member<Connection>): void => {
    const [next] = waiting;
    if (next !== undefined) {
      waiting.delete(next);
      next.take(member);
      return;
    }
    member.isBusy = false;
    member.idleSince = clock.monotonicMs();
    sweeper ??= clock.after(options.idleMs, sweep);
  };
  const release = (member: Member<Connection>): void => {
    const isOver = member.isGone || isClosed || clock.monotonicMs() - member.openedAt >= options.lifetimeMs;
    if (!isOver) {
      offer(member);
      return;
    }
    drop(member);
    // Others may wait for the one that there will not be again.
    grow();
  };

  /** Opens connections for those who wait, one at a time to a server that is not known to be well. */
  const grow = (): void => {
    if (isClosed) return;
    while (waiting.size > opening.size && members.size + opening.size < options.mostConnections) {
      const host = turns.next(opening.size > 0);
      if (host === undefined) break;
      void openOne(host);
    }
    // Nobody who could answer is left.
    if (opening.size === 0 && waiting.size > 0 && ![...members].some((member) => member.isBusy)) {
      const failure = new PoolFailure(turns.whyNot());
      for (const waiter of waiting) waiter.fail(failure);
      waiting.clear();
    }
  };
  const openOne = async (host: string): Promise<void> => {
    const controller = new AbortController();
    opening.add(controller);
    // Set once there is a member; a connection can be lost before that.
    const holder: { member?: Member<Connection>; lost?: string } = {};
    const onGone = (why: string): void => {
      holder.lost ??= why;
      const { member } = holder;
      if (member === undefined || member.isGone) return;
      drop(member);
      if (!member.isBusy) distrust(host, why);
    };
    try {
      const begun = driver.open(host, controller.signal, onGone);
      const connection = await withDeadline(
        clock,
        options.connectMs,
        `connecting to ${host}`,
        async (signal) => {
          signal.addEventListener("abort", () => controller.abort(signal.reason), { once: true });
          // A connection that comes too late belongs to nobody.
          void begun.then(
            (late) => {
              if (signal.aborted) driver.close(late);
            },
            () => {},
          );
          return await begun;
        },
        controller.signal,
      );
      opening.delete(controller);
      const nowMs = clock.monotonicMs();
      const member = { connection, host, openedAt: nowMs, idleSince: nowMs, uses: 0, isBusy: true, isGone: false };
      if (isClosed || holder.lost !== undefined) {
        driver.close(connection);
        if (isClosed) return;
        turns.failed(host, holder.lost ?? "closed");
      } else {
        holder.member = member;
        members.add(member);
        turns.reached(host);
        offer(member);
      }
    } catch (thrown) {
      opening.delete(controller);
      if (isClosed) return;
      const isLate = controller.signal.aborted;
      turns.failed(host, isLate ? `no connection within ${formatDuration(options.connectMs)}` : messageOf(thrown));
    }
    grow();
  };

  /** One that is free, from now on for whoever asked. */
  const idle = (): Member<Connection> | undefined => {
    // The one used last: the others may become idle long enough to be closed.
    let best: Member<Connection> | undefined;
    for (const member of members)
      if (!member.isBusy && (best === undefined || member.idleSince >= best.idleSince)) best = member;
    if (best !== undefined) best.isBusy = true;
    return best;
  };
  const lease = (waiter: Waiter<Connection>): void => {
    const member = isClosed ? undefined : idle();
    if (isClosed) waiter.fail(new PoolFailure("closed"));
    else if (member !== undefined) waiter.take(member);
    else if (waiting.size >= options.mostWaiting + options.mostConnections - members.size)
      // Those for whom connections can still be opened do not count as waiting.
      waiter.fail(new PoolFailure(`${waiting.size} lookups wait for a connection already`));
    else {
      waiting.add(waiter);
      grow();
    }
  };
  const busyCount = (): number => [...members].filter((member) => member.isBusy).length;

  const use = async <Value>(
    limitMs: number,
    work: (connection: Connection, host: string) => Promise<Value>,
  ): Promise<Value> => {
    if (isClosed) throw new PoolFailure("closed");
    const untilMs = clock.monotonicMs() + limitMs;
    for (let isAgain = false; ; isAgain = true) {
      let member = idle() ?? (await leased(untilMs - clock.monotonicMs()));
      // Lost between being given out and being taken: nothing was asked of it, so that was no attempt.
      while (member.isGone) member = await leased(Math.max(0, untilMs - clock.monotonicMs()));
      const wasUsed = member.uses++ > 0;
      try {
        const leftMs = Math.max(1, untilMs - clock.monotonicMs());
        const { connection, host } = member;
        const value = await withLimit(clock, leftMs, host, () => work(connection, host), underWay);
        release(member);
        return value;
      } catch (thrown) {
        if (driver.isAnswer(thrown)) {
          release(member);
          throw new PoolFailure(`${member.host}: ${messageOf(thrown)}`, { cause: thrown });
        }
        const isLate = thrown instanceof DeadlinePassed;
        const why = isLate ? `no answer within ${formatDuration(limitMs)}` : messageOf(thrown);
        drop(member);
        distrust(member.host, why);
        grow();
        if (isClosed) throw new PoolFailure("closed", { cause: thrown });
        // A connection that had waited was closed by the server meanwhile, often for a restart: that says nothing yet.
        if (isLate || isAgain || !wasUsed) throw new PoolFailure(`${member.host}: ${why}`, { cause: thrown });
      }
    }
  };
  const leased = (leftMs: number): Promise<Member<Connection>> =>
    new Promise((resolve, reject) => {
      let timer: Timer | undefined;
      const waiter: Waiter<Connection> = {
        take(member) {
          timer?.cancel();
          resolve(member);
        },
        fail(failure) {
          timer?.cancel();
          reject(failure);
        },
      };
      lease(waiter);
      if (!waiting.has(waiter)) return;
      timer = clock.after(Math.max(0, leftMs), () => {
        waiting.delete(waiter);
        reject(new PoolFailure(turns.whyLate() ?? "no connection became free in time"));
      });
    });

  return {
    use,
    counts: () => ({
      open: members.size,
      busy: busyCount(),
      waiting: waiting.size,
      most: options.mostConnections,
    }),
    close() {
      isClosed = true;
      sweeper?.cancel();
      for (const controller of opening) controller.abort(new PoolFailure("closed"));
      for (const waiter of waiting) waiter.fail(new PoolFailure("closed"));
      waiting.clear();
      for (const cut of underWay) cut(new PoolFailure("closed"));
      for (const member of members) drop(member);
    },
  };
}
