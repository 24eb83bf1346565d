import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";

/**
 * Dates as mail writes them: RFC 5322 section 3.3 out, RFC 3339 in (for RFC 4865). The calendar is computed here, so
 * that a pure file needs neither the machine's clock nor its time zone: instant and offset are arguments.
 */
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_MS = 86_400_000;

export interface CivilTime {
  readonly year: number;
  /** 1 to 12. */
  readonly month: number;
  readonly day: number;
  /** 0 is Sunday. */
  readonly weekday: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

/**
 * `Fri, 21 Nov 2025 02:50:00 +0100`. `offsetMinutes` is what the zone adds to UTC, east positive. A zone of `-0000`
 * would say that the zone is unknown (RFC 5322 section 3.3); ours never is.
 */
export function formatDateTime(at: number, offsetMinutes: number): string {
  const second = Math.floor(at / 1000);
  if (second !== last.second || offsetMinutes !== last.offsetMinutes)
    last = { second, offsetMinutes, text: dateTime(at, offsetMinutes) };
  return last.text;
}

/** A busy server writes the same one many times in a row. */
let last = { second: Number.NaN, offsetMinutes: 0, text: "" };

function dateTime(at: number, offsetMinutes: number): string {
  const civil = civilTime(at, offsetMinutes);
  const time = `${two(civil.hour)}:${two(civil.minute)}:${two(civil.second)}`;
  const year = String(civil.year).padStart(4, "0");
  const zone = Math.abs(offsetMinutes);
  const sign = offsetMinutes < 0 ? "-" : "+";
  return `${DAYS[civil.weekday]}, ${civil.day} ${MONTHS[civil.month - 1]} ${year} ${time} ${sign}${two(Math.floor(zone / 60))}${two(zone % 60)}`;
}

/** The calendar's view of an instant (ms since the epoch), in a zone that is `offsetMinutes` ahead of UTC. */
export function civilTime(at: number, offsetMinutes: number): CivilTime {
  const local = Math.floor(at / 1000) * 1000 + offsetMinutes * 60_000;
  const days = Math.floor(local / DAY_MS);
  const inDay = Math.floor((local - days * DAY_MS) / 1000);
  // Years that begin in March put the leap day last; eras of 400 years repeat exactly.
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  return {
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    day: dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1,
    weekday: (((days + 4) % 7) + 7) % 7,
    hour: Math.floor(inDay / 3600),
    minute: Math.floor(inDay / 60) % 60,
    second: inDay % 60,
  };
}

/** Days from the epoch to a date of the Gregorian calendar. */
export function daysFromCivil(year: number, month: number, day: number): number {
  const shiftedYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(shiftedYear / 400);
  const yearOfEra = shiftedYear - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return era * 146_097 + dayOfEra - 719_468;
}

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

/** `2025-11-21T02:50:00Z`, with fraction and offset where given, as ms since the epoch (RFC 3339 section 5.6). */
export function parseRfc3339(text: string): Result<number, Problem> {
  const match = RFC3339.exec(text);
  const expected = "a date and time such as 2025-11-21T02:50:00Z";
  if (match === null) return refused({ at: 0, expected });
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const zoneHour = Number(match[9] ?? 0);
  const zoneMinute = Number(match[10] ?? 0);
  // A leap second (60) counts as the first of the next minute.
  const isTime = hour <= 23 && minute <= 59 && second <= 60 && zoneHour <= 23 && zoneMinute <= 59;
  const days = daysFromCivil(year, month, day);
  const back = civilTime(days * DAY_MS, 0);
  if (!isTime || back.month !== month || back.day !== day) return refused({ at: 0, expected });
  const zone = (match[8] === "-" ? -1 : 1) * (zoneHour * 60 + zoneMinute);
  const fractionMs = match[7] === undefined ? 0 : Math.floor(Number(`0.${match[7]}`) * 1000);
  return ok(days * DAY_MS + ((hour * 60 + minute - zone) * 60 + second) * 1000 + fractionMs);
}

/** `2025-11-21T02:50:00Z`: RFC 3339 in UTC, whole seconds. */
export function formatRfc3339(at: number): string {
  const civil = civilTime(at, 0);
  const date = `${String(civil.year).padStart(4, "0")}-${two(civil.month)}-${two(civil.day)}`;
  return `${date}T${two(civil.hour)}:${two(civil.minute)}:${two(civil.second)}Z`;
}

function two(number: number): string {
  return number < 10 ? `0${number}` : String(number);
}
