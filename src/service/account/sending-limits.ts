import type { Clock } from "../../foundation/clock.ts";
import { addTo, freeAt, openWindow, slide, type SlidingWindow } from "../../foundation/sliding-window.ts";
import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import { formatRate, parseRate, type Rate } from "../../foundation/units.ts";
import { accountKey } from "./account-key.ts";

/**
 * How much each account may send in a time, counted over all its sessions in all processes: what a stolen password is good
 * for has a bound. A window slides in twelve steps, so at most a twelfth more than the limit passes, never less.
 *
 * Memory is bounded: of too many accounts the one that has sent nothing for longest is forgotten. Nothing outlives the
 * process.
 */
export interface SendingLimit {
  readonly messages?: Rate | undefined;
  readonly recipients?: Rate | undefined;
}

export type Sent = keyof SendingLimit;

export type Spent =
  | { readonly ok: true }
  /** In the words of the settings: `recipients 500/d`. */
  | { readonly ok: false; readonly limit: string; readonly againAt: number }
  | { readonly ok: "failed"; readonly text: string };

export interface ShownSender {
  readonly account: string;
  readonly what: Sent;
  readonly sent: number;
  readonly limit: number;
  readonly perMs: number;
  /** Refused since it was full. */
  readonly refused: number;
  readonly lastAt: number;
}

const MOST_ACCOUNTS = 50_000;

interface Window {
  readonly sent: SlidingWindow;
  refused: number;
  lastAt: number;
  rate: Rate;
}

export class SendingLimits {
  readonly #clock: Clock;
  readonly #windows = new Map<string, Window>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts one more, if it may be. */
  spend(account: string, what: Sent, rate: Rate): Spent {
    const now = this.#clock.now();
    const window = this.#windowOf(account, what, rate, now);
    if (window.sent.sum >= rate.count) {
      window.refused++;
      return { ok: false, limit: `${what} ${formatRate(rate)}`, againAt: freeAt(window.sent) };
    }
    window.refused = 0;
    window.lastAt = now;
    addTo(window.sent, 1);
    return { ok: true };
  }

  /** Those who have sent something within their time, the nearest to its limit first. */
  shown(): readonly ShownSender[] {
    const now = this.#clock.now();
    const rows: ShownSender[] = [];
    for (const [key, window] of this.#windows) {
      slide(window.sent, now);
      if (window.sent.sum === 0) continue;
      const { rate, refused, lastAt } = window;
      const [what = "messages", ...account] = key.split(" ");
      rows.push({
        account: account.join(" "),
        what: what as Sent,
        sent: window.sent.sum,
        limit: rate.count,
        perMs: rate.perMs,
        refused,
        lastAt,
      });
    }
    return rows.toSorted((a, b) => b.sent / b.limit - a.sent / a.limit || (a.account < b.account ? -1 : 1));
  }

  /** Lets an account begin anew. */
  clear(account: string): number {
    return (["messages", "recipients"] as const).filter((what) => this.#windows.delete(keyOf(account, what))).length;
  }

  #windowOf(account: string, what: Sent, rate: Rate, now: number): Window {
    const key = keyOf(account, what);
    let window = this.#windows.get(key);
    if (window !== undefined && window.rate.perMs === rate.perMs) {
      window.rate = rate;
      slide(window.sent, now);
    } else window = { sent: openWindow(rate.perMs, now), refused: 0, lastAt: now, rate };
    // The last in the map has sent last.
    this.#windows.delete(key);
    this.#windows.set(key, window);
    const oldest = this.#windows.keys().next();
    if (this.#windows.size > 2 * MOST_ACCOUNTS && oldest.done !== true) this.#windows.delete(oldest.value);
    return window;
  }
}

function keyOf(account: string, what: Sent): string {
  return `${what} ${accountKey(account)}`;
}

/** An account's own limits as a table has them: `messages=1000/h recipients=5000/d`, or `none`. */
export function parseSendingLimit(text: string): Result<SendingLimit, Problem> {
  const limits: { messages?: Rate; recipients?: Rate } = {};
  for (const word of text.trim() === "none" ? [] : text.trim().split(/[\s,]+/)) {
    const [name = "", value = ""] = word.split("=");
    if (name !== "messages" && name !== "recipients")
      return refused({ at: 0, expected: `messages=RATE or recipients=RATE, or none, not ${JSON.stringify(word)}` });
    const rate = parseRate(value);
    if (!rate.ok) return refused({ at: 0, expected: `${name}=${rate.problem.expected}` });
    limits[name] = rate.value;
  }
  return ok(limits);
}
