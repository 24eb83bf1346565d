/**
 * A delay as Postfix's lines write it: seconds with two significant digits below ten, whole seconds above, never more
 * than two decimals, no trailing zeros: 0, 0.01, 0.21, 1.2, 12, 3600.
 */
export function delayText(delayMs: number): string {
  // Less than half of the last decimal: most delays of mail that passes straight through.
  if (delayMs < 5) return "0";
  const seconds = delayMs / 1000;
  if (seconds >= 9.95) return String(Math.round(seconds));
  return String(Number(seconds.toFixed(seconds >= 0.995 ? 1 : 2)));
}

/** `delays=a/b/c/d`: before it was due, waiting for its turn, connecting, transmitting. */
export interface Delays {
  readonly totalMs: number;
  readonly beforeMs: number;
  readonly waitingMs: number;
  readonly connectMs: number;
  readonly transmitMs: number;
}

export function delaysText({ beforeMs, waitingMs, connectMs, transmitMs }: Delays): string {
  return `${delayText(beforeMs)}/${delayText(waitingMs)}/${delayText(connectMs)}/${delayText(transmitMs)}`;
}
