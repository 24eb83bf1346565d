import type { z } from "zod";
import { keylessProblem } from "../key-parameters.ts";
import { TABLE_SERVICES, type TableService } from "../table.ts";
import type { Queries } from "../queries.ts";
import { parseNamedQuery, type NamedQuery, type SqlDialect } from "./named-query.ts";

/** Tells of each query that cannot be parsed, at its place in the settings. */
export function checkQueries(queries: Queries, dialect: SqlDialect, context: z.RefinementCtx): void {
  for (const service of TABLE_SERVICES) {
    const text = queries[service];
    const parsed = text === undefined ? undefined : parseNamedQuery(text, dialect);
    if (parsed === undefined) continue;
    const path = ["queries", service];
    if (parsed.ok) {
      const message = keylessProblem(service, parsed.value.parameters);
      if (message !== undefined) context.addIssue({ code: "custom", path, message });
      continue;
    }
    const { at, expected } = parsed.problem;
    context.addIssue({ code: "custom", path, message: `expected ${expected}, at character ${at + 1} of the query` });
  }
}

/** The queries by service; those that cannot be parsed were refused with the settings, and are left out. */
export function parsedQueries(queries: Queries, dialect: SqlDialect): ReadonlyMap<TableService, NamedQuery> {
  const parsed = new Map<TableService, NamedQuery>();
  for (const service of TABLE_SERVICES) {
    const text = queries[service];
    const query = text === undefined ? undefined : parseNamedQuery(text, dialect);
    if (query?.ok) parsed.set(service, query.value);
  }
  return parsed;
}
