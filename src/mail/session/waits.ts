import type { SessionSettings } from "./settings.ts";

/** How long a client is waited for, and for what, in the words of the log. */
export interface Wait {
  readonly ms: number;
  readonly what: string;
}

/** For its next command; a session has its time in all, too. */
export function commandWait(settings: SessionSettings, sessionMs: number): Wait {
  const leftMs = Math.max(0, settings.sessionTimeout - sessionMs);
  if (leftMs < settings.commandTimeout) return { ms: leftMs, what: "session" };
  return { ms: settings.commandTimeout, what: "command" };
}

/** For more content. Silence has its limit, and so has slowness: each byte buys its share of time at the slowest rate. */
export function contentWait(settings: SessionSettings, spentMs: number, bytes: number): Wait {
  const { slowestRate, slowGrace, dataTimeout } = settings;
  if (slowestRate === 0) return { ms: dataTimeout, what: "content" };
  const leftMs = slowGrace + (bytes / slowestRate) * 1000 - spentMs;
  if (leftMs < dataTimeout) return { ms: Math.max(0, leftMs), what: "content: too slow" };
  return { ms: dataTimeout, what: "content" };
}
