import { sleep, type Clock } from "../../foundation/clock.ts";
import type { Authenticator, PasswordVerdict } from "./authenticator.ts";

/** A directory that was slow once shall not make every wrong password slow. */
const LONGEST_MS = 1000;
const REMEMBERED_MS = 3_600_000;

/**
 * Makes a no take as long as the slowest check of the last hour: PAM, a directory and a table with several schemes say no
 * sooner to a user whom they do not know than to a wrong password. The slowest is not forgotten by many quick ones, or
 * whoever guesses could first make them.
 */
export function levelTime(authenticator: Authenticator, clock: Clock): Authenticator {
  let slowest = { tookMs: 0, untilMs: 0 };
  return {
    ...authenticator,
    async checkPassword(user, password, signal, from): Promise<PasswordVerdict> {
      const beganMs = clock.monotonicMs();
      const verdict = await authenticator.checkPassword(user, password, signal, from);
      const nowMs = clock.monotonicMs();
      const tookMs = Math.min(nowMs - beganMs, LONGEST_MS);
      if (verdict.kind === "failed") return verdict;
      if (tookMs >= slowest.tookMs || nowMs >= slowest.untilMs) slowest = { tookMs, untilMs: nowMs + REMEMBERED_MS };
      if (verdict.kind === "wrong" && slowest.tookMs > tookMs) await sleep(clock, slowest.tookMs - tookMs);
      return verdict;
    },
  };
}
