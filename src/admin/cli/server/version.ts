import type { CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";

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
