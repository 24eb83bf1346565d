import type { Report, RunReport } from "./experiment.ts";
import type { MailFigures } from "./figures.ts";
import { figureText, timeText, type Judgement } from "./judge.ts";

/** A report as people read it: for each run its workloads and hosts, then what had to hold. */
export function reportText(report: Report): string {
  const parts = [`${report.scenario} (seed ${report.seed})${report.says === "" ? "" : `: ${report.says}`}`];
  for (const run of report.runs) parts.push(runText(run, report.runs.length > 1));
  if (report.judgements.length > 0) parts.push(judgementsText(report.judgements));
  return `${parts.join("\n\n")}\n`;
}

function runText({ name, figures }: RunReport, isOneOfSeveral: boolean): string {
  const { run, workloads, all, hosts } = figures;
  const rows = Object.entries(workloads).map(([workload, one]) => mailRow(workload, one));
  if (rows.length > 1) rows.push(mailRow("all", all));
  const mail = table(
    [
      "workload",
      "envelopes",
      "delivered",
      "returned",
      "expired",
      "waiting",
      "50 %",
      "90 %",
      "95 %",
      "99 %",
      "all",
      "attempts",
    ],
    rows,
  );
  const seen = table(
    [
      "hosts",
      "connections",
      "most at once",
      "turned away",
      "mails",
      "recipients",
      "taken",
      "deferred",
      "refused",
      "cut",
    ],
    Object.entries(hosts).map(([host, counts]) => [
      host,
      ...[
        counts.connections,
        counts.mostConnections,
        counts.turnedAway,
        counts.mails,
        counts.recipients,
        counts.taken,
        counts.deferred,
        counts.refused,
        counts.cut,
      ].map(number),
    ]),
  );
  const head = `${isOneOfSeveral ? `== ${name}: ` : ""}${timeText(run.took)} of virtual time, ${number(run.events)} events, ${number(run.connections)} connections (${number(run.failedConnections)} failed), ${number(run.transactions)} transactions, ${number(run.notices)} notices`;
  return [head, mail, seen].join("\n\n");
}

function mailRow(name: string, one: MailFigures): readonly string[] {
  return [
    name,
    ...[one.envelopes, one.delivered, one.returned, one.expired, one.waiting].map(number),
    ...[one.p50, one.p90, one.p95, one.p99, one.p100].map(timeText),
    figureText("attempts", one.attemptsPerDelivered),
  ];
}

function judgementsText(judgements: readonly Judgement[]): string {
  const lines = judgements.map((one) => {
    const bounds = [
      ...(one.atMost === undefined ? [] : [`at most ${figureText(one.figure, one.atMost)}`]),
      ...(one.atLeast === undefined ? [] : [`at least ${figureText(one.figure, one.atLeast)}`]),
    ].join(", ");
    const of = one.run === "run" ? "" : ` of ${one.run}`;
    return `${one.isMet ? "holds" : "FAILS"}  ${one.what} (${one.figure}${of}: ${figureText(one.figure, one.value)}, ${bounds})`;
  });
  return ["What must hold:", ...lines].join("\n");
}

/** The first column to the left, figures to the right. */
function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [titles, ...rows];
  const widths = titles.map((_, at) => Math.max(...all.map((row) => (row[at] ?? "").length)));
  return all
    .map((row) =>
      row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join("  "),
    )
    .join("\n");
}

function number(value: number): string {
  return value.toLocaleString("en");
}
