/**
 * How much there was in the last stretch of time. It slides in twelve steps: at most a twelfth more than a limit passes, never
 * less. Times are milliseconds since the epoch; a clock that is set back frees nothing and locks nobody out for longer.
 */
export interface SlidingWindow {
  readonly perMs: number;
  readonly steps: number[];
  /** The number of the newest step, counted from the epoch. */
  step: number;
  sum: number;
}

const STEPS = 12;

export function openWindow(perMs: number, now: number): SlidingWindow {
  return { perMs, steps: Array<number>(STEPS).fill(0), step: stepAt(now, perMs), sum: 0 };
}

/** Forgets what has left the window. */
export function slide(window: SlidingWindow, now: number): void {
  const step = stepAt(now, window.perMs);
  const gone = Math.min(STEPS, step - window.step);
  for (let n = 1; n <= gone; n++) {
    const at = (window.step + n) % STEPS;
    window.sum -= window.steps[at] ?? 0;
    window.steps[at] = 0;
  }
  if (step > window.step) window.step = step;
}

export function addTo(window: SlidingWindow, amount: number): void {
  const at = window.step % STEPS;
  window.sum += amount;
  window.steps[at] = (window.steps[at] ?? 0) + amount;
}

/** When so much has left it, unless more comes: the oldest steps first. */
export function freeAt(window: SlidingWindow, amount = 1): number {
  let freed = 0;
  for (let n = 1; n <= STEPS; n++) {
    freed += window.steps[(window.step + n) % STEPS] ?? 0;
    if (freed >= amount) return ((window.step + n) * window.perMs) / STEPS;
  }
  return ((window.step + STEPS) * window.perMs) / STEPS;
}

function stepAt(now: number, perMs: number): number {
  return Math.floor((now * STEPS) / perMs);
}
