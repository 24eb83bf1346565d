import type { Clock } from "./clock.ts";

/** The wait took longer than it may. `what` names the wait in the RFC's or the settings' words. */
export class DeadlinePassed extends Error {
  override readonly name = "DeadlinePassed";
  readonly what: string;
  readonly limitMs: number;

  constructor(what: string, limitMs: number) {
    super(`${what} took longer than ${limitMs} ms`);
    this.what = what;
    this.limitMs = limitMs;
  }
}

/**
 * Gives `work` a signal that aborts when `limitMs` has passed or `outer` aborts, and settles at that moment even if
 * the work does not listen. Rejects with `DeadlinePassed` or the outer signal's reason.
 */
export async function withDeadline<Value>(
  clock: Clock,
  limitMs: number,
  what: string,
  work: (signal: AbortSignal) => Promise<Value>,
  outer?: AbortSignal,
): Promise<Value> {
  const controller = new AbortController();
  let settle: (reason: unknown) => void = () => {};
  const cut = new Promise<never>((_, reject) => {
    settle = reject;
  });
  // Nobody may be waiting on `cut` when the work wins; without this it would be an unhandled rejection.
  cut.catch(() => {});
  const end = (reason: unknown): void => {
    controller.abort(reason);
    settle(reason);
  };
  const timer = clock.after(limitMs, () => end(new DeadlinePassed(what, limitMs)));
  const onOuter = (): void => end(outer?.reason);
  if (outer?.aborted) onOuter();
  else outer?.addEventListener("abort", onOuter, { once: true });
  try {
    return await Promise.race([work(controller.signal), cut]);
  } finally {
    timer.cancel();
    outer?.removeEventListener("abort", onOuter);
  }
}
