import type { EnvelopeId } from "../../foundation/ids.ts";
import type { Failure } from "../envelope/failure.ts";
import type { GreylistingSettings } from "./greylisting-settings.ts";

/**
 * What a relay has learnt of its hosts' greylisting, and what it does about it. A machine over plain data that is changed
 * in place: refusals, acceptances and the time go in, what may be handed out and when comes out. It is there only
 * from the first refusal on, and forgotten some time after the last.
 *
 *     watching ──some in a row──→ presenting ──still refused──→ resting ⇄ probing
 *        ↑            └──the line is long──────────────────────────↑         │
 *        └───────────────────────────anybody accepted──────────────────────┘
 *
 * - `watching`: mail goes as usual; refused recipients follow the schedule.
 * - `presenting`: it seems to greylist, but all that is ready is presented in less time than waiting could save: everybody
 *   gets a first attempt now, as without a strategy; those refused come back after the first probe's wait.
 * - `resting`: nobody is tried (`holds: "all"`, the line is long), or nobody who was refused before.
 * - `probing`: the rest is over; those refused first, and some who were never tried, are tried. Nobody else before they
 *   have their answers.
 *
 * What the greylister remembers is learnt from who is accepted. After a probe that was: when those never tried are
 * accepted too, the client is known now, and all go. When they are refused, each recipient is known for itself (`keys`):
 * then nobody is held back, for each must be presented once, and presented again after what the first ones had to wait.
 * When those never tried are accepted and those refused before are not, it is no greylisting.
 */
export interface Greylist {
  phase: "watching" | "presenting" | "resting" | "probing";
  /** The different recipients last refused, none of them more than once; at most as many as make it suspicious. */
  run: string[];
  /** Refusals since the last acceptance: of different recipients, and of those that had been refused before. */
  refused: number;
  refusedAgain: number;
  firstRefusedAt: number;
  lastRefusedAt: number;
  /** The envelopes refused first: the ones that prove something, for their wait is the longest. */
  first: EnvelopeId[];
  /** Rests since anybody was accepted. */
  round: number;
  restsUntilAt: number;
  holds: "all" | "refused";
  /** While probing: how many may still be handed out, and what was answered. */
  probesLeft: { refused: number; untried: number };
  probeAnswers: number;
  /** Since the last probe that passed: acceptances of those refused before, and refusals in a row of those never tried. */
  passed: number;
  untriedRefused: number;
  keys: "unknown" | "recipient" | "none";
  keysUntilAt: number;
  /** The wait that was enough for those refused first. */
  passesAfterMs: number | undefined;
  /** Since when everybody is presented, and how many were refused since. */
  presentingSinceAt: number;
  presented: number;
  /** How many were ready then. */
  readyBefore: number;
  /** What presenting all that is ready would take, as it was known last. */
  sweepMs: number;
  /** The wait that the host named last; undefined: none. */
  toldMs: number | undefined;
  lastFailure: Failure | undefined;
}

export function newGreylist(): Greylist {
  return {
    phase: "watching",
    run: [],
    refused: 0,
    refusedAgain: 0,
    firstRefusedAt: 0,
    lastRefusedAt: 0,
    first: [],
    round: 0,
    restsUntilAt: 0,
    holds: "all",
    probesLeft: { refused: 0, untried: 0 },
    probeAnswers: 0,
    passed: 0,
    untriedRefused: 0,
    keys: "unknown",
    keysUntilAt: 0,
    passesAfterMs: undefined,
    presentingSinceAt: 0,
    presented: 0,
    readyBefore: 0,
    sweepMs: 0,
    toldMs: undefined,
    lastFailure: undefined,
  };
}

/** One answer to one envelope. */
export interface Answered {
  readonly envelope: EnvelopeId;
  readonly recipient: string;
  /** It had an attempt before this one. */
  readonly wasTried: boolean;
}

export interface Refused extends Answered {
  readonly failure: Failure;
  readonly toldMs: number | undefined;
}

/** What the machine cannot see. */
export interface Surroundings {
  readonly now: number;
  readonly rules: GreylistingSettings;
  /** How long presenting all that is ready would take, as far as is known. */
  readonly sweepMs: number;
  /** How many envelopes are ready. */
  readonly ready: number;
  /** When somebody who had never been tried was accepted last; 0: never. */
  readonly welcomedAt: number;
}

/** What came of it, for the log; undefined: nothing new. */
export type Learnt = "presenting" | "resting" | "put-off" | "recipient" | "none" | "passed" | undefined;

/** A probe is of so many who were refused, and as many who were not tried, as make it suspicious. */
export const MOST_FIRST = 10;
/**
 * In first waits. A rest before the two sweeps that a greylister of recipients needs makes them later by less than a tenth
 * when one sweep takes five waits; one more because nobody knows a list's length while it comes in.
 */
const LONG_LINE = 6;
/** A host that has just taken strangers does not greylist the client; a longer run says that something has changed. */
const WELCOME_MS = 3_600_000;
const WELCOME_RUN = 10;
const HOUR_MS = 3_600_000;
/** How long it is remembered that it is no greylisting, and an unfinished suspicion. */
const MEMORY_MS = HOUR_MS;
/**
 * The waits to be passed, counted from the first refusal; the first is `probe` itself. 25 minutes: OpenBSD's spamd
 * (spamd(8), `-G passtime`). Each is just before the instant at which the quadratic schedule would have tried, so that
 * finding out is never later than trying everybody: 2000, 5600, 12000 s. Then every hour.
 */
const PASS_TIMES_MS: readonly number[] = [1510, 1990, 3620, 5560, 7500, 9300, 11_900].map((s) => s * 1000);

/** An envelope was refused for now in a way that greylisting may be behind. */
export function onRefused(of: Greylist, refused: Refused, around: Surroundings): Learnt {
  const { now, rules } = around;
  note(of, refused, rules, now);
  of.sweepMs = around.sweepMs;
  if (rules.strategy === "batch") return refusedInBatch(of, around);
  forgetKeys(of, now);
  if (!refused.wasTried) of.untriedRefused++;
  if (of.keys !== "unknown") {
    if (of.keys === "recipient" && !refused.wasTried) of.keysUntilAt = now + rules.remember;
    return undefined;
  }
  if (of.passed > 0 && of.untriedRefused >= rules.after) return learnRecipient(of, around);
  switch (of.phase) {
    case "watching": {
      const isWelcome = around.welcomedAt > 0 && now - around.welcomedAt < WELCOME_MS;
      if (of.refused < rules.after * (isWelcome ? WELCOME_RUN : 1)) return undefined;
      if (isLong(of, around)) return rest(of, around, "all");
      of.phase = "presenting";
      of.presentingSinceAt = now;
      of.presented = 0;
      of.readyBefore = around.ready;
      of.refusedAgain = 0;
      return "presenting";
    }
    case "presenting":
      of.presented++;
      if (isLong(of, around)) return rest(of, around, "all");
      // They waited, and it did not help: perhaps because others were presented meanwhile. Once it is quiet for all.
      return of.refusedAgain >= rules.after ? rest(of, around, "all") : undefined;
    case "resting":
      // It was on its way when the rest began. The greylister may count from here.
      of.restsUntilAt = Math.max(of.restsUntilAt, of.holds === "all" ? now + firstWaitMs(of, rules) : 0);
      return undefined;
    case "probing":
      of.probeAnswers++;
      return undefined;
  }
}

/** An envelope was accepted. */
export function onAccepted(of: Greylist, accepted: Answered, around: Surroundings): Learnt {
  const { now, rules } = around;
  const { phase, round, firstRefusedAt, refusedAgain } = of;
  const wasSuspicious = phase !== "watching";
  if (rules.strategy === "adaptive") {
    forgetKeys(of, now);
    if (accepted.wasTried) {
      // What was refused before one passed says nothing of those who come after it.
      if (of.passed++ === 0) of.untriedRefused = 0;
      // After one rest its length was enough; after more the time since the first refusal is what is known.
      if (phase === "probing" || phase === "presenting")
        of.passesAfterMs = round <= 1 ? firstWaitMs(of, rules) : now - firstRefusedAt;
    } else {
      of.untriedRefused = 0;
      of.passed = 0;
      if (phase === "probing" && refusedAgain >= Math.min(rules.after, 3) && of.keys === "unknown") {
        open(of);
        of.keys = "none";
        of.keysUntilAt = now + MEMORY_MS;
        return "none";
      }
    }
  }
  open(of);
  return wasSuspicious ? "passed" : undefined;
}

/** May anything be handed out now? `none` until `restsUntilAt`, or until the probes have their answers. */
export function mayHandOut(of: Greylist): "any" | "untried" | "probes" | "none" {
  if (of.phase === "resting") return of.holds === "all" ? "none" : "untried";
  return of.phase === "probing" ? "probes" : "any";
}

/** The rest is over. True: those refused first are to be made ready, if they are not. */
export function endRest(of: Greylist, rules: GreylistingSettings): boolean {
  if (rules.strategy !== "adaptive") {
    open(of);
    return false;
  }
  of.phase = "probing";
  of.probesLeft = { refused: Math.min(rules.after, MOST_FIRST), untried: Math.min(rules.after, MOST_FIRST) };
  of.probeAnswers = 0;
  // What the probes say is counted anew, of the same recipients.
  of.run = [];
  of.refusedAgain = 0;
  return true;
}

/** All probes have their answers, and nobody was accepted; or there was nothing to try. */
export function endProbing(of: Greylist, around: Surroundings): Learnt {
  // Without any answer nothing was learnt: the sessions failed. What failed them has its own rests.
  if (of.probeAnswers === 0) {
    endRest(of, around.rules);
    return undefined;
  }
  return rest(of, around, isLong(of, around) ? "all" : "refused");
}

/**
 * When the envelope that was refused just now is to be tried again, before it is spread; undefined: as the schedule says.
 */
export function nextAttemptAt(of: Greylist, wasTried: boolean, around: Surroundings): number | undefined {
  const { now, rules } = around;
  if (rules.strategy === "none") return undefined;
  if (rules.strategy === "batch") {
    return of.phase === "resting" ? now + Math.ceil(1.1 * Math.max(of.restsUntilAt - now, 1000)) : undefined;
  }
  if (of.phase === "resting") return Math.max(of.restsUntilAt, now + 1000);
  // Nothing else will have come of the probes, as it seems; if it does, those refused first are fetched.
  if (of.phase === "probing") return restEndsAt(of, around, of.round + 1);
  if (of.phase === "presenting" && !wasTried) return now + firstWaitMs(of, rules);
  if (of.keys === "recipient" && !wasTried) return now + (of.passesAfterMs ?? firstWaitMs(of, rules));
  return undefined;
}

/** Until when there is something to remember. */
export function rememberedUntilAt(of: Greylist): number {
  return Math.max(
    of.lastRefusedAt + MEMORY_MS,
    of.restsUntilAt + MEMORY_MS,
    of.keys === "unknown" ? 0 : of.keysUntilAt,
  );
}

/**
 * Those refused before go first: when they are the probes; and where each recipient is known for itself, when presenting all
 * others before them would take so long that they might be forgotten over there (after 4 hours mostly). Otherwise they
 * are tried in their turn, so that the last one to be presented is not kept waiting, and the line with it.
 */
export function servesRefusedFirst(of: Greylist): boolean {
  if (of.phase === "resting" || of.phase === "probing") return true;
  return of.keys === "recipient" && of.sweepMs >= HOUR_MS;
}

function note(of: Greylist, refused: Refused, rules: GreylistingSettings, now: number): void {
  if (of.refused === 0) of.firstRefusedAt = now;
  of.lastRefusedAt = now;
  of.toldMs = refused.toldMs;
  of.lastFailure = refused.failure;
  if (of.first.length < MOST_FIRST && !of.first.includes(refused.envelope)) of.first.push(refused.envelope);
  // Five mails to one mailbox that is out of order say nothing about the others.
  if (of.run.includes(refused.recipient)) return;
  of.run.push(refused.recipient);
  if (of.run.length > rules.after) of.run.shift();
  of.refused++;
  if (refused.wasTried) of.refusedAgain++;
}

function open(of: Greylist): void {
  of.phase = "watching";
  of.run = [];
  of.refused = 0;
  of.refusedAgain = 0;
  of.round = 0;
  of.first = [];
  of.restsUntilAt = 0;
  of.lastFailure = undefined;
}

function learnRecipient(of: Greylist, { now, rules }: Surroundings): Learnt {
  open(of);
  of.keys = "recipient";
  of.keysUntilAt = now + rules.remember;
  of.passed = 0;
  return "recipient";
}

function forgetKeys(of: Greylist, now: number): void {
  if (of.keys === "unknown" || now < of.keysUntilAt) return;
  of.keys = "unknown";
  of.passesAfterMs = undefined;
  of.passed = 0;
  of.untriedRefused = 0;
}

/**
 * A line is long when its sweep takes so long that a first rest hardly counts beside it. A greylister of recipients needs
 * two sweeps; the rest before them must not make that later by more than a tenth.
 */
function isLong(of: Greylist, { now, rules, sweepMs, ready }: Surroundings): boolean {
  let leftMs = sweepMs;
  if (of.phase === "presenting" && of.presented >= rules.after && now - of.presentingSinceAt >= MEASURED_MS) {
    leftMs = Math.max(sweepMs, (ready * (now - of.presentingSinceAt)) / of.presented);
    // A list that is still coming in will, as far as anybody can tell, become as long again.
    if (ready > 2 * of.readyBefore + GROWN_BY) leftMs *= 2;
  }
  return leftMs >= LONG_LINE * firstWaitMs(of, rules);
}

/** Presenting is timed, and a line's growth looked at, over no less than this. */
const MEASURED_MS = 30_000;
const GROWN_BY = 1000;

/** What the host named, with a second more for clocks that count in whole ones; else the first probe's. */
function firstWaitMs(of: Greylist, rules: GreylistingSettings): number {
  return of.toldMs === undefined ? rules.probe : of.toldMs + 1000 + Math.ceil(of.toldMs / 100);
}

function rest(of: Greylist, around: Surroundings, holds: Greylist["holds"]): Learnt {
  of.phase = "resting";
  of.holds = holds;
  of.round++;
  of.restsUntilAt = restEndsAt(of, around, of.round);
  return "resting";
}

/** The first rest is the shortest wait that helps, in quiet. After it the next classes of waits have their turn. */
function restEndsAt(of: Greylist, { now, rules }: Surroundings, round: number): number {
  const least = of.lastRefusedAt + firstWaitMs(of, rules);
  if (round === 1 || of.toldMs !== undefined) return Math.max(least, now + 1000);
  const next = PASS_TIMES_MS.find((time) => of.firstRefusedAt + time >= Math.max(least, now + 1000));
  return next === undefined ? now + HOUR_MS : of.firstRefusedAt + next;
}

function refusedInBatch(of: Greylist, { now, rules }: Surroundings): Learnt {
  if (of.phase !== "watching" || of.refused < rules.after) return undefined;
  of.phase = "resting";
  of.holds = "all";
  of.round++;
  of.restsUntilAt = now + (of.toldMs === undefined ? rules.wait : firstWaitMs(of, rules));
  return "put-off";
}
