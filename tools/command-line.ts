import { parseArgs } from "node:util";

/** What a command of the repository takes: help, checks and errors are made of this table. */
export interface CommandOption {
  /** The word for its value in the help. */
  readonly value: string;
  readonly says: string;
  readonly default?: string;
  /** A value is one of these, or several of them with commas between. */
  readonly among?: { readonly names: readonly string[]; readonly many: boolean };
  /** A value is a number, at least this; with `whole` without a fraction. */
  readonly number?: { readonly least: number; readonly whole: boolean };
}

export type CommandLine<Name extends string> =
  | { readonly kind: "values"; readonly values: Readonly<Partial<Record<Name, string>>> }
  /** What to print, and the status to end with. */
  | { readonly kind: "end"; readonly text: string; readonly status: 0 | 2 };

/**
 * Reads a command line. A word that it does not know, or a value that is none, ends the command before it has done anything: hours of
 * work with other options than were meant look like an answer.
 */
export function readCommandLine<Name extends string>(
  name: string,
  purpose: string,
  options: Readonly<Record<Name, CommandOption>>,
  words: readonly string[],
): CommandLine<Name> {
  const known: readonly [string, CommandOption][] = Object.entries(options);
  const refuse = (why: string): CommandLine<Name> => ({
    kind: "end",
    text: `${name}: ${why}; --help shows what it takes\n`,
    status: 2,
  });
  if (words.includes("--help")) return { kind: "end", text: helpOf(name, purpose, known), status: 0 };
  let given: Record<string, string | boolean | undefined>;
  try {
    ({ values: given } = parseArgs({
      args: [...words],
      options: Object.fromEntries(known.map(([option]) => [option, { type: "string" as const }])),
    }));
  } catch (thrown) {
    return refuse((thrown instanceof Error ? thrown.message : String(thrown)).split(/\.\s/)[0] ?? "");
  }
  const values: Partial<Record<string, string>> = {};
  for (const [option, about] of known) {
    const value = given[option] ?? about.default;
    if (typeof value !== "string") continue;
    const problem = problemOf(value, about);
    if (problem !== undefined) return refuse(`--${option} takes ${problem}, not ${JSON.stringify(value)}`);
    values[option] = value;
  }
  return { kind: "values", values: values as Partial<Record<Name, string>> };
}

function problemOf(value: string, { among, number }: CommandOption): string | undefined {
  if (among !== undefined) {
    const words = among.many ? value.split(",") : [value];
    if (words.every((word) => among.names.includes(word))) return undefined;
    return `${among.many ? "some" : "one"} of ${among.names.join(", ")}`;
  }
  if (number === undefined) return undefined;
  const { least, whole } = number;
  const isNumber = /^\d+(?:\.\d+)?$/.test(value) && (!whole || Number.isSafeInteger(Number(value)));
  if (isNumber && Number(value) >= least) return undefined;
  return `a ${whole ? "whole " : ""}number${least > 0 ? ` from ${least} on` : ""}`;
}

function helpOf(name: string, purpose: string, options: readonly [string, CommandOption][]): string {
  const heads = options.map(([option, { value }]) => `--${option} ${value}`);
  const width = Math.max(...heads.map((head) => head.length));
  const lines = options.map(([, about], at) => {
    const usual = about.default === undefined ? "" : ` (${about.default})`;
    const names = about.among === undefined ? "" : `: ${about.among.names.join(", ")}`;
    return `  ${(heads[at] ?? "").padEnd(width)}  ${about.says}${usual}${names}\n`;
  });
  return `${name}: ${purpose}\n${lines.join("")}`;
}

/** Reads the command line of this process, or ends it with the help or what is wrong with it. */
export function commandLine<Name extends string>(
  name: string,
  purpose: string,
  options: Readonly<Record<Name, CommandOption>>,
): Readonly<Partial<Record<Name, string>>> {
  const read = readCommandLine(name, purpose, options, process.argv.slice(2));
  if (read.kind === "values") return read.values;
  (read.status === 0 ? process.stdout : process.stderr).write(read.text);
  process.exit(read.status);
}
