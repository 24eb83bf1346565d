import { escapeControls } from "../../../foundation/escape.ts";
import type { MakeProblem } from "../../../service/table/cdb/made.ts";
import { usage, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { counted } from "../text.ts";
import type { AliasFile } from "./table-world.ts";
import type { World } from "../world.ts";

export const makeMap: CliCommand = {
  name: "makemap",
  operands: "FILE",
  leastOperands: 1,
  mostOperands: 1,
  says: "Makes an indexed file (FILE.cdb) of a table's text file, for `cdb:` tables.",
  explains:
    "The new file takes the old one's place when it is whole and on the disk; a server that reads it goes over to it within a second. With anything wrong in FILE all problems are told as FILE:LINE, and nothing is changed: exits with 65, and with 77 where this user may not read FILE or write beside it.",
  options: {
    type: { says: "What is made; there is only cdb.", short: "t", value: "TYPE" },
    aliases: { says: "FILE is in the form of /etc/aliases (`name: targets`)." },
    output: { says: "The indexed file, in place of FILE.cdb.", short: "o", value: "PATH" },
  },
  async run(given, world) {
    const [source = ""] = given.operands;
    const type = given.text("type") ?? "cdb";
    if (type !== "cdb") throw usage(makeMap, `there is no type ${type}; there is cdb`);
    const made = await world.makeMap(source, given.has("aliases") ? "aliases" : "file", given.text("output"));
    if (!made.ok) return refuse(world, source, made.problem);
    world.stdout.write(`${escapeControls(made.value.file)}: ${entriesText(made.value.entries)}\n`);
    return exitCodes.ok;
  },
};

/** What installations have without a word of settings. */
const USUAL = "/etc/aliases";

export const newAliases: CliCommand = {
  name: "newaliases",
  operands: "[FILE]",
  leastOperands: 0,
  mostOperands: 1,
  says: "Checks the alias files of the settings, and makes those that are indexed anew.",
  explains:
    "Files that `aliases:` tables name are read again by themselves: they are only checked. Of a `cdb:` table FILE.cdb whose FILE exists, FILE.cdb is made anew as makemap --aliases does. With FILE only that one, into FILE.cdb. All problems are told as FILE:LINE; exits with 65 then, and with 77 where this user may not read a file or write beside it. `newaliases` and `sendmail -bi` are this command.",
  options: {},
  async run(given, world) {
    const [only] = given.operands;
    const files: readonly AliasFile[] =
      only === undefined
        ? await world.aliasFiles(given.settingsFile)
        : [{ table: "", source: only, indexed: `${only}.cdb` }];
    if (files.length === 0) world.stdout.write(`no table of the settings is an alias file; ${USUAL} is not asked\n`);
    let code: number = exitCodes.ok;
    for (const { source, indexed } of files) {
      const done =
        indexed === undefined ? await world.checkAliases(source) : await world.makeMap(source, "aliases", indexed);
      if (done.ok) world.stdout.write(`${escapeControls(indexed ?? source)}: ${entriesText(done.value.entries)}\n`);
      else code = refuse(world, source, done.problem);
    }
    return code;
  },
};

function entriesText(entries: number): string {
  return entries === 1 ? "1 entry" : `${entries} entries`;
}

function refuse(world: World, source: string, problems: readonly MakeProblem[]): number {
  for (const { line, text } of problems)
    world.stderr.write(`${escapeControls(line === undefined ? `${source}: ${text}` : `${source}:${line}: ${text}`)}\n`);
  world.stderr.write(`${escapeControls(source)}: ${counted(problems.length, "problem")}; nothing was changed\n`);
  if (!problems.some(({ isDenied }) => isDenied === true)) return exitCodes.dataError;
  world.stderr.write("root may do this, and whom the file and its directory belong to\n");
  return exitCodes.noPermission;
}
