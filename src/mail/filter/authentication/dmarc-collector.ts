import type { Clock, Timer } from "../../../foundation/clock.ts";
import type { DmarcReportPolicy, DmarcReportRow } from "../../../protocol/authentication/dmarc-report.ts";
import type { DmarcObservation } from "./dmarc-observation.ts";

/** Where observations are kept until a domain's report is made: in the lookup role, which remembers things for others. */
export interface DmarcReportPort {
  noteDmarc(observations: readonly DmarcObservation[]): Promise<void>;
  /** The next report that is due, which nobody else gets for a quarter of an hour; undefined when there is none. */
  claimDmarcReport(): Promise<DmarcReportData | undefined>;
  /**
   * It was sent, or never will be (`outcome` says which); with `repeats` it is due again in an hour, for others than those in
   * `taken` and in what was claimed.
   */
  dmarcReportEnded(
    domain: string,
    day: number,
    outcome: string,
    repeats: boolean,
    taken?: readonly string[],
  ): Promise<void>;
}

/** What operators ask. */
export interface DmarcReportAdmin {
  dmarcReports(): Promise<readonly ShownDmarcReport[]>;
  dmarcReport(domain: string, day: number): Promise<DmarcReportData | undefined>;
  /** Makes reports due at once, of all domains or of one, the day that has not ended included; how many. */
  hastenDmarcReports(domain: string | undefined): Promise<{ readonly due: number }>;
}

/** A day (counted from the epoch, UTC) of a domain. */
export interface DmarcReportData {
  readonly domain: string;
  readonly day: number;
  readonly policy: DmarcReportPolicy;
  readonly mails: number;
  readonly rows: readonly DmarcReportRow[];
  /** Of one that was claimed: who has it already. */
  readonly taken?: readonly string[];
}

export interface ShownDmarcReport {
  readonly domain: string;
  readonly day: number;
  readonly mails: number;
  /** `collecting`, `due`, or what came of it. */
  readonly state: string;
}

export const DAY_MS = 86_400_000;

/** Whether a day's report that could not be sent is tried again: for three days behind it. */
export function isTriedAgain(day: number, now: number): boolean {
  return day > Math.floor(now / DAY_MS) - 4;
}
const TELL_MS = 1000;
const TELL_AT = 100;
/** What waits while the lookup role is away; more is lost. */
const MOST_WAITING = 5000;

/** Gathers what filters observe and hands it on in bundles: no mail waits for it. */
export function dmarcCollector(
  port: Pick<DmarcReportPort, "noteDmarc">,
  clock: Clock,
): { observe(observation: DmarcObservation): void; close(): Promise<void> } {
  let waiting: DmarcObservation[] = [];
  let timer: Timer | undefined;
  let sending: Promise<void> | undefined;
  const flush = async (): Promise<void> => {
    while (waiting.length > 0) {
      const bundle = waiting.slice(0, TELL_AT);
      waiting = waiting.slice(TELL_AT);
      try {
        // oxlint-disable-next-line no-await-in-loop -- in order, and one bundle under way at a time
        await port.noteDmarc(bundle);
      } catch {
        // The role is away: later, as far as there is room.
        waiting = [...bundle, ...waiting].slice(0, MOST_WAITING);
        return;
      }
    }
  };
  const later = (): void => {
    timer ??= clock.after(TELL_MS, () => {
      timer = undefined;
      if (sending !== undefined) return later();
      sending = flush().finally(() => {
        sending = undefined;
        if (waiting.length > 0) later();
      });
    });
  };
  return {
    observe(observation) {
      if (waiting.length >= MOST_WAITING) return;
      waiting.push(observation);
      later();
    },
    async close() {
      timer?.cancel();
      timer = undefined;
      await sending;
      await flush();
    },
  };
}
