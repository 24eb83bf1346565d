import type { Clock } from "../foundation/clock.ts";
import { newWish } from "../foundation/new-wish.ts";

/** What signals ask of a server. */
export interface SignalHandlers {
  stop(because: string): void;
  /** Settings and log files anew. */
  reload(): void;
}

export interface SignalSource {
  on(signal: "SIGTERM" | "SIGINT" | "SIGHUP", listener: () => void): unknown;
}

/**
 * Listens to the signals from now on, and keeps what they ask until there is a server to obey: one that arrives while it
 * starts would else end the process halfway, with its pid file and its workers left behind.
 */
export function heldSignals(
  source: SignalSource,
  clock: Pick<Clock, "monotonicMs">,
): { obey(handlers: SignalHandlers): void } {
  let handlers: SignalHandlers | undefined;
  let stopBecause: string | undefined;
  let wantsReload = false;
  const isNewWish = newWish(clock);
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    source.on(signal, () => {
      if (!isNewWish()) return;
      if (handlers === undefined) stopBecause ??= signal;
      else handlers.stop(signal);
    });
  source.on("SIGHUP", () => {
    if (handlers === undefined) wantsReload = true;
    else handlers.reload();
  });
  return {
    obey(given) {
      handlers = given;
      if (stopBecause !== undefined) given.stop(stopBecause);
      else if (wantsReload) given.reload();
    },
  };
}
