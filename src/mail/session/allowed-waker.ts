import type { DomainWaker } from "../queue/queue.ts";
import type { Table } from "../../service/table/table.ts";
import { tableFor, type Tables } from "../../service/table/tables.ts";
import type { TableOrList } from "../../service/config/kinds.ts";

/** Below any domain, and nobody's: a table that has it has all that is below. */
const ANY_NAME = "any-name-at-all-below-it";

/** For each listener: wakes the domains that its settings list, and no other. */
export function allowedWaker(
  listeners: readonly { readonly name: string; readonly etrn: { readonly domains: TableOrList } }[],
  tables: Tables,
  waker: DomainWaker,
): (listener: string) => DomainWaker {
  const allowed = new Map<string, Table | undefined>();
  for (const { name, etrn } of listeners)
    allowed.set(name, tableFor(tables, etrn.domains, `listeners.${name}.etrn.domains`));
  return (listener) => ({
    async wake(request) {
      const table = allowed.get(listener);
      if (table === undefined)
        return { kind: "failed", text: `there is no table of the domains that ${listener} wakes` };
      const { domain, withSubdomains } = request;
      for (const key of withSubdomains ? [domain, `${ANY_NAME}.${domain}`] : [domain]) {
        const answer = await table.has(key);
        if (answer.kind === "failed") return { kind: "failed", text: answer.text };
        if (answer.kind === "none" || !answer.value) return { kind: "not-allowed" };
      }
      return waker.wake(request);
    },
  });
}
