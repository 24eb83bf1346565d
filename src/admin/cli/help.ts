import { commonOptions, type CliCommand, type CliOption } from "./command.ts";
import { commands } from "./commands.ts";
import { daemonOptions } from "./daemon-arguments.ts";
import { textTable } from "./text-table.ts";

/** What `--help` and docs/reference/commands.md say, from the tables of commands and options. */
export function overview(): string {
  const table = textTable(
    [{ title: "COMMAND" }, { title: "" }],
    commands.map((command) => [usageLine(command).replace(/ \[OPTION\]\.\.\./, ""), command.says]),
  );
  return `posthorn COMMAND [OPTION]...\n\n${table}\nposthorn COMMAND --help says more about one. -f FILE names the server's settings file.\n`;
}

function usageLine(command: CliCommand): string {
  return [command.name, "[OPTION]...", command.operands].filter((part) => part !== "").join(" ");
}

export function helpFor(command: CliCommand): string {
  const options = optionRows(optionsOf(command));
  const explains = command.explains === undefined ? "" : `\n${wrap(command.explains)}\n`;
  return `posthorn ${usageLine(command)}\n\n${command.says}\n${explains}\n${textTable([{ title: "OPTION" }, { title: "" }], options)}`;
}

/** `send` has sendmail's options and no others. */
function optionsOf(command: CliCommand): Readonly<Record<string, CliOption>> {
  return command.name === "send" ? command.options : { ...command.options, ...commonOptions };
}

function optionRows(options: Readonly<Record<string, CliOption>>): readonly (readonly string[])[] {
  return Object.entries(options).map(([name, option]) => {
    const long = name.length === 1 ? [] : [name === "bs" ? "-bs" : `--${name}`];
    const names = [...(option.short === undefined ? [] : [`-${option.short}`]), ...long].join(", ");
    const value = option.usual === undefined ? option.value : `[${option.value}]`;
    return [value === undefined ? names : `${names} ${value}`, option.says];
  });
}

function wrap(text: string): string {
  return text.replace(/(.{1,96})(?:\s+|$)/g, "$1\n").trimEnd();
}

export function daemonHelp(): string {
  return `posthornd [OPTION]...\n\nThe mail server.\n\n${textTable([{ title: "OPTION" }, { title: "" }], optionRows(daemonOptions))}`;
}

/** docs/reference/commands.md. */
export function commandsReference(): string {
  const sections = commands.map((command) => {
    const explains = command.explains === undefined ? "" : `\n${markdown(command.explains)}\n`;
    return `## posthorn ${command.name}\n\n    posthorn ${usageLine(command)}\n\n${markdown(command.says)}\n${explains}\n${optionTable(optionsOf(command))}`;
  });
  const intro =
    "# Commands\n\nThe operator's client `posthorn` and the server `posthornd`. How to use them is told in " +
    "[the manual](../manual/commands.md). This page is generated from the code.\n";
  const daemon = `## posthornd\n\n    posthornd [OPTION]...\n\nThe mail server.\n\n${optionTable(daemonOptions)}`;
  return [intro, daemon, ...sections].join("\n");
}

function optionTable(options: Readonly<Record<string, CliOption>>): string {
  const rows = optionRows(options).map(
    ([names = "", says = ""]) => `| \`${names}\` | ${markdown(says).replaceAll("|", "\\|")} |`,
  );
  return `| option | |\n|---|---|\n${rows.join("\n")}\n`;
}

/** Text of help pages in Markdown: a bare angle bracket would be taken for HTML. */
function markdown(text: string): string {
  return text.replace(/`[^`]*`|</g, (found) => (found === "<" ? "&lt;" : found));
}
