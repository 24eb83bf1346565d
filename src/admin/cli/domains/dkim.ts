import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import { usage, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";

/** Keys that mail is signed with. None of these needs a server. */

const NAME = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i;
const RSA_BITS = "2048";

export const dkimKeyMake: CliCommand = {
  name: "dkim key make",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Makes a key to sign mail with (DKIM), and prints the DNS record that it needs.",
  explains:
    "The file is readable by its owner only, and no file is ever written over. Publish the record, let `posthorn dkim check` see it, then name the key in a `sign` filter. Make one key of each kind: everybody verifies RSA, few verify Ed25519 as yet.",
  options: {
    domain: { says: "The domain that signs.", value: "DOMAIN" },
    selector: {
      says: "The key's name in the DNS: SELECTOR._domainkey.DOMAIN. A new one for each key.",
      value: "SELECTOR",
    },
    kind: { says: "rsa (what is made without it) or ed25519.", value: "KIND" },
    bits: {
      says: `Of an RSA key, ${RSA_BITS} without it, 4096 at most: longer ones do not fit into every DNS.`,
      value: "BITS",
    },
    output: { says: "The file, in place of DOMAIN.SELECTOR.pem here.", short: "o", value: "PATH" },
  },
  async run(given, world) {
    const domain = named(given.text("domain"), "domain").toLowerCase();
    const selector = named(given.text("selector"), "selector").toLowerCase();
    const kind = given.text("kind") ?? "rsa";
    if (kind !== "rsa" && kind !== "ed25519") throw usage(dkimKeyMake, `expected rsa or ed25519, got ${kind}`);
    const bits = given.text("bits") ?? RSA_BITS;
    if (!["1024", "2048", "3072", "4096"].includes(bits))
      throw usage(dkimKeyMake, `expected 1024, 2048, 3072 or 4096 bits, got ${bits}`);
    const file = given.text("output") ?? `${domain}.${selector}.pem`;
    const { line } = await world.makeSigningKey({ domain, selector, kind, bits: Number(bits), file });
    world.stderr.write(`the key is in ${escapeControls(file)}; this belongs into the DNS:\n`);
    world.stdout.write(`${line}\n`);
    return exitCodes.ok;
  },
};

function named(text: string | undefined, option: string): string {
  if (text === undefined) throw usage(dkimKeyMake, `--${option} is missing`);
  if (!NAME.test(text) || text.length > 253) throw usage(dkimKeyMake, `${JSON.stringify(text)} is no ${option}`);
  return text;
}

export const dkimCheck: CliCommand = {
  name: "dkim check",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Compares the keys that the settings sign with to what the DNS has of them.",
  explains:
    "Reads the key files, so it needs their owner's rights. Keys that only a table in a file names are looked at as well. Exits with 1 when a key is missing in the DNS, another one stands there, or a line of a table names none that can be used, with 75 when the DNS gives no answer.",
  options: { json: { says: "One JSON object for each key." } },
  async run(given, world) {
    const keys = await world.checkSigning(given.settingsFile);
    if (keys.length === 0) world.stdout.write("no filter of the settings signs\n");
    for (const key of keys) {
      if (given.has("json")) world.stdout.write(`${harmlessJson(key)}\n`);
      else
        world.stdout.write(
          `${key.standing.padEnd(8)}${escapeControls(`${key.name}${key.text === "" ? "" : `: ${key.text}`}`)}\n`,
        );
    }
    if (keys.some(({ standing }) => standing === "WRONG" || standing === "MISSING")) return exitCodes.nothing;
    return keys.some(({ standing }) => standing === "unknown") ? exitCodes.temporary : exitCodes.ok;
  },
};
