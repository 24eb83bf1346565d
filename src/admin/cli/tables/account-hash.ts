import { HASH_SCHEMES } from "../../../service/account/hash-schemes.ts";
import { usage, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";

const LONGEST_PASSWORD = 1024;

export const accountHash: CliCommand = {
  name: "account hash",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Asks for a password (or reads the first line of standard input) and writes its hash, for an accounts table.",
  options: {
    scheme: {
      says: `How it is hashed: ${HASH_SCHEMES.join(", ")}. SCRAM logins need one of the scram ones.`,
      value: "SCHEME",
    },
  },
  async run(given, world) {
    const named = given.text("scheme") ?? HASH_SCHEMES[0];
    const scheme = HASH_SCHEMES.find((one) => one === named.toLowerCase());
    if (scheme === undefined) throw usage(accountHash, `expected one of ${HASH_SCHEMES.join(", ")}, got ${named}`);
    const password = await world.readSecret("password: ");
    if (password === "") throw usage(accountHash, "the password is empty");
    if (password.length > LONGEST_PASSWORD) throw usage(accountHash, "the password is longer than 1024 characters");
    world.stdout.write(`${await world.hashPassword(password, scheme)}\n`);
    return exitCodes.ok;
  },
};
