import type { Clock } from "../../foundation/clock.ts";
import type { BackendHealth } from "./keyed-backend.ts";

/** Counts what a backend was asked, and how it went, for its `health()`. */
export interface BackendTally {
  /** Runs one question and counts it. The answer is handed on as it is. */
  count<Answer extends Counted>(work: () => Promise<Answer>): Promise<Answer>;
  /** Counts one that was asked at `beganMs` (monotonic) and is answered now; of several at once, each by itself. */
  note(answer: Counted, beganMs: number): void;
  /** For failures that belong to no question: a connection that broke, a file that was replaced by a torn one. */
  failed(text: string): void;
  /** What questions failed by is mended: how the last one went says nothing any more. */
  mended(): void;
  health(text: string): BackendHealth;
}

interface Counted {
  readonly kind: string;
  readonly text?: string;
}

/** Of a file: that it could be opened says more than nothing asked yet, and why it could not more than how the last question went. */
export function fileHealth(health: BackendHealth, isOpen: boolean, failure: string): BackendHealth {
  if (!isOpen) return failure === "" ? health : { ...health, state: "down", text: failure };
  return {
    ...health,
    state: health.state === "untried" ? "up" : health.state,
    ...(failure === "" ? {} : { text: `${failure}; the version before is in force` }),
  };
}

export function backendTally(clock: Clock): BackendTally {
  let queries = 0;
  let failures = 0;
  let totalMs = 0;
  let state: BackendHealth["state"] = "untried";
  let lastFailure: BackendHealth["lastFailure"];
  const failed = (text: string): void => {
    failures++;
    state = "down";
    lastFailure = { at: clock.now(), text };
  };
  const note = (answer: Counted, beganMs: number): void => {
    queries++;
    totalMs += clock.monotonicMs() - beganMs;
    if (answer.kind === "failed") failed(answer.text ?? "");
    else state = "up";
  };
  return {
    async count(work) {
      const began = clock.monotonicMs();
      const answer = await work();
      note(answer, began);
      return answer;
    },
    note,
    failed,
    mended() {
      if (state === "down") state = "untried";
    },
    health(text) {
      return {
        state,
        text,
        queries,
        failures,
        ...(lastFailure === undefined ? {} : { lastFailure }),
        ...(queries === 0 ? {} : { meanMs: Math.round((totalMs / queries) * 1000) / 1000 }),
      };
    },
  };
}
