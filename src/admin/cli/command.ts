import { parseArgs } from "node:util";
import { nearestName } from "../../service/config/names.ts";
import type { ControlClient } from "../control/control.ts";
import { PosthornError } from "../../foundation/error.ts";
import type { Places, World } from "./world.ts";

/** One command of `posthorn`: the table that --help, the reference and the parser all read. */
export interface CliCommand {
  /** `queue list`. */
  readonly name: string;
  /** The arguments behind the options, `MESSAGE|ENVELOPE`; "" when there are none. */
  readonly operands: string;
  readonly mostOperands: number;
  readonly leastOperands: number;
  /** One line. */
  readonly says: string;
  /** More, for `--help` and the reference. */
  readonly explains?: string;
  readonly options: Readonly<Record<string, CliOption>>;
  readonly run: (given: Given, world: World) => Promise<number>;
}

export interface CliOption {
  readonly says: string;
  readonly short?: string;
  /** The word for its value; without it the option is a flag. */
  readonly value?: string;
  /** Its value where none that begins with a digit follows it. */
  readonly usual?: string;
  /** It may be given more than once. */
  readonly isMany?: boolean;
}

export interface Given {
  readonly operands: readonly string[];
  text(option: string): string | undefined;
  /** All values of an option that may be given more than once. */
  texts(option: string): readonly string[];
  has(option: string): boolean;
  readonly settingsFile: string | undefined;
}

/** Options that every command has. */
export const commonOptions = {
  file: { says: "The settings file, as the server was given it.", short: "f", value: "FILE" },
  help: { says: "Says how to use the command.", short: "h" },
} as const satisfies Readonly<Record<string, CliOption>>;

interface KnownOption {
  readonly type: "string" | "boolean";
  short?: string;
  multiple?: boolean;
}

/** Throws `USAGE` with the nearest known option where one is near. */
export function parseGiven(command: CliCommand, argv: readonly string[]): Given {
  const options = { ...commonOptions, ...command.options };
  const known: Record<string, KnownOption> = {};
  for (const [name, option] of Object.entries<CliOption>(options)) {
    known[name] = { type: option.value === undefined ? "boolean" : "string" };
    if (option.short !== undefined) known[name].short = option.short;
    if (option.isMany === true) known[name].multiple = true;
  }
  const { values, operands } = parse(command, withValues(withUsual(argv, options), known), known);
  if (operands.length < command.leastOperands && values["help"] !== true)
    throw usage(command, `${command.operands} is missing`);
  if (operands.length > command.mostOperands && values["help"] !== true)
    throw usage(command, `${JSON.stringify(operands[command.mostOperands])} is one argument too many`);
  const text = (option: string): string | undefined => {
    const value = values[option];
    return typeof value === "string" ? value : undefined;
  };
  const texts = (option: string): readonly string[] =>
    [values[option]].flat().filter((value) => typeof value === "string");
  return { operands, text, texts, has: (option) => values[option] !== undefined, settingsFile: text("file") };
}

/** parseArgs knows no options that may have a value or not. */
function withUsual(argv: readonly string[], options: Readonly<Record<string, CliOption>>): readonly string[] {
  const end = argv.includes("--") ? argv.indexOf("--") : argv.length;
  return argv.map((argument, at) => {
    const usual = argument.startsWith("--") && at < end ? options[argument.slice(2)]?.usual : undefined;
    return usual === undefined || /^\d/.test(argv[at + 1] ?? "") ? argument : `${argument}=${usual}`;
  });
}

/**
 * A value that begins with a dash, as a query whose first line is a remark (`-- ...`), is told from an option by the white
 * space in it; parseArgs wants to see it behind a `=`.
 */
function withValues(argv: readonly string[], known: Readonly<Record<string, KnownOption>>): readonly string[] {
  const found: string[] = [];
  for (let at = 0; at < argv.length; at++) {
    const [argument = "", next = ""] = argv.slice(at, at + 2);
    if (argument === "--") return [...found, ...argv.slice(at)];
    const takesIt = argument.startsWith("--") && known[argument.slice(2)]?.type === "string" && /^-[^=]*\s/.test(next);
    found.push(takesIt ? `${argument}=${next}` : argument);
    if (takesIt) at += 1;
  }
  return found;
}

/** Of an option that takes one parseArgs says so, and where another option stands in its place. */
const WITHOUT_VALUE = /^Option '(?:-\w, )?--([\w-]+)(?: <value>)?' argument (?:missing|is ambiguous)/;

function parse(
  command: CliCommand,
  argv: readonly string[],
  known: Record<string, KnownOption>,
): { values: Readonly<Record<string, unknown>>; operands: readonly string[] } {
  // Before parseArgs sees them, for it knows no near misses.
  const options = argv.slice(0, argv.includes("--") ? argv.indexOf("--") : argv.length);
  for (const argument of options) {
    const name = /^--([^=]+)/.exec(argument)?.[1];
    if (name === undefined || Object.hasOwn(known, name)) continue;
    const near = nearestName(name, Object.keys(known));
    throw usage(command, `unknown option --${name}${near === undefined ? "" : `; did you mean --${near}?`}`);
  }
  try {
    const parsed = parseArgs({ args: [...argv], options: known, allowPositionals: true, strict: true });
    return { values: parsed.values, operands: parsed.positionals };
  } catch (thrown) {
    const unsaid = thrown instanceof Error ? WITHOUT_VALUE.exec(thrown.message)?.[1] : undefined;
    const all: Readonly<Record<string, CliOption>> = { ...commonOptions, ...command.options };
    const value = unsaid === undefined ? undefined : all[unsaid]?.value;
    if (unsaid !== undefined && value !== undefined) throw usage(command, `--${unsaid} needs a value: ${value}`);
    // parseArgs's first sentence says what is wrong; the rest is about its own configuration.
    const [first = "the arguments cannot be understood"] =
      thrown instanceof Error ? thrown.message.split(/\. |\n/) : [];
    throw usage(command, first);
  }
}

export function usage(command: Pick<CliCommand, "name">, message: string): PosthornError {
  return new PosthornError("USAGE", {
    message: `posthorn ${command.name}: ${message}`,
    advice: `posthorn ${command.name} --help says how to use it`,
  });
}

/** Asks the server through the socket that `kind` needs. A socket for changes answers queries too. */
export async function withServer<Value>(
  given: Given,
  world: World,
  kind: "query" | "change",
  ask: (client: ControlClient) => Promise<Value>,
): Promise<Value> {
  const { controlPaths } = await world.locate(given.settingsFile);
  using client = await connected(world, controlPaths, kind);
  return await ask(client);
}

const NOT_THERE: ReadonlySet<string> = new Set(["CONTROL_UNREACHABLE", "CONTROL_REFUSED"]);

async function connected(
  world: World,
  paths: Places["controlPaths"],
  kind: "query" | "change",
): Promise<ControlClient> {
  try {
    return await world.connectControl(paths[kind]);
  } catch (thrown) {
    if (kind === "change" || !(thrown instanceof PosthornError) || !NOT_THERE.has(thrown.code)) throw thrown;
    // Who may change may look as well, though the socket for queries be somebody else's.
    return await world.connectControl(paths.change).catch(() => {
      throw thrown;
    });
  }
}
