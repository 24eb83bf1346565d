/**
 * A delay as Postfix's lines write it: seconds with two significant digits below ten, whole seconds above, never more
 * than two decimals, no trailing zeros: 0, 0.01, 0.21, 1.2, 12, 3600.
 */
export function delayText(delayMs: number): string {
  const seconds = Math.max(0, delayMs) / 1000;
  const decimals = seconds >= 9.95 ? 0 : seconds >= 0.995 ? 1 : 2;
  return String(Number(seconds.toFixed(decimals)));
}

/** `delays=a/b/c/d`: before it was due, waiting for its turn, connecting, transmitting. */
export interface Delays {
  readonly totalMs: number;
  readonly beforeMs: number;
  readonly waitingMs: number;
  readonly connectMs: number;
  readonly transmitMs: number;
}

export function delaysText(delays: Delays): string {
  return [delays.beforeMs, delays.waitingMs, delays.connectMs, delays.transmitMs].map(delayText).join("/");
}
