import { harmlessJson } from "../../../foundation/escape.ts";
import type { TlsHost } from "../../../mail/delivery/tls-policy/tls-hosts.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { counted, instantText, roughDuration } from "../text.ts";
import { textTable } from "../text-table.ts";
import type { World } from "../world.ts";

export const tlsHosts: CliCommand = {
  name: "tls hosts",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows next hosts whose TLS handshakes fail: since when, why, on which terms, which kind of handshake was tried and which works.",
  explains:
    "Where plaintext is allowed such a host gets it at once, from those whose policies have the same terms; where a kind of handshake works, that is used. --forget makes the next session try as usual. Exits with 1 when there is nobody.",
  options: {
    forget: { says: "Forget this host (a name, an address, name[address]:port), or * for all.", value: "HOST" },
    json: { says: "One JSON object a line." },
  },
  async run(given, world) {
    const forget = given.text("forget");
    if (forget !== undefined) {
      const { hosts } = await withServer(given, world, "change", (server) =>
        server.call("tls.forget-host", { host: forget }),
      );
      world.stdout.write(`${counted(hosts, "host")} forgotten\n`);
      return hosts > 0 ? exitCodes.ok : exitCodes.nothing;
    }
    const rows = await withServer(given, world, "query", (server) => server.call("tls.hosts"));
    if (given.has("json")) for (const row of rows) world.stdout.write(`${harmlessJson(row)}\n`);
    else if (rows.length === 0) world.stdout.write("no host is remembered for failing handshakes\n");
    else world.stdout.write(tableOf(rows, world));
    return rows.length > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

function tableOf(rows: readonly TlsHost[], world: World): string {
  const now = world.now();
  return textTable(
    [
      { title: "HOST" },
      { title: "TERMS" },
      { title: "SINCE" },
      { title: "FOR" },
      { title: "FAILURES", align: "right" },
      { title: "NOW" },
      { title: "TRIED" },
      { title: "WHY" },
    ],
    rows.map((row) => [
      row.host,
      row.terms,
      instantText(row.sinceAt, world.offsetMinutes),
      roughDuration(Math.max(0, row.untilAt - now)),
      String(row.failures),
      row.variant ?? (row.isBeingTried ? "trying" : "broken"),
      row.trials.map(({ trial, result }) => `${trial} ${result}`).join(", "),
      row.because,
    ]),
  );
}
