import { isIP } from "node:net";
import { z } from "zod";
import { formatDuration, formatSize, parseDuration, parseSize } from "../../foundation/units.ts";

/**
 * The kinds of value that settings are made of: units, addresses, names. Each turns text from a person into what the
 * code uses, or refuses it with words that say what is allowed.
 */

/** Text such as `90s` or `4h`, in the code a number of milliseconds. `default` is applied by the caller, in text. */
export function duration(range?: { min?: string; max?: string }): z.ZodType<number, string> {
  return z
    .string()
    .transform((text, context) => {
      const parsed = parseDuration(text);
      if (!parsed.ok) {
        context.addIssue({ code: "custom", message: `expected ${parsed.problem.expected}` });
        return z.NEVER;
      }
      for (const [bound, fails] of [
        [range?.min, (limit: number) => parsed.value < limit],
        [range?.max, (limit: number) => parsed.value > limit],
      ] as const) {
        const limit = bound === undefined ? undefined : parseDuration(bound);
        if (limit?.ok && fails(limit.value)) {
          context.addIssue({
            code: "custom",
            message: `expected a duration ${rangeText(range?.min, range?.max)}, got ${formatDuration(parsed.value)}`,
          });
          return z.NEVER;
        }
      }
      return parsed.value;
    })
    .meta({ kind: "duration", ...range });
}

/** Text such as `32KiB` or a whole number; in the code a number of bytes. */
export function size(range?: { min?: string; max?: string }): z.ZodType<number, string | number> {
  return z
    .union([z.string(), z.number().int().nonnegative()])
    .transform((given, context) => {
      const parsed = parseSize(String(given));
      if (!parsed.ok) {
        context.addIssue({ code: "custom", message: `expected ${parsed.problem.expected}` });
        return z.NEVER;
      }
      const least = range?.min === undefined ? undefined : parseSize(range.min);
      const most = range?.max === undefined ? undefined : parseSize(range.max);
      if ((least?.ok && parsed.value < least.value) || (most?.ok && parsed.value > most.value)) {
        context.addIssue({
          code: "custom",
          message: `expected a size ${rangeText(range?.min, range?.max)}, got ${formatSize(parsed.value)}`,
        });
        return z.NEVER;
      }
      return parsed.value;
    })
    .meta({ kind: "size", ...range });
}

/** A whole number within bounds. */
export function count(range: { min: number; max: number }): z.ZodNumber {
  return z.number().int().min(range.min).max(range.max);
}

/** An IPv4 or IPv6 address, without brackets or port. */
export function ipAddress(): z.ZodType<string, string> {
  return z.string().refine((text) => isIP(text) !== 0, { error: "expected an IPv4 or IPv6 address" });
}

export function port(): z.ZodNumber {
  return z.number().int().min(0).max(65_535);
}

function rangeText(min: string | undefined, max: string | undefined): string {
  if (min !== undefined && max !== undefined) return `from ${min} to ${max}`;
  return min !== undefined ? `of at least ${min}` : `of at most ${max}`;
}
