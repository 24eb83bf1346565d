import { ok, refused, type Result, type Problem } from "./result.ts";

const MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const BYTES: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  K: 1024,
  KB: 1024,
  KiB: 1024,
  M: 1024 ** 2,
  MB: 1024 ** 2,
  MiB: 1024 ** 2,
  G: 1024 ** 3,
  GB: 1024 ** 3,
  GiB: 1024 ** 3,
};

/** `90s`, `4h`, `1h30m`, `4d` → milliseconds. A number without a unit is refused: nobody knows what it meant. */
export function parseDuration(text: string): Result<number, Problem> {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|min|s|m|h|d|w)/gy)];
  const used = parts.reduce((length, part) => length + part[0].length, 0);
  if (parts.length === 0 || used !== text.length)
    return refused({ at: used, expected: "a duration such as 90s, 5m, 4h or 1h30m" });
  return ok(parts.reduce((sum, part) => sum + Number(part[1]) * (MS[part[2] ?? ""] ?? 0), 0));
}

/** The shortest exact writing of a duration: 5400000 → `1h30m`. */
export function formatDuration(durationMs: number): string {
  if (durationMs === 0) return "0s";
  let rest = Math.round(durationMs);
  let text = "";
  for (const unit of ["d", "h", "m", "s", "ms"]) {
    const size = MS[unit] ?? 1;
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text;
}

/** `50MiB`, `32K`, `1000` → bytes; units are powers of 1024, as mail servers have always counted. */
export function parseSize(text: string): Result<number, Problem> {
  const match = /^(\d+)\s*([KMG]?(?:i?B)?)$/.exec(text);
  const unit = match === null ? undefined : BYTES[match[2] ?? ""];
  if (match === null || unit === undefined) return refused({ at: 0, expected: "a size such as 32KiB, 50MiB or 1000" });
  return ok(Number(match[1]) * unit);
}

export function formatSize(bytes: number): string {
  for (const [unit, size] of [
    ["GiB", 1024 ** 3],
    ["MiB", 1024 ** 2],
    ["KiB", 1024],
  ] as const) {
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`;
  }
  return `${bytes}`;
}

/** So many in any stretch of time of this length. */
export interface Rate {
  readonly count: number;
  readonly perMs: number;
}

/** `100/min`, `5/s`, `2000/1h`, `10/30s`. */
export function parseRate(text: string): Result<Rate, Problem> {
  const expected = "a rate such as 100/min, 5/s or 2000/1h";
  const parts = /^(\d{1,9})\s*\/\s*(\S+)$/.exec(text.trim());
  const per = parts?.[2] ?? "";
  const parsed = parseDuration(/^\d/.test(per) ? per : `1${per}`);
  if (parts === null || !parsed.ok) return refused({ at: 0, expected });
  const count = Number(parts[1]);
  if (count < 1 || parsed.value < 1) return refused({ at: 0, expected: `${expected}; at least 1` });
  return ok({ count, perMs: parsed.value });
}

/** `100/1m`; a single unit is written without its number: `5/s`. */
export function formatRate({ count, perMs }: Rate): string {
  return `${count}/${formatDuration(perMs).replace(/^1(?=[a-z]+$)/, "")}`;
}
