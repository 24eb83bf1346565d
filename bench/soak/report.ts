import { execFileSync } from "node:child_process";
import { cpus, loadavg, release } from "node:os";
import { ROOT } from "../../test/server.ts";
import { median, totalOwn } from "./judge.ts";
import type { SoakOptions, SoakReport } from "./soak.ts";
import type { Sample } from "./watch.ts";

/** The run as Markdown. */
export function reportOf(report: SoakReport, options: SoakOptions): string {
  const { judged, watch, account, kinds, problems } = report;
  const [first, final] = [judged.middle[0], judged.last.at(-1)];
  const seconds = ((final?.atMs ?? 0) - (first?.atMs ?? 0)) / 1000;
  const cpu = ((final?.cpuSeconds ?? 0) - (first?.cpuSeconds ?? 0)) / Math.max(1, seconds);
  const spools = watch.samples.map(({ spoolBytes }) => spoolBytes);
  const day = new Date().toISOString().slice(0, 10);
  const change = (was: number, is: number): string => `${is >= was ? "+" : ""}${((is / was - 1) * 100).toFixed(1)} %`;
  const medians = (samples: readonly Sample[], name: string): number =>
    median(
      samples.flatMap(({ processes }) => processes.filter((one) => one.name === name).map(({ ownKiB }) => ownKiB)),
    );
  const rows = judged.after.processes.map((now) => {
    const then = judged.before.processes.find(({ name }) => name === now.name) ?? now;
    const meanwhile = judged.between.processes.find(({ name }) => name === now.name) ?? now;
    const [was, is] = [medians(judged.middle, now.name), medians(judged.last, now.name)];
    return [
      now.name,
      mib(was),
      mib(is),
      change(was, is),
      [then, meanwhile, now].map(({ ownKiB }) => mib(ownKiB)).join(" → "),
      [then, meanwhile, now].map(({ pageBytes }) => mib(pageBytes / 1024)).join(" → "),
      mb(then.liveBytes),
      mb(now.liveBytes),
      change(then.liveBytes, now.liveBytes),
      `${then.descriptors} → ${now.descriptors}`,
      `${then.handles} → ${now.handles}`,
    ];
  });
  const [was, is] = [median(judged.middle.map(totalOwn)), median(judged.last.map(totalOwn))];
  const [restWas, restIs] = [totalOwn(judged.before), totalOwn(judged.after)];
  const atRest = `${[restWas, totalOwn(judged.between), restIs].map(mib).join(" → ")} (${change(restWas, restIs)})`;
  const pages = [judged.before, judged.between, judged.after]
    .map(({ processes }) => mib(processes.reduce((sum, { pageBytes }) => sum + pageBytes, 0) / 1024))
    .join(" → ");
  rows.push(["together", mib(was), mib(is), change(was, is), atRest, pages, "", "", "", "", ""]);
  return [
    `# ${day}: a soak of ${Math.round(options.ms / 60_000)} minutes, ${options.layout === "split" ? "several processes" : "one process"}`,
    "",
    `Posthorn${commitOf()}, ${options.isEmitted ? "emitted JavaScript" : "from the sources"}; Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown"}, Linux ${release()}; load average at the end ${(loadavg()[0] ?? 0).toFixed(1)}.`,
    `A third of the time warm-up, then two parts of which the later one may not have more than the earlier one (\`bench/soak/judge.ts\`); seed ${options.seed}.`,
    "",
    `**${problems.length === 0 ? "All is as it should be." : `${problems.length} things are not as they should be:`}**`,
    ...(problems.length === 0 ? [] : ["", ...problems.map((problem) => `- ${problem}`)]),
    "",
    table(
      [
        "process",
        "PSS without files, middle (MiB)",
        "last",
        "",
        "at rest",
        "of it V8's pages",
        "live heap at rest, before (MB)",
        "after",
        "",
        "descriptors at rest",
        "sockets and pipes",
      ],
      rows,
    ),
    "",
    `${account.promised} deliveries promised with 250, ${account.arrivedCount} seen, ${account.owedCount} missing; the longest took ${(account.longestMs / 1000).toFixed(1)} s. ` +
      `${report.sessionsOut} sessions with next hosts, ${report.commands} commands, ${report.reloads} reloads. ` +
      `CPU: ${(cpu * 100).toFixed(0)} % of one core. Queue on the disk: ${(median(spools) / 1e6).toFixed(1)} MB in the median, ${(Math.max(...spools) / 1e6).toFixed(1)} MB at most, ${((spools.at(-1) ?? 0) / 1e6).toFixed(1)} MB at the end.`,
    "",
    table(
      ["clients (without the warm-up)", "done", "not as it should be"],
      [...kinds].map(([name, { done, failed }]) => [name, String(done), String(failed)]),
    ),
    "",
  ].join("\n");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, at) => (at === 0 ? "---" : "--:"))), ...rows.map(line)].join("\n");
}

function mib(kib: number): string {
  return (kib / 1024).toFixed(1);
}

function mb(bytes: number): string {
  return (bytes / 1e6).toFixed(2);
}

function commitOf(): string {
  try {
    return ` (${execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: ROOT, encoding: "utf8" }).trim()})`;
  } catch {
    return "";
  }
}
