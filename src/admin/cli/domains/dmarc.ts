import { escapeControls, harmlessJson } from "../../../foundation/escape.ts";
import { formatDmarcReport } from "../../../protocol/authentication/dmarc-report.ts";
import { formatRfc3339, parseRfc3339 } from "../../../protocol/message/date-time.ts";
import { usage, withServer, type CliCommand } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { textTable } from "../text-table.ts";

const DAY_MS = 86_400_000;

export const dmarcReportsList: CliCommand = {
  name: "dmarc reports list",
  operands: "",
  leastOperands: 0,
  mostOperands: 0,
  says: "Shows the daily reports on DMARC: on how many mails one waits, for which domain and day, and what became of those before.",
  explains: "The last fortnight, the newest day first. Exits with 1 when there is nothing.",
  options: { json: { says: "One JSON object a line." } },
  async run(given, world) {
    const reports = await withServer(given, world, "query", (server) => server.call("dmarc.list"));
    if (given.has("json"))
      for (const report of reports) world.stdout.write(`${harmlessJson({ ...report, date: dateOf(report.day) })}\n`);
    else if (reports.length === 0) world.stdout.write("nothing was collected\n");
    else
      world.stdout.write(
        textTable(
          [{ title: "DAY" }, { title: "DOMAIN" }, { title: "WAITING", align: "right" }, { title: "STATE" }],
          reports.map(({ day, domain, mails, state }) => [dateOf(day), domain, String(mails), state]),
        ),
      );
    return reports.length > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

export const dmarcReportsShow: CliCommand = {
  name: "dmarc reports show",
  operands: "DOMAIN [DAY]",
  leastOperands: 1,
  mostOperands: 2,
  says: "Shows what was collected for a domain's report, as the report has it.",
  explains:
    "DAY is a date such as 2026-11-21, in UTC; today without it. What was sent is not kept. Exits with 1 when there is nothing.",
  options: { json: { says: "As JSON." } },
  async run(given, world) {
    const [domain = "", date] = given.operands;
    const at = date === undefined ? world.now() : startOf(date);
    if (!Number.isFinite(at) || at < 0)
      throw usage(dmarcReportsShow, `expected a date such as 2026-11-21, got ${date ?? ""}`);
    const day = Math.floor(at / DAY_MS);
    const data = await withServer(given, world, "query", (server) =>
      server.call("dmarc.read", { domain: domain.toLowerCase(), day }),
    );
    if (data === null || data.rows.length === 0) {
      world.stdout.write("nothing was collected\n");
      return exitCodes.nothing;
    }
    if (given.has("json")) world.stdout.write(`${harmlessJson(data)}\n`);
    else {
      const begin = (day * DAY_MS) / 1000;
      const xml = formatDmarcReport({
        ...data,
        organization: world.hostname,
        contact: "",
        id: "",
        begin,
        end: begin + DAY_MS / 1000 - 1,
      });
      world.stdout.write(xml.split("\n").map(escapeControls).join("\n"));
    }
    return exitCodes.ok;
  },
};

export const dmarcReportsSend: CliCommand = {
  name: "dmarc reports send",
  operands: "[DOMAIN]",
  leastOperands: 0,
  mostOperands: 1,
  says: "Makes reports on DMARC due at once, of all domains or of one, today's included; they leave within seconds.",
  explains:
    "What arrives later today makes a report of its own. Needs `dmarc-reports` in the settings. Exits with 1 when there is nothing to send.",
  options: {},
  async run(given, world) {
    const [domain] = given.operands;
    const { due } = await withServer(given, world, "change", (server) =>
      server.call("dmarc.send", domain === undefined ? {} : { domain: domain.toLowerCase() }),
    );
    world.stdout.write(due === 0 ? "nothing was collected\n" : `${due} due now\n`);
    return due > 0 ? exitCodes.ok : exitCodes.nothing;
  },
};

function startOf(date: string): number {
  const parsed = parseRfc3339(`${date}T00:00:00Z`);
  return parsed.ok ? parsed.value : Number.NaN;
}

function dateOf(day: number): string {
  return formatRfc3339(day * DAY_MS).slice(0, 10);
}
