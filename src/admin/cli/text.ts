import { formatDuration } from "../../foundation/units.ts";
import { civilTime } from "../../protocol/message/date-time.ts";

/** `2026-11-21 03:04:05`, in the caller's time zone. */
export function instantText(at: number, offsetMinutes: (at: number) => number): string {
  return dateAndClock(at, offsetMinutes(at)).join(" ");
}

/** `2026-11-21T02:04:05.123Z`. */
export function isoText(at: number): string {
  return `${dateAndClock(at, 0).join("T")}.${String(Math.floor(at) % 1000).padStart(3, "0")}Z`;
}

function dateAndClock(at: number, offsetMinutes: number): readonly [date: string, clock: string] {
  const { year, month, day, hour, minute, second } = civilTime(at, offsetMinutes);
  const two = (number: number): string => String(number).padStart(2, "0");
  return [`${year}-${two(month)}-${two(day)}`, [hour, minute, second].map(two).join(":")];
}

/** `5m`, `3h`, `2d`: the two largest units, for people. */
export function roughDuration(durationMs: number): string {
  const sign = durationMs < 0 ? "-" : "";
  const size = Math.abs(durationMs);
  for (const [unit, step] of [
    [86_400_000, 3_600_000],
    [3_600_000, 60_000],
    [60_000, 1_000],
  ] as const)
    if (size >= unit) return sign + formatDuration(Math.floor(size / step) * step);
  return `${sign}${Math.floor(size / 1000)}s`;
}

/** `12 B`, `3.4 KiB`, `20 MiB`. */
export function roughSize(bytes: number): string {
  let size = bytes;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (size < 1024 || unit === "GiB")
      return `${unit === "B" || size >= 10 ? Math.round(size) : size.toFixed(1)} ${unit}`;
    size /= 1024;
  }
  return `${bytes} B`;
}

/** `1 envelope`, `2 envelopes`. */
export function counted(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? "" : "s"}`;
}

export function senderText(sender: string): string {
  return sender === "" ? "<>" : sender;
}

/** How far an end is: `in 3d`, `expired 2d ago`. */
export function endText(at: number, now: number): string {
  return at <= now ? `expired ${roughDuration(now - at)} ago` : `in ${roughDuration(at - now)}`;
}
