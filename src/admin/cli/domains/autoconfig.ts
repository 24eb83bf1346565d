import { usage, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";

const KINDS = ["thunderbird", "outlook", "apple"] as const;

export const autoconfig: CliCommand = {
  name: "autoconfig",
  operands: "thunderbird|outlook|apple ADDRESS",
  leastOperands: 2,
  mostOperands: 2,
  says: "Prints what a mail program is told for an address: Thunderbird's and Outlook's XML, or Apple's profile.",
  explains:
    "The same documents that listeners with `protocol: http` serve; for a web server of your own put them where programs look: /mail/config-v1.1.xml at autoconfig.DOMAIN, /autodiscover/autodiscover.xml at autodiscover.DOMAIN.",
  options: {},
  async run(given, world) {
    const [of = "", address = ""] = given.operands;
    const kind = KINDS.find((one) => one === of);
    if (kind === undefined) throw usage(autoconfig, `expected ${KINDS.join(", ")}, got ${JSON.stringify(of)}`);
    const answer = await world.autoconfig(given.settingsFile, { of: kind, address });
    if ("problem" in answer) throw usage(autoconfig, answer.problem);
    world.stdout.write(answer.text);
    return exitCodes.ok;
  },
};
