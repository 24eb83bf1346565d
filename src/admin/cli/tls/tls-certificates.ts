import { harmlessJson } from "../../../foundation/escape.ts";
import type { AcmeStatus } from "../../../service/acme/acme.ts";
import type { ListedCertificate } from "../../../service/tls/keeper/keeper.ts";
import { withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { endText, instantText, roughDuration } from "../text.ts";
import { textTable } from "../text-table.ts";
import type { World } from "../world.ts";

export const tlsCertificates: CliCommand = {
  name: "tls certificates",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows the server's certificates: names, origin, kind of key, end, listeners, and the next renewal over ACME.",
  explains:
    "Certificates that only tables know are not among them. A certificate that an authority has not issued yet is shown with what went wrong last and what usually cures it.",
  options: { json: { says: "One JSON object a line." } },
  async run(given, world) {
    const { shown, acme } = await withServer(given, world, "query", (server) => server.call("tls.certificates"));
    const rows = rowsOf(shown, acme);
    if (given.has("json")) for (const row of rows) world.stdout.write(`${harmlessJson(row)}\n`);
    else world.stdout.write(`${tableOf(rows, world)}${troublesOf(rows, world)}`);
    return exitCodes.ok;
  },
};

interface Row extends Partial<ListedCertificate> {
  readonly names: readonly string[];
  readonly keyKind: string;
  readonly acme?: AcmeStatus | undefined;
}

/** Each certificate with its renewal, then those that are yet to be issued. */
function rowsOf(shown: readonly ListedCertificate[], acme: readonly AcmeStatus[]): readonly Row[] {
  const left = new Set(acme);
  const rows = shown.map((certificate): Row => {
    const own = acme.find(({ label, kind }) => label === certificate.label && kind === certificate.keyKind);
    if (own !== undefined) left.delete(own);
    return own === undefined ? certificate : { ...certificate, acme: own };
  });
  return [
    ...rows,
    ...[...left].map((one): Row => ({ label: one.label, names: one.names, keyKind: one.kind, acme: one })),
  ];
}

function tableOf(rows: readonly Row[], world: World): string {
  const now = world.now();
  return textTable(
    [
      { title: "LABEL" },
      { title: "NAMES" },
      { title: "KEY" },
      { title: "ENDS" },
      { title: "LISTENERS" },
      { title: "RENEWAL" },
      { title: "ORIGIN" },
    ],
    rows.map((row) => [
      row.label ?? "-",
      row.names.join(", "),
      row.keyKind,
      row.notAfterAt === undefined ? "not issued yet" : endText(row.notAfterAt, now),
      row.listeners === undefined || row.listeners.length === 0 ? "-" : row.listeners.join(", "),
      renewalText(row.acme, now),
      row.origin ?? "acme",
    ]),
  );
}

function renewalText(acme: AcmeStatus | undefined, now: number): string {
  if (acme === undefined) return "-";
  if (acme.isRunning) return "running";
  return acme.nextAt === undefined ? "waiting" : acme.nextAt <= now ? "now" : `in ${roughDuration(acme.nextAt - now)}`;
}

function troublesOf(rows: readonly Row[], world: World): string {
  return rows
    .flatMap(({ acme }) => {
      if (acme?.problem === undefined) return [];
      const { problem, failures, nextAt } = acme;
      const next = nextAt === undefined ? "" : `, next try ${instantText(nextAt, world.offsetMinutes)}`;
      return [
        `\n${acme.label} (${acme.kind}): ${problem.text}\n  cure: ${problem.cure}\n  failures: ${failures}${next}\n`,
      ];
    })
    .join("");
}
