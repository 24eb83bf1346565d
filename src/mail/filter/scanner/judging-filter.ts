import type { Clock } from "../../../foundation/clock.ts";
import { messageOf } from "../../../foundation/error.ts";
import type {
  Filter,
  FilterDialogue,
  FilterHealth,
  FilterMail,
  FilterStage,
  MailVerdict,
  StageVerdict,
} from "../filter.ts";
import type { FilterWorld } from "../filter-world.ts";
import { mailInWords, verdictInWords } from "./trace-words.ts";

/** What is behind a filter that judges whole mails, each by itself. */
export interface Judge {
  /** Where it is, for people. */
  readonly where: string;
  readonly judge: (mail: FilterMail, signal: AbortSignal) => Promise<MailVerdict>;
  /** Whether it is there, asked when somebody looks at its health before any mail was judged. Rejects with why not. */
  readonly probe?: (() => Promise<void>) | undefined;
  readonly close?: (() => Promise<void>) | undefined;
  /** It may pass mail on itself. */
  readonly handsOver?: boolean | undefined;
}

/** A scanner as a filter: it has no conversation, so a session's dialogue with it is only the judging of its mails. */
export function judgingFilter(
  name: string,
  judge: Judge,
  { clock, trace }: Pick<FilterWorld, "clock" | "trace">,
): Filter {
  const tally = createTally(judge.where, clock);
  const judged = async (mail: FilterMail, signal: AbortSignal): Promise<MailVerdict> => {
    if (trace.isOn) trace.show(`${name} > ${mailInWords(mail)}`);
    const verdict = await judge.judge(mail, signal);
    if (trace.isOn) trace.show(`${name} < ${verdictInWords(verdict)}`);
    return verdict;
  };
  const dialogue: FilterDialogue = {
    ask: async () => ({ kind: "proceed" }) satisfies StageVerdict,
    judge: (mail, signal) => tally.count(() => judged(mail, signal)),
    end: () => {},
  };
  return {
    name,
    stages: MESSAGE_ONLY,
    handsOver: judge.handsOver,
    open: () => dialogue,
    health() {
      if (judge.probe !== undefined) tally.look(judge.probe);
      return tally.health();
    },
    close: async () => judge.close?.(),
  };
}

const MESSAGE_ONLY: ReadonlySet<FilterStage> = new Set(["message"]);

/** Counts for `health()`: how often it was asked, how often in vain, how long it took. */
export function createTally(
  where: string,
  clock: Clock,
): {
  count<Answer>(ask: () => Promise<Answer>): Promise<Answer>;
  /** Asks once whether it is there, unless that is known; the next `health` knows. */
  look(probe: () => Promise<void>): void;
  health(): FilterHealth;
} {
  let state: FilterHealth["state"] = "untried";
  let asked = 0;
  let failures = 0;
  let answers = 0;
  let sumMs = 0;
  let lastFailure: FilterHealth["lastFailure"];
  let isLooking = false;
  const failed = (thrown: unknown): void => {
    state = "down";
    lastFailure = { at: clock.now(), text: messageOf(thrown) };
  };
  const lookNow = async (probe: () => Promise<void>): Promise<void> => {
    try {
      await probe();
      state = "up";
    } catch (thrown) {
      failed(thrown);
    }
    isLooking = false;
  };
  return {
    async count(ask) {
      asked++;
      const startedMs = clock.monotonicMs();
      try {
        const answer = await ask();
        answers++;
        sumMs += clock.monotonicMs() - startedMs;
        state = "up";
        return answer;
      } catch (thrown) {
        failures++;
        failed(thrown);
        throw thrown;
      }
    },
    look(probe) {
      if (state === "up" || isLooking) return;
      isLooking = true;
      void lookNow(probe);
    },
    health: () => ({
      state,
      text: state === "down" && lastFailure !== undefined ? lastFailure.text : where,
      asked,
      failures,
      ...(lastFailure === undefined ? {} : { lastFailure }),
      ...(answers === 0 ? {} : { meanMs: sumMs / answers }),
    }),
  };
}
