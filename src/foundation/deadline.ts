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
export function withDeadline<Value>(
  clock: Clock,
  limitMs: number,
  what: string,
  work: (signal: AbortSignal) => Promise<Value>,
  outer?: AbortSignal,
): Promise<Value> {
  const controller = new AbortController();
  return settledBy(clock, limitMs, what, controller, () => work(controller.signal), outer);
}

/** What work within a limit may ask about it. */
export interface Limit {
  /** Made when it is asked for: most work does not, and it costs more than a short wait. */
  readonly signal: AbortSignal;
  readonly isOver: boolean;
}

/** What is called to cut a wait short, with the reason. */
export type Cut = (reason: unknown) => void;

/** The same for many short waits: the signal is made only for work that wants it, and `outer` may be a set of those to be cut. */
export function withLimit<Value>(
  clock: Clock,
  limitMs: number,
  what: string,
  work: (limit: Limit) => Promise<Value>,
  outer?: AbortSignal | Set<Cut>,
): Promise<Value> {
  const limit = new LazyLimit();
  return settledBy(clock, limitMs, what, limit, () => work(limit), outer);
}

/** The same for work that is often done at once: then its value comes as it is, and neither timer nor promise is made for it. */
export function withDeadlineIfWaiting<Value>(
  clock: Clock,
  limitMs: number,
  what: string,
  work: (signal: AbortSignal) => Value | Promise<Value>,
  outer?: AbortSignal,
): Value | Promise<Value> {
  const controller = new AbortController();
  const begun = work(controller.signal);
  return begun instanceof Promise ? settledBy(clock, limitMs, what, controller, () => begun, outer) : begun;
}

class LazyLimit implements Limit {
  #controller: AbortController | undefined;
  #reason: unknown;
  isOver = false;

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.isOver) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.isOver = true;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

function settledBy<Value>(
  clock: Clock,
  limitMs: number,
  what: string,
  controller: { abort(reason: unknown): void },
  begin: () => Promise<Value>,
  outer: AbortSignal | Set<Cut> | undefined,
): Promise<Value> {
  // By hand instead of `Promise.race`: filters and tables are asked through here several times a mail.
  return new Promise((resolve, reject) => {
    const cut: Cut = (reason) => {
      leave();
      controller.abort(reason);
      reject(reason);
    };
    const timer = clock.after(limitMs, () => cut(new DeadlinePassed(what, limitMs)));
    const onOuter = (): void => cut(outer instanceof AbortSignal ? outer.reason : undefined);
    const leave = (): void => {
      timer.cancel();
      if (outer instanceof AbortSignal) outer.removeEventListener("abort", onOuter);
      else outer?.delete(cut);
    };
    if (outer instanceof AbortSignal) {
      if (outer.aborted) onOuter();
      else outer.addEventListener("abort", onOuter, { once: true });
    } else outer?.add(cut);
    try {
      begin().then(
        (value) => {
          leave();
          resolve(value);
        },
        (thrown: unknown) => {
          leave();
          reject(thrown);
        },
      );
    } catch (thrown) {
      leave();
      reject(thrown);
    }
  });
}
