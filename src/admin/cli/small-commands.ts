import { escapeControls } from "../../foundation/escape.ts";
import { usage, type CliCommand } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";

/** Commands that need no server. */
export const check: CliCommand = {
  name: "check",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Checks the settings with every certificate, key and table they name, like `posthornd -n`.",
  explains: "Problems are told as FILE:LINE:COLUMN. Exits with 78 when the server would not start with them.",
  options: {},
  async run(given, world) {
    const { isFine, lines } = await world.checkSettings(given.settingsFile);
    for (const line of lines) world.stderr.write(`${escapeControls(line)}\n`);
    if (isFine) world.stdout.write("the settings are fine\n");
    return isFine ? exitCodes.ok : exitCodes.settings;
  },
};

export const version: CliCommand = {
  name: "version",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows the version.",
  options: {},
  run(_given, world) {
    world.stdout.write(`posthorn ${world.version}\n`);
    return Promise.resolve(exitCodes.ok);
  },
};

const LONGEST_PASSWORD = 1024;

export const accountHash: CliCommand = {
  name: "account hash",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Asks for a password (or reads the first line of standard input) and writes its hash, for an accounts table.",
  options: {},
  async run(_given, world) {
    const password = await world.readSecret("password: ");
    if (password === "") throw usage(accountHash, "the password is empty");
    if (password.length > LONGEST_PASSWORD) throw usage(accountHash, "the password is longer than 1024 characters");
    world.stdout.write(`${await world.hashPassword(password)}\n`);
    return exitCodes.ok;
  },
};
