import { refused, type Problem, type Result } from "../../foundation/result.ts";

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const EXPECTED = "23:30, 2026-11-21 23:30 or 2026-11-21T23:30:00Z";

/**
 * An instant as an operator writes it, in milliseconds since the epoch. Without a zone it is the local time; without a day
 * the next time that the clock shows it.
 */
export function parseInstant(
  text: string,
  now: number,
  offsetMinutes: (at: number) => number,
): Result<number, Problem> {
  const found =
    /^(?:(\d{4})-(\d\d)-(\d\d)[T ])?(\d\d):(\d\d)(?::(\d\d))?(Z|[+-]\d\d:?\d\d)?$/i.exec(text.trim()) ??
    /^(\d{4})-(\d\d)-(\d\d)$/.exec(text.trim());
  if (found === null) return refused({ at: 0, expected: EXPECTED });
  const [, year, month, day, hour = "0", minute = "0", second = "0", zone] = found;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return refused({ at: 0, expected: EXPECTED });
  const clockMs = (Number(hour) * 3600 + Number(minute) * 60 + Number(second)) * 1000;
  if (year === undefined) {
    if (zone !== undefined) return refused({ at: 0, expected: `a day before a zone: ${EXPECTED}` });
    const local = now + offsetMinutes(now) * MINUTE_MS;
    const today = local - (((local % DAY_MS) + DAY_MS) % DAY_MS) + clockMs;
    return { ok: true, value: fromLocal(today > local ? today : today + DAY_MS, offsetMinutes) };
  }
  const days = daysSinceEpoch(Number(year), Number(month), Number(day));
  if (days === undefined) return refused({ at: 0, expected: "a day that there is" });
  const written = days * DAY_MS + clockMs;
  if (zone === undefined) return { ok: true, value: fromLocal(written, offsetMinutes) };
  return { ok: true, value: written - zoneMinutes(zone) * MINUTE_MS };
}

/** What the local clock shows as an instant. Where it shows it twice or never, near enough. */
function fromLocal(local: number, offsetMinutes: (at: number) => number): number {
  const guess = local - offsetMinutes(local) * MINUTE_MS;
  return local - offsetMinutes(guess) * MINUTE_MS;
}

function zoneMinutes(zone: string): number {
  if (zone.toUpperCase() === "Z") return 0;
  const [, sign, hours, minutes] = /^([+-])(\d\d):?(\d\d)$/.exec(zone) ?? [];
  return (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
}

/** Undefined for the 30th of February and its like. */
function daysSinceEpoch(year: number, month: number, day: number): number | undefined {
  const lengths = [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
  if (year < 1970 || day < 1 || day > (lengths[month - 1] ?? 0)) return undefined;
  const before = year - 1;
  const leapDays = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400) - 477;
  const ofYear = lengths.slice(0, month - 1).reduce((sum, length) => sum + length, 0);
  return (year - 1970) * 365 + leapDays + ofYear + day - 1;
}

function isLeap(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}
