import { formatDuration } from "../../foundation/units.ts";
import { servesName } from "../tls/keeper/certificate.ts";
import type { Because } from "./acme.ts";
import { acmeProblem, type AcmeProblem } from "./problem.ts";

/** What is known of a certificate. */
export interface Standing {
  readonly names: readonly string[];
  /** The one that is there. */
  readonly held?: Held | undefined;
  readonly trouble?: Trouble | undefined;
  /** Somebody wants it now, whatever went wrong before. */
  readonly isAsked: boolean;
}

export interface Held {
  readonly names: readonly string[];
  readonly notBeforeAt: number;
  readonly notAfterAt: number;
  readonly fingerprint: string;
}

/** Failures since the last success (orders that were for nothing are failures, too), and until when nothing is tried. */
export interface Trouble {
  readonly failures: number;
  readonly nextAt: number;
  readonly problem: AcmeProblem;
}

export interface PlanTerms {
  readonly renewBeforeMs?: number | undefined;
  readonly firstRetryMs: number;
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
/** Nobody is made to wait longer, whatever an authority or a clock that was wrong says. */
const LONGEST_WAIT_MS = 7 * DAY_MS;
const LONGEST_RETRY_MS = DAY_MS;
const SHORT_LIFE_MS = 10 * DAY_MS;
/** Between orders for one certificate, unless it lives for less than a day. */
const REST_MS = 3_600_000;

/** When the next order for a certificate is due, and why. */
export function nextStep(standing: Standing, terms: PlanTerms, nowAt: number): { at: number; because: Because } {
  const { held, trouble } = standing;
  if (standing.isAsked) return { at: nowAt, because: "asked" };
  const wanted: { at: number; because: Because } =
    held === undefined
      ? { at: nowAt, because: "first" }
      : !servesAll(held, standing.names)
        ? { at: nowAt, because: "names" }
        : { at: renewalAt(held, terms.renewBeforeMs), because: "renewal" };
  const notBeforeAt = trouble === undefined ? 0 : Math.min(trouble.nextAt, nowAt + LONGEST_WAIT_MS);
  return { at: Math.max(wanted.at, notBeforeAt), because: wanted.because };
}

/**
 * When a certificate is renewed. Spread over the last tenth of the time before by its own fingerprint, so that a thousand
 * servers set up in one hour do not come back in one hour. Never in the first tenth of its life, whatever the settings say: a
 * certificate that is always too old would be asked for again and again.
 */
export function renewalAt(
  held: Pick<Held, "notBeforeAt" | "notAfterAt" | "fingerprint">,
  renewBeforeMs?: number,
): number {
  const lifeMs = held.notAfterAt - held.notBeforeAt;
  const beforeMs = renewBeforeMs ?? (lifeMs < SHORT_LIFE_MS ? lifeMs / 2 : lifeMs / 3);
  const spread = Number.parseInt(held.fingerprint.slice(0, 8), 16) / 2 ** 32;
  const at = held.notAfterAt - beforeMs * (1 + (Number.isNaN(spread) ? 0 : spread) / 10);
  return Math.round(Math.max(at, held.notBeforeAt + lifeMs / 10));
}

/**
 * What a failure costs: quadratic waits, up to a day, a quarter of it by chance, and never less than the authority asked for.
 */
export function afterFailure(
  before: Trouble | undefined,
  problem: AcmeProblem,
  terms: Pick<PlanTerms, "firstRetryMs">,
  nowAt: number,
  random: number,
): Trouble {
  const failures = (before?.failures ?? 0) + 1;
  const waitMs = Math.min(terms.firstRetryMs * failures ** 2, LONGEST_RETRY_MS) * (1 + random / 4);
  const askedMs = Math.min(problem.retryAfterMs ?? 0, LONGEST_WAIT_MS);
  return { failures, problem, nextAt: Math.round(nowAt + Math.max(waitMs, askedMs)) };
}

/**
 * What follows from a certificate that has just been issued: nothing, unless another one is due at once. Authorities allow a few
 * of the same in a week, so that costs waits as failures do, of an hour at least.
 */
export function afterIssue(
  before: Trouble | undefined,
  standing: Pick<Standing, "names" | "held">,
  terms: PlanTerms,
  nowAt: number,
  random: number,
): Trouble | undefined {
  const { held } = standing;
  const lifeMs = held === undefined ? REST_MS : held.notAfterAt - held.notBeforeAt;
  const dueAt = nextStep({ ...standing, isAsked: false }, terms, nowAt).at;
  if (dueAt - nowAt > Math.min(REST_MS, lifeMs / 20)) return undefined;
  const text = (durationMs: number): string => formatDuration(Math.round(durationMs / MINUTE_MS) * MINUTE_MS);
  const why =
    held === undefined
      ? "the keeper has taken it, and does not have it"
      : `it is for ${text(lifeMs)}, and by this machine's clock ${text(nowAt - held.notBeforeAt)} old`;
  const problem = acmeProblem("dueAgain", `it was issued and is due again at once: ${why}`, REST_MS);
  return afterFailure(before?.problem.type === problem.type ? before : undefined, problem, terms, nowAt, random);
}

/** More names than were asked for are no reason for another order: some authorities add `www.`. */
function servesAll(held: Held, names: readonly string[]): boolean {
  const served = { names: held.names.map((name) => name.toLowerCase()) };
  return names.every((name) => servesName(served, name));
}
