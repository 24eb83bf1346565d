import { Worker } from "node:worker_threads";
import { ownModule } from "../../foundation/own-module.ts";
import type { Clock, Timer } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import type { PasswordVerdict } from "./authenticator.ts";
import type { SystemPasswords, SystemQuestion } from "./system-passwords.ts";

/** PAM asks whatever its files name, over a network perhaps; a thread that hangs counts as busy until it comes back. */
const DEADLINE_MS = 30_000;
const IDLE_MS = 60_000;
/** Checks that wait for a thread; beyond that the answer is at once that nobody knows. */
const MOST_WAITING = 1000;

export interface RunningSystemPasswords extends SystemPasswords {
  close(): Promise<void>;
}

interface Checker {
  readonly worker: Worker;
  busy: ((verdict: PasswordVerdict) => void) | undefined;
  idle: Timer | undefined;
}

/**
 * The system's passwords, checked in threads: getspnam(3), crypt(3) and PAM are calls that return when they please. There
 * are at most `atOnce` threads, none before the first question, and those that nobody needs end after a minute.
 */
export function systemPasswords(options: { clock: Clock; atOnce: () => number }): RunningSystemPasswords {
  const { clock } = options;
  const checkers = new Set<Checker>();
  const waiting: ((checker: Checker | undefined) => void)[] = [];
  let isClosed = false;

  const end = (checker: Checker, verdict: PasswordVerdict): void => {
    checkers.delete(checker);
    checker.idle?.cancel();
    checker.busy?.(verdict);
    checker.busy = undefined;
    void checker.worker.terminate();
    // Its place is free for whoever waits.
    if (waiting.length > 0 && checkers.size < options.atOnce()) waiting.shift()?.(isClosed ? undefined : begin());
  };
  const begin = (): Checker => {
    const worker = new Worker(ownModule("service/account/system-checker.io"));
    worker.unref();
    const checker: Checker = { worker, busy: undefined, idle: undefined };
    checkers.add(checker);
    worker.on("message", (verdict: PasswordVerdict) => {
      checker.busy?.(verdict);
      checker.busy = undefined;
      release(checker);
    });
    worker.on("error", (error) => end(checker, { kind: "failed", text: messageOf(error) }));
    worker.on("exit", () => end(checker, { kind: "failed", text: "the thread that checks passwords has ended" }));
    return checker;
  };
  /** For the next who waits, or for a while for nobody. */
  const release = (checker: Checker): void => {
    const next = waiting.shift();
    if (next !== undefined) next(checker);
    else checker.idle = clock.after(IDLE_MS, () => end(checker, { kind: "failed", text: "ended" }));
  };
  const turn = (): Promise<Checker | undefined> => {
    const free = [...checkers].find((checker) => checker.idle !== undefined);
    if (free !== undefined) {
      // At once: another question may come before this one is handed over.
      free.idle?.cancel();
      free.idle = undefined;
      return Promise.resolve(free);
    }
    if (checkers.size < options.atOnce()) return Promise.resolve(begin());
    if (waiting.length >= MOST_WAITING) return Promise.resolve(undefined);
    return new Promise((resolve) => waiting.push(resolve));
  };

  const check = async (question: SystemQuestion): Promise<PasswordVerdict> => {
    const what = question.by === "pam" ? `PAM (service ${question.service})` : "the shadow file";
    const asked = Promise.withResolvers<PasswordVerdict>();
    let isOver = false;
    const timer = clock.after(DEADLINE_MS, () => {
      isOver = true;
      asked.resolve({ kind: "failed", text: `${what} did not answer within ${DEADLINE_MS / 1000} s` });
    });
    void turn().then((checker) => {
      if (checker === undefined) {
        asked.resolve({ kind: "failed", text: "too many password checks wait" });
        return;
      }
      if (isOver) {
        release(checker);
        return;
      }
      checker.busy = asked.resolve;
      checker.worker.postMessage(question);
    });
    try {
      return await asked.promise;
    } finally {
      timer.cancel();
    }
  };
  return {
    checkSystemPassword: (question) =>
      isClosed ? Promise.resolve({ kind: "failed", text: "no more passwords are checked" }) : check(question),
    async close() {
      isClosed = true;
      for (const next of waiting.splice(0)) next(undefined);
      for (const checker of checkers) end(checker, { kind: "failed", text: "no more passwords are checked" });
    },
  };
}
