import { isIP } from "node:net";
import { resolve } from "node:path";
import { z } from "zod";
import { formatDuration, formatSize, parseDuration, parseRate, parseSize, type Rate } from "../../foundation/units.ts";

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

/** Text such as `100/min`, `5/s` or `2000/1h`. At most 100,000 at a time, and over a day at most. */
export function rate(): z.ZodType<Rate, string> {
  return z
    .string()
    .transform((text, context) => {
      const parsed = parseRate(text);
      const isFit = parsed.ok && parsed.value.count <= 100_000 && parsed.value.perMs <= 86_400_000;
      if (isFit) return parsed.value;
      const expected = parsed.ok ? "at most 100000, in a day or less" : parsed.problem.expected;
      context.addIssue({ code: "custom", message: `expected ${expected}` });
      return z.NEVER;
    })
    .meta({ kind: "rate" });
}

/** A whole number within bounds. */
export function count(range: { min: number; max: number }): z.ZodNumber {
  return z.number().int().min(range.min).max(range.max);
}

/**
 * A program and its arguments, as a list: no shell is between. The program by its path, or by a name that the system's
 * directories of programs have.
 */
export function command(): z.ZodType<readonly string[], readonly string[]> {
  return z
    .array(z.string())
    .min(1, "expected the program and its arguments")
    .refine(([program = ""]) => program.startsWith("/") || /^[^/]+$/.test(program), {
      error: "expected the program's whole path, or a name without slashes",
    })
    .meta({ kind: "command" });
}

/** An IPv4 or IPv6 address, without brackets or port. */
export function ipAddress(): z.ZodType<string, string> {
  return z.string().refine((text) => isIP(text) !== 0, { error: "expected an IPv4 or IPv6 address" });
}

export function port(): z.ZodNumber {
  return z.number().int().min(0).max(65_535);
}

/** One or several: `local`, or `[local, 192.0.2.0/24]`; in the code always a list. */
export function oneOrMore<Item>(item: z.ZodType<Item, string>): z.ZodType<readonly Item[], string | readonly string[]> {
  return z.union([item.transform((only): readonly Item[] => [only]), z.array(item)]);
}

/** A list written in place, or the name of one that stands under `tables`. */
export type TableOrList =
  | { readonly kind: "list"; readonly items: readonly string[] }
  | { readonly kind: "table"; readonly name: string };

/** `table:name`, or a list written in place, or a single element of such a list. */
export function tableOrList(): z.ZodType<TableOrList, string | readonly string[]> {
  return z
    .union([z.string(), z.array(z.string())])
    .transform((given, context): TableOrList => {
      if (typeof given !== "string") {
        if (!given.some((item) => item.startsWith(TABLE))) return { kind: "list", items: given };
        context.addIssue({ code: "custom", message: "expected either one table:name, or a list without tables in it" });
        return z.NEVER;
      }
      if (!given.startsWith(TABLE)) return { kind: "list", items: [given] };
      if (given.length > TABLE.length) return { kind: "table", name: given.slice(TABLE.length) };
      context.addIssue({ code: "custom", message: "expected the table's name behind table:" });
      return z.NEVER;
    })
    .meta({ kind: "table or list" });
}

/** `table:name`: only a table will do, for it maps keys to values or holds what no settings file should. */
export function tableName(): z.ZodType<string, string> {
  return z
    .string()
    .transform((text, context) => {
      if (text.startsWith(TABLE) && text.length > TABLE.length) return text.slice(TABLE.length);
      context.addIssue({ code: "custom", message: "expected table: and the name of an entry of `tables`" });
      return z.NEVER;
    })
    .meta({ kind: "table" });
}

const TABLE = "table:";

/** Where relative paths of the settings now being parsed begin. Parsing is synchronous, so nobody else sees it. */
let baseDirectory: string | undefined;

/** Runs a synchronous parse in which each `path()` is taken relative to `directory` (absolute). */
export function withPathsFrom<Value>(directory: string, parse: () => Value): Value {
  const outer = baseDirectory;
  baseDirectory = directory;
  try {
    return parse();
  } finally {
    baseDirectory = outer;
  }
}

/** A file or directory, relative to the settings file's directory; in the code absolute. */
export function path(): z.ZodType<string, string> {
  return z.string().min(1).transform(absolutePath).meta({ kind: "path" });
}

/** A path that may begin with `{home}`: the user's home directory, whosever turn it is. */
export function homePath(): z.ZodType<string, string> {
  return z
    .string()
    .min(1)
    .transform((text) => (/^\{home\}(?:\/|$)/.test(text) ? text : absolutePath(text)))
    .meta({ kind: "path" });
}

/** A path from within a value of another kind (`file:./mail.log`), taken as `path()` takes it. */
export function absolutePath(text: string): string {
  return baseDirectory === undefined ? text : resolve(baseDirectory, text);
}

/** Text that no message, log or listing of settings shows. */
export function secret(): z.ZodString {
  return z.string().meta({ kind: "secret" });
}

/** A fully qualified or plain host name, folded to lower case. */
export function hostName(): z.ZodType<string, string> {
  return z
    .string()
    .transform((text, context) => {
      const name = text.toLowerCase().replace(/\.$/, "");
      if (name.length <= 253 && /^[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*$/.test(name)) return name;
      context.addIssue({ code: "custom", message: "expected a host name such as mail.example.org" });
      return z.NEVER;
    })
    .meta({ kind: "host name" });
}

function rangeText(min: string | undefined, max: string | undefined): string {
  if (min !== undefined && max !== undefined) return `from ${min} to ${max}`;
  return min !== undefined ? `of at least ${min}` : `of at most ${max}`;
}
