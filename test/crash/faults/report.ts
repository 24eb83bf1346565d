import type { RoundResult } from "./round.ts";
import type { Fault } from "./fault.ts";

/** A round in one line; what is wrong on lines of their own. */
export function lineOf(
  seed: number,
  { round, layout, faults, ledger, played, problems, phases, tookMs, folder }: RoundResult,
): string {
  const head = `round ${round} of seed ${seed} (${layout}, ${faults.map(({ name }) => name).join(" + ")}): ${wordsOf(ledger)}, ${(tookMs / 1000).toFixed(1)} s (${phases.map((seconds) => seconds.toFixed(1)).join(" + ")})`;
  const wrong =
    problems.length === 0 ? [] : [...problems.map((problem) => `  WRONG: ${problem}`), `  kept in ${folder}`];
  return [head, ...played.map((what) => `  ${what}`), ...wrong].join("\n");
}

type Sums = Pick<RoundResult["ledger"], "sent" | "acknowledged" | "delivered" | "bounced" | "held" | "duplicates">;

function wordsOf(sums: Sums): string {
  const missing = sums.acknowledged - sums.delivered - sums.bounced;
  return `${sums.sent} sent, ${sums.acknowledged} acknowledged, ${sums.delivered} delivered, ${sums.bounced} bounced, ${sums.held} held, ${missing} missing, ${sums.duplicates} duplicates`;
}

const COLUMNS = ["rounds", "wrong", "sent", "acknowledged", "delivered", "bounced", "held", "duplicates"] as const;

/** Faults by outcomes: what was played in how many rounds, and what became of their mail. */
export function tableOf(faults: readonly Fault[], results: readonly RoundResult[]): string {
  const rows = faults.map(({ name }) => {
    const own = results.filter((result) => result.faults.some((fault) => fault.name === name));
    return [name, ...figuresOf(own).map(String)];
  });
  const table = [["fault", ...COLUMNS], ...rows, ["all", ...figuresOf(results).map(String)]];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((row) => (row[column] ?? "").length))) ?? [];
  return table
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join("  "),
    )
    .join("\n");
}

export function accountOf(results: readonly RoundResult[]): string {
  const [rounds, wrong, sent = 0, acknowledged = 0, delivered = 0, bounced = 0, held = 0, duplicates = 0] =
    figuresOf(results);
  return `${rounds} rounds, ${wrong} of them wrong: ${wordsOf({ sent, acknowledged, delivered, bounced, held, duplicates })}`;
}

function figuresOf(results: readonly RoundResult[]): readonly number[] {
  const sum = (figure: keyof Sums): number => results.reduce((total, { ledger }) => total + ledger[figure], 0);
  const [, , ...sums] = COLUMNS;
  return [results.length, results.filter(({ problems }) => problems.length > 0).length, ...sums.map(sum)];
}
