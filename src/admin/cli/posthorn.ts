import { escapeControls } from "../../foundation/escape.ts";
import { messageOf, PosthornError, type ErrorCode } from "../../foundation/error.ts";
import { nearestName } from "../../service/config/names.ts";
import { parseGiven } from "./command.ts";
import { commands } from "./commands.ts";
import { exitCodes } from "./exit-codes.ts";
import { heard } from "./heard.ts";
import { helpFor, overview } from "./help.ts";
import { runSend } from "./sendmail/send.ts";
import { parseSendmailArguments } from "./sendmail/sendmail-arguments.ts";
import type { World } from "./world.ts";

/**
 * `posthorn`: the operator's client. Resolves with the exit status, whatever happens; people are told what went wrong,
 * where, and what to do, never a stack.
 */
export async function runPosthorn(argv: readonly string[], world: World): Promise<number> {
  try {
    return await dispatch(calledAs(world.calledAs, argv), world);
  } catch (thrown) {
    if (thrown instanceof PosthornError) {
      // Problems of settings are several lines.
      const lines = [...thrown.message.split("\n"), thrown.advice];
      world.stderr.write(lines.map((line) => `${escapeControls(line)}\n`).join(""));
      return EXIT_OF[thrown.code] ?? exitCodes.software;
    }
    world.stderr.write(`posthorn: ${escapeControls(messageOf(thrown))}\n`);
    return exitCodes.software;
  }
}

/** What the names of other mail servers' programs mean, where a link has them point here. */
function calledAs(name: string, argv: readonly string[]): readonly string[] {
  if (name === "sendmail") return ["send", ...argv];
  if (name === "mailq") return ["mailq", ...fileIn(argv)];
  if (name === "newaliases") return ["newaliases", ...argv];
  return argv;
}

/** Which settings are meant. What else other servers' programs were given here, as `-v` or `-Ac`, changes nothing. */
function fileIn(argv: readonly string[]): readonly string[] {
  const asked = parseSendmailArguments(["-bp", ...argv]);
  return asked.ok && asked.value.settingsFile !== undefined ? ["--file", asked.value.settingsFile] : [];
}

async function dispatch(argv: readonly string[], world: World): Promise<number> {
  // Whose mail it is hears by the exit status alone what became of it, and who called may have closed both streams.
  if (argv[0] === "send") return sendOrList(argv.slice(1), world);
  return heard("posthorn", world, () => perform(argv, world));
}

async function perform(argv: readonly string[], world: World): Promise<number> {
  const [first, second] = argv;
  if (first === undefined) {
    world.stderr.write(overview());
    return exitCodes.usage;
  }
  if (first === "--version" || first === "-V") return perform(["version"], world);
  if (first === "help" || first === "--help" || first === "-h") return help(argv.slice(1), world);
  // A command is named by one, two or three words; the longest name decides.
  const command = [3, 2, 1].flatMap((words) => {
    const said = argv.slice(0, words).join(" ");
    return commands.find(({ name }) => name === said) ?? [];
  })[0];
  if (command === undefined) {
    if (second === "--help" || second === "-h") return help([first], world);
    if (argv[2] === "--help" || argv[2] === "-h") return help([first, second ?? ""], world);
    return first.startsWith("-") ? misplaced(argv, world) : unknown(first, second, world);
  }
  const rest = argv.slice(command.name.split(" ").length);
  const given = parseGiven(command, rest);
  if (given.has("help")) {
    world.stdout.write(helpFor(command));
    return exitCodes.ok;
  }
  return command.run(given, world);
}

async function sendOrList(argv: readonly string[], world: World): Promise<number> {
  if (argv.includes("--help")) return dispatch(["help", "send"], world);
  // Before anything reads the mail: `sendmail -bp` is `mailq`.
  if (argv.includes("-bp")) return dispatch(["mailq", ...fileIn(argv)], world);
  if (argv.includes("-bi")) return dispatch(["newaliases", ...fileIn(argv)], world);
  return runSend(argv, world);
}

function help(names: readonly string[], world: World): number {
  const name = names.join(" ");
  const command = commands.find((known) => known.name === name);
  const group = commands.filter((known) => known.name.startsWith(`${name} `));
  if (name !== "" && command === undefined && group.length === 0) return unknown(names[0] ?? "", names[1], world);
  if (command !== undefined) world.stdout.write(helpFor(command));
  else world.stdout.write(group.length > 0 ? group.map(helpFor).join("\n\n") : overview());
  return exitCodes.ok;
}

/** Options in front of the command, as other programs have them: what to type instead. */
function misplaced(argv: readonly string[], world: World): number {
  const takesValue = argv[0] === "-f" || argv[0] === "--file";
  const [options, words] = [argv.slice(0, takesValue ? 2 : 1), argv.slice(takesValue ? 2 : 1)];
  const isCommand = commands.some(({ name }) => words[0] !== undefined && name.split(" ")[0] === words[0]);
  const typed = [...words, ...options].map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word)));
  const advice = isCommand ? `: posthorn ${typed.join(" ")}` : "; posthorn help lists the commands";
  world.stderr.write(`posthorn: options stand behind the command${escapeControls(advice)}\n`);
  return exitCodes.usage;
}

function unknown(first: string, second: string | undefined, world: World): number {
  const group = commands.filter((command) => command.name.startsWith(`${first} `)).map(({ name }) => name);
  if (group.length > 0) {
    const verbs = group.map((name) => name.slice(first.length + 1));
    const near = second === undefined ? undefined : nearestName(second, verbs);
    const hint = near === undefined ? "" : `; did you mean ${near}?`;
    const what = second === undefined ? "needs a word more" : `has no ${JSON.stringify(second)}${hint}`;
    world.stderr.write(`posthorn: ${first} ${escapeControls(what)}\nthere are: ${verbs.join(", ")}\n`);
    return exitCodes.usage;
  }
  const words = [...new Set([...commands.map(({ name }) => name.split(" ")[0] ?? name), "help"])];
  const near = nearestName(first, words);
  const hint = near === undefined ? "" : `; did you mean ${near}?`;
  world.stderr.write(
    `posthorn: unknown command ${escapeControls(JSON.stringify(first))}${hint}\nposthorn help lists the commands\n`,
  );
  return exitCodes.usage;
}

const EXIT_OF: Readonly<Partial<Record<ErrorCode, number>>> = {
  USAGE: exitCodes.usage,
  SETTINGS_INVALID: exitCodes.settings,
  CONTROL_UNREACHABLE: exitCodes.temporary,
  CONTROL_REFUSED: exitCodes.noPermission,
  PRIVILEGES: exitCodes.noPermission,
  ROLE_UNAVAILABLE: exitCodes.temporary,
  STORE_CLOSED: exitCodes.temporary,
  SPOOL_FULL: exitCodes.temporary,
  SPOOL_IN_USE: exitCodes.temporary,
  SPOOL_FAILED: exitCodes.ioError,
};
