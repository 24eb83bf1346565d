import type { Clock } from "../../../foundation/clock.ts";
import type { Random } from "../../../foundation/random.ts";
import { formatDuration } from "../../../foundation/units.ts";

export interface HostTurns {
  /** The first that does not rest; while an attempt is under way only those that are known to be well. */
  next(isOneUnderWay: boolean): string | undefined;
  reached(host: string): void;
  /** Could not be reached: rests, longer each time. */
  failed(host: string, why: string): void;
  /** A connection to it broke or did not answer: it does not rest, but must be proven. */
  doubted(host: string, why: string): void;
  /** Why there is no connection, while all rest. */
  whyNot(): string;
  /** What the wait for a connection was in vain for, if a server is to blame. */
  whyLate(): string | undefined;
}

interface Host {
  readonly name: string;
  isProven: boolean;
  restsUntilMs: number;
  failures: number;
  why: string;
}

/** Which of several servers is connected to next. */
export function createHostTurns(
  options: { readonly hosts: readonly string[]; readonly firstPauseMs: number; readonly longestPauseMs: number },
  clock: Clock,
  random: Random,
): HostTurns {
  const hosts = options.hosts.map((name): Host => ({
    name,
    isProven: false,
    restsUntilMs: Number.NEGATIVE_INFINITY,
    failures: 0,
    why: "",
  }));
  const find = (name: string): Host | undefined => hosts.find((host) => host.name === name);
  return {
    next(isOneUnderWay) {
      const nowMs = clock.monotonicMs();
      return hosts.find((host) => host.restsUntilMs <= nowMs && (host.isProven || !isOneUnderWay))?.name;
    },
    reached(name) {
      const host = find(name);
      if (host === undefined) return;
      Object.assign(host, { isProven: true, restsUntilMs: Number.NEGATIVE_INFINITY, failures: 0, why: "" });
    },
    failed(name, why) {
      const host = find(name);
      if (host === undefined) return;
      const pauseMs = Math.min(options.longestPauseMs, options.firstPauseMs * 2 ** Math.min(host.failures, 30));
      // The last quarter is spread, so that all processes of all hosts do not come back at once.
      const spreadMs = Math.round(pauseMs * (0.75 + 0.25 * random.next()));
      host.restsUntilMs = clock.monotonicMs() + spreadMs;
      host.failures++;
      host.isProven = false;
      host.why = why;
    },
    doubted(name, why) {
      const host = find(name);
      if (host === undefined) return;
      host.isProven = false;
      host.why = why;
    },
    whyNot() {
      const nowMs = clock.monotonicMs();
      return hosts
        .map(({ name, why, restsUntilMs }) => {
          const again =
            restsUntilMs > nowMs ? `; tried again in ${formatDuration(Math.ceil(restsUntilMs - nowMs))}` : "";
          return `${name}: ${why === "" ? "no connection" : why}${again}`;
        })
        .join("; ");
    },
    whyLate: () => hosts.filter(({ why }) => why !== "").map(({ name, why }) => `${name}: ${why}`)[0],
  };
}
