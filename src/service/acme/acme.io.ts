import { z } from "zod";
import type { Clock, Timer } from "../../foundation/clock.ts";
import { withDeadline, DeadlinePassed } from "../../foundation/deadline.ts";
import { messageOf } from "../../foundation/error.ts";
import type { Random } from "../../foundation/random.ts";
import type { KeeperStore } from "../tls/keeper/keeper.ts";
import type { AcmeFinding, AcmeItem, AcmeStatus, Because } from "./acme.ts";
import type { Order } from "./order.io.ts";
import { afterFailure, afterIssue, nextStep, type Held, type PlanTerms, type Trouble } from "./plan.ts";
import { AcmeFailure, acmeProblem, type AcmeProblem } from "./problem.ts";
import type { AcmeSettings } from "./settings.ts";

export interface AcmeParts {
  readonly settings: AcmeSettings;
  readonly items: readonly AcmeItem[];
  /** What is asked of the keeper. */
  readonly store: Pick<KeeperStore, "held" | "keepChain" | "notes" | "keepNotes">;
  readonly order: Order;
  readonly clock: Clock;
  readonly random: Random;
  readonly onFinding: (finding: AcmeFinding) => void;
  /** `status` has changed. */
  readonly onStatus?: (() => void) | undefined;
}

export interface RunningAcme {
  status(): readonly AcmeStatus[];
  /** Asks for the certificates of a label anew, or for all; gives their labels. */
  renew(label?: string): readonly string[];
  /** An order that runs is given up. */
  close(): Promise<void>;
}

/** A reload may have started another like us: it lets go within this time. */
const START_AFTER_MS = 500;
/** The machine's clock may be set; the plan is looked at this often at least. */
const LOOK_AT_LEAST_MS = 3_600_000;
const STORE_RETRY_MS = 2000;

interface State {
  readonly item: AcmeItem;
  held: Held | undefined;
  trouble: Trouble | undefined;
  isAsked: boolean;
  isRunning: boolean;
}

/** Gets the certificates of `items` and renews them in time, one at a time, until closed. */
export function startAcme(parts: AcmeParts): RunningAcme {
  const { settings, items, store, clock, onFinding } = parts;
  const terms: PlanTerms = { renewBeforeMs: settings.renewBefore, firstRetryMs: settings.firstRetry };
  const closing = new AbortController();
  const states: State[] = items.map((item) => ({
    item,
    held: undefined,
    trouble: undefined,
    isAsked: false,
    isRunning: false,
  }));
  let isKnown = false;
  let timer: Timer | undefined;
  let working: Promise<void> = Promise.resolve();
  let isWorking = false;
  let told = "";

  const tell = (text: string): void => {
    if (text !== told) onFinding({ kind: "trouble", text });
    told = text;
  };
  const stepOf = (state: State) =>
    nextStep(
      { names: state.item.names, held: state.held, trouble: state.trouble, isAsked: state.isAsked },
      terms,
      clock.now(),
    );
  const loadHeld = async (state: State): Promise<void> => {
    const held = await store.held(state.item.label);
    state.held = held.find(({ keyKind }) => keyKind === state.item.kind);
  };
  const learn = async (): Promise<void> => {
    for (const state of states) await loadHeld(state);
    const notes = readNotes(await store.notes());
    for (const state of states) state.trouble ??= notes[noteName(state.item, settings)];
    isKnown = true;
    told = "";
    parts.onStatus?.();
  };
  const note = async (): Promise<void> => {
    const troubles = states.flatMap(({ item, trouble }) =>
      trouble === undefined ? [] : [[noteName(item, settings), trouble]],
    );
    const problem = await store.keepNotes(JSON.stringify({ version: 1, troubles: Object.fromEntries(troubles) }));
    if (problem !== undefined) tell(`what went wrong cannot be noted for the next start: ${problem}`);
  };

  const run = async (state: State, because: Because): Promise<void> => {
    const startedAtMs = clock.monotonicMs();
    const { item } = state;
    state.isRunning = true;
    state.isAsked = false;
    parts.onStatus?.();
    try {
      const problem = await attempt(state);
      if (closing.signal.aborted) return;
      if (problem === undefined) {
        const notAfterAt = state.held?.notAfterAt ?? 0;
        const tookMs = Math.round(clock.monotonicMs() - startedAtMs);
        onFinding({ kind: "issued", item, because, tookMs, notAfterAt });
        const standing = { names: item.names, held: state.held };
        state.trouble = afterIssue(state.trouble, standing, terms, clock.now(), parts.random.next());
        if (state.trouble !== undefined) onFinding({ kind: "repeated", item, ...state.trouble });
      } else {
        const trouble = afterFailure(state.trouble, problem, terms, clock.now(), parts.random.next());
        state.trouble = trouble;
        onFinding({ kind: "failed", item, problem, failures: trouble.failures, nextAt: trouble.nextAt });
      }
      await note();
    } finally {
      state.isRunning = false;
      parts.onStatus?.();
    }
  };
  /** Why it did not work. Never throws. */
  const attempt = async (state: State): Promise<AcmeProblem | undefined> => {
    const { item } = state;
    try {
      const chain = await withDeadline(
        clock,
        settings.deadline,
        "the order",
        (signal) => parts.order(item, signal),
        closing.signal,
      );
      // A keeper that leaves now may have kept it: it is asked what it has before there is another order.
      isKnown = false;
      const refusal = await store.keepChain(item.label, item.kind, chain);
      await loadHeld(state);
      isKnown = true;
      return refusal === undefined
        ? undefined
        : acmeProblem("keeper", `the certificate that was issued cannot be used: ${refusal}`);
    } catch (thrown) {
      if (thrown instanceof AcmeFailure) return thrown.problem;
      if (thrown instanceof DeadlinePassed)
        return acmeProblem("timeout", `the authority had not issued it after ${Math.round(thrown.limitMs / 1000)} s`);
      return acmeProblem("keeper", messageOf(thrown));
    }
  };
  const work = async (): Promise<void> => {
    if (!isKnown)
      try {
        await learn();
      } catch (thrown) {
        tell(`certificates of ACME wait for the keeper: ${messageOf(thrown)}`);
        plan(STORE_RETRY_MS);
        return;
      }
    const [first] = states
      .map((state) => ({ state, step: stepOf(state) }))
      .toSorted((one, other) => one.step.at - other.step.at);
    if (first === undefined) return;
    const waitMs = first.step.at - clock.now();
    if (waitMs > 0) {
      plan(Math.min(waitMs, LOOK_AT_LEAST_MS));
      return;
    }
    await run(first.state, first.step.because);
    plan(0);
  };
  const plan = (afterMs: number): void => {
    timer?.cancel();
    if (closing.signal.aborted) return;
    timer = clock.after(afterMs, () => {
      timer = undefined;
      isWorking = true;
      working = work()
        .catch((thrown: unknown) => {
          tell(messageOf(thrown));
          plan(STORE_RETRY_MS);
        })
        .finally(() => {
          isWorking = false;
        });
    });
  };
  if (states.length > 0) plan(START_AFTER_MS);

  return {
    status: () =>
      states.map((state) => ({
        ...state.item,
        isRunning: state.isRunning,
        failures: state.trouble?.failures ?? 0,
        ...(isKnown ? { nextAt: stepOf(state).at } : {}),
        ...(state.trouble === undefined ? {} : { problem: state.trouble.problem }),
      })),
    renew(label) {
      const chosen = states.filter(
        ({ item }) => label === undefined || item.label === label || item.names.includes(label),
      );
      for (const state of chosen) state.isAsked = true;
      if (chosen.length > 0 && !isWorking) plan(0);
      return [...new Set(chosen.map(({ item }) => item.label))];
    },
    async close() {
      closing.abort(new Error("the server stops"));
      timer?.cancel();
      await working;
    },
  };
}

const notesForm = z.object({
  version: z.literal(1),
  troubles: z.record(
    z.string(),
    z.object({
      failures: z.number().int().min(1),
      nextAt: z.number(),
      problem: z.object({
        type: z.string(),
        text: z.string(),
        cure: z.string(),
        retryAfterMs: z.number().optional(),
      }),
    }),
  ),
});

/** Notes that cannot be read are none: the worst that comes of it is one order too many. */
function readNotes(text: string | undefined): Readonly<Record<string, Trouble | undefined>> {
  try {
    const parsed = notesForm.safeParse(JSON.parse(text ?? ""));
    return parsed.success ? parsed.data.troubles : {};
  } catch {
    return {};
  }
}

/** Failures are forgotten when something else is asked for, or in another way. */
function noteName(item: AcmeItem, settings: AcmeSettings): string {
  return [item.label, item.kind, settings.directory, settings.challenge, ...item.names].join(" ");
}
