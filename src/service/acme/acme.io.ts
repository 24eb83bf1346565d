import { z } from "zod";
import type { Clock, Timer } from "../../foundation/clock.ts";
import { withDeadline, DeadlinePassed } from "../../foundation/deadline.ts";
import { messageOf } from "../../foundation/error.ts";
import type { Random } from "../../foundation/random.ts";
import type { Keeper, KeeperStore } from "../tls/keeper.ts";
import { SYSTEM_ANCHORS } from "../tls/keeper.ts";
import type { AcmeFinding, AcmeItem, AcmeStatus, Because } from "./acme.ts";
import { obtain, type Answerer } from "./obtain.io.ts";
import { afterFailure, nextStep, type Held, type PlanTerms, type Trouble } from "./plan.ts";
import { AcmeFailure, acmeProblem, type AcmeProblem } from "./problem.ts";
import type { AcmeSettings } from "./settings.ts";
import { httpsTransport } from "./transport.io.ts";

/** What is asked of the keeper. */
export type AcmeStore = Pick<KeeperStore, "held" | "requestFor" | "keepChain" | "accountKey" | "notes" | "keepNotes"> &
  Pick<Keeper, "anchors">;

export interface AcmeParts {
  readonly settings: AcmeSettings;
  /** The key of the external account binding. */
  readonly bindingKey?: string | undefined;
  readonly items: readonly AcmeItem[];
  readonly store: AcmeStore;
  readonly answerer: Answerer;
  readonly clock: Clock;
  readonly random: Random;
  readonly userAgent: string;
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
    for (const state of states) state.trouble = notes[noteName(state.item, settings)];
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
      const problem = await attempt(item);
      if (closing.signal.aborted) return;
      if (problem === undefined) {
        state.trouble = undefined;
        await loadHeld(state);
        const notAfterAt = state.held?.notAfterAt ?? 0;
        const tookMs = Math.round(clock.monotonicMs() - startedAtMs);
        onFinding({ kind: "issued", item, because, tookMs, notAfterAt });
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
  const attempt = async (item: AcmeItem): Promise<AcmeProblem | undefined> => {
    try {
      const chain = await withDeadline(
        clock,
        settings.deadline,
        "the order",
        (signal) => ask(item, signal),
        closing.signal,
      );
      const refusal = await store.keepChain(item.label, item.kind, chain);
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
  const ask = async (item: AcmeItem, signal: AbortSignal): Promise<string> => {
    const { eab, directory, email, challenge } = settings;
    const anchors = await store.anchors(settings.caFile ?? SYSTEM_ANCHORS);
    if (anchors.pems.length === 0)
      throw new AcmeFailure(
        acmeProblem(
          "untrusted",
          `there are no authorities to verify ${directory} with: ${anchors.problem ?? anchors.origin}`,
        ),
      );
    const accountKeyPem = await store.accountKey(directory);
    const requestPem = await store.requestFor(item.label, item.kind, item.names);
    const transport = httpsTransport({ authorities: anchors.pems, clock, signal, userAgent: parts.userAgent });
    try {
      return await obtain({
        directory,
        email,
        challenge,
        binding:
          eab === undefined || parts.bindingKey === undefined ? undefined : { keyId: eab.keyId, key: parts.bindingKey },
        accountKeyPem,
        names: item.names,
        requestPem,
        transport,
        answerer: parts.answerer,
        clock,
        signal,
      });
    } finally {
      transport.close();
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
