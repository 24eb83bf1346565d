import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { systemClock } from "../../../src/foundation/clock.io.ts";
import { withDeadline } from "../../../src/foundation/deadline.ts";
import { seededRandom, type Random } from "../../../src/foundation/random.ts";
import { LAYOUTS, type Layout } from "../../server.ts";
import type { Fault, Life } from "./fault.ts";
import { makeLedger, queued, unsoundness, waitedFor, type Ledger, type Window } from "./ledger.ts";
import { beginLife, type WatchedLife } from "./life.ts";

/**
 * One round: a server in an empty folder comes under load, one to three faults are played, all is mended; mail must go on,
 * and when it has come to its end, the account is made up. A seed and the number of a round repeat what was drawn.
 */
export interface Drawn {
  readonly round: number;
  readonly layout: Layout;
  readonly faults: readonly Fault[];
  readonly random: Random;
}

export interface RoundResult extends Drawn {
  readonly ledger: Ledger;
  /** What was done, in words. */
  readonly played: readonly string[];
  readonly problems: readonly string[];
  /** Seconds until it was up and had mail, of the faults, until mail went on, until all had come to its end. */
  readonly phases: readonly number[];
  readonly tookMs: number;
  /** Kept when there are problems. */
  readonly folder: string;
}

const SPLIT_SHARE = 0.8;
const MOST_FAULTS = 3;

/** Each fault comes first once before any comes first again; what is played beside it is left to chance. */
export function drawRound(
  seed: number,
  round: number,
  faults: readonly Fault[],
  only?: Partial<Pick<Drawn, "layout">>,
): Drawn {
  const random = seededRandom(seed * 1_000_003 + round);
  const cycle = Math.floor(round / faults.length);
  const first = shuffled(faults, seededRandom(seed + cycle))[round % faults.length];
  if (first === undefined) throw new Error("there is no fault that can be played here");
  const drawnLayout: Layout = random.next() < SPLIT_SHARE ? "split" : "single";
  const layout = only?.layout ?? (first.layouts.includes(drawnLayout) ? drawnLayout : (first.layouts[0] ?? "split"));
  const chosen = [first];
  const count = 1 + Math.floor(random.next() * MOST_FAULTS);
  for (const fault of shuffled(faults, random)) {
    const fits =
      fault.layouts.includes(layout) &&
      !chosen.some((one) => one === fault || excludes(one, fault) || excludes(fault, one));
    if (chosen.length < count && fits) chosen.push(fault);
  }
  return { round, layout, faults: chosen, random };
}

function excludes(one: Fault, other: Fault): boolean {
  return one.excludes?.includes(other.name) === true;
}

function shuffled<Item>(items: readonly Item[], random: Random): readonly Item[] {
  return items
    .map((item) => ({ item, at: random.next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

/** How long this may take, on a slow machine. */
const UP_WITHIN_MS = 180_000;
const GOES_ON_WITHIN_MS = 120_000;
const ENDS_WITHIN_MS = 120_000;
/** A fault comes and goes in seconds; a start of the server may lie between. */
const FAULT_WITHIN_MS = 240_000;
/** A client waits at most a minute for a reply. */
const CLIENTS_LEAVE_WITHIN_MS = 90_000;
const GONE_WITHIN_MS = 90_000;
/** Deliveries that are promised before the first fault, and after the last. */
const SOME = 12;

export async function playRound(drawn: Drawn): Promise<RoundResult> {
  const startedAt = performance.now();
  const folder = mkdtempSync(join(tmpdir(), "posthorn-faults-"));
  chmodSync(folder, 0o755);
  const { layout, random, faults } = drawn;
  const life = await beginLife({ layout, folder, random });
  const played: string[] = [];
  const problems: string[] = [];
  const windows: Window[] = [];
  let ledger: Ledger | undefined;
  const phases: number[] = [];
  let phaseAtMs = startedAt;
  const phaseEnds = (): void => {
    phases.push((performance.now() - phaseAtMs) / 1000);
    phaseAtMs = performance.now();
  };
  try {
    for (const fault of faults) fault.prepare?.(life);
    // Who starts with too little may not come up before that is mended.
    const isUp = life.up(UP_WITHIN_MS);
    isUp.catch(() => {});
    if (!faults.some(({ name }) => name.endsWith("-at-start"))) {
      await isUp;
      await promised(life, SOME);
    }
    phaseEnds();
    await Promise.all(
      faults.map((fault, index) =>
        within(FAULT_WITHIN_MS, `the fault ${fault.name}`, () => suffer(life, fault, index, played, windows)),
      ),
    );
    phaseEnds();
    await life.up(UP_WITHIN_MS);
    await promised(life, life.account.promised.size + SOME);
    phaseEnds();
    await within(CLIENTS_LEAVE_WITHIN_MS, "the leaving of the clients", () => life.account.stop());
    await ended(life, async () => {
      for (const fault of faults) if (fault.cure !== undefined) played.push(await fault.cure(life));
    });
    phaseEnds();
    const status = await life.stop();
    if (status !== 0) problems.push(`the server's last stop ended with ${status}`);
  } catch (thrown) {
    problems.push(wordsOf(thrown));
    problems.push(life.picture());
  } finally {
    await orProblem(
      problems,
      within(CLIENTS_LEAVE_WITHIN_MS, "the leaving of the clients", () => life.account.stop()),
    );
    const interruptions =
      life.ends() + countOf(life.output(), /starting it again|until it is recovered|not recovered/g) + windows.length;
    ledger = makeLedger({ account: life.account, folder, windows, interruptions });
    problems.push(...ledger.faults);
    const unsound = unsoundness(folder);
    if (unsound !== undefined) problems.push(unsound);
    await orProblem(
      problems,
      within(GONE_WITHIN_MS, "the end of the server", () => life[Symbol.asyncDispose]()),
    );
    for (const fault of faults) if (problems.length === 0) fault.tidy?.(life);
  }
  if (problems.length === 0) rmSync(folder, { recursive: true, force: true });
  else writeFileSync(join(folder, "problems.txt"), [...played, ...problems].join("\n"));
  return { ...drawn, ledger, played, problems, folder, phases, tookMs: performance.now() - startedAt };
}

function within(limitMs: number, what: string, work: () => PromiseLike<unknown>): Promise<unknown> {
  return withDeadline(systemClock, limitMs, what, async () => work());
}

async function orProblem(problems: string[], work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (thrown) {
    problems.push(wordsOf(thrown));
  }
}

function wordsOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

async function suffer(life: Life, fault: Fault, index: number, played: string[], windows: Window[]): Promise<void> {
  await wait(index * life.random.next() * 700);
  const fromMs = performance.now();
  played.push(`${fault.name}: ${await fault.play(life)}`);
  if (fault.mayRepeat) windows.push({ fault: fault.name, fromMs, untilMs: performance.now() });
}

/** Waits until so many deliveries have been promised. */
async function promised(life: WatchedLife, count: number): Promise<void> {
  const untilAt = performance.now() + GOES_ON_WITHIN_MS;
  while (life.account.promised.size < count) {
    if (performance.now() > untilAt)
      throw new Error(
        `mail does not go on: ${life.account.promised.size} of ${count} promised\n${life.output().slice(-3000)}`,
      );
    await wait(50);
  }
}

/**
 * Waits until all that was promised can be seen, and the queue is empty; the ledger tells what is not. `cure` is done once when
 * that takes long.
 */
async function ended({ account, folder }: WatchedLife, cure: () => Promise<void>): Promise<void> {
  const untilAt = performance.now() + ENDS_WITHIN_MS;
  let isCured = false;
  while (waitedFor(account, folder) > 0 || queued(folder) !== 0) {
    const leftMs = untilAt - performance.now();
    if (leftMs < 0) return;
    if (leftMs < ENDS_WITHIN_MS / 2 && !isCured) {
      isCured = true;
      await cure();
    }
    await wait(200);
  }
}

function countOf(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].length;
}

export function layoutOf(text: string | undefined): Layout | undefined {
  return LAYOUTS.find((layout) => layout === text);
}
