import type { FirstAnswer } from "./keyed-backend.ts";
import type { Table, TableAsk } from "./table.ts";

/** The first of several keys that is there as `exact` has it; together where the table can, else in turn. */
export function firstExact(table: Table, keys: readonly string[], ask?: TableAsk): Promise<FirstAnswer> {
  // Step by step when somebody wants to see each; it finds the same.
  const isWorthIt = keys.length > 1 || ask?.ahead !== undefined;
  return table.firstExact !== undefined && isWorthIt && ask?.onStep === undefined
    ? table.firstExact(keys, ask)
    : firstInTurn(table, keys, ask);
}

async function firstInTurn(table: Table, keys: readonly string[], ask: TableAsk | undefined): Promise<FirstAnswer> {
  for (const key of keys) {
    const answer = await table.exact(key, ask);
    if (answer.kind === "found") return { ...answer, key };
    if (answer.kind === "failed") return answer;
  }
  return { kind: "none" };
}
