import { escapeControls } from "../../../foundation/escape.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";

export const tlsRenew: CliCommand = {
  name: "tls renew",
  operands: "[LABEL|HOST]",
  leastOperands: 0,
  mostOperands: 1,
  says: "Asks the authority for a certificate anew, by its label or one of its names; without either for all.",
  explains:
    "Only certificates with `acme` can be renewed so. It is asked at once, also when a failure has the next try wait: mind the authority's limits. The log and `posthorn tls certificates` say how it went. Exits with 1 when there is no such certificate.",
  options: {},
  async run(given, world) {
    const [label] = given.operands;
    const { labels } = await withServer(given, world, "change", (server) =>
      server.call("tls.renew", label === undefined ? {} : { label }),
    );
    if (labels.length === 0) {
      world.stdout.write(
        label === undefined
          ? "no certificate comes from an authority\n"
          : `no certificate of ACME is called ${escapeControls(label)}\n`,
      );
      return exitCodes.nothing;
    }
    for (const one of labels) world.stdout.write(`${escapeControls(one)}: asked for\n`);
    return exitCodes.ok;
  },
};
