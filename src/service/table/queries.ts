import { z } from "zod";
import { TABLE_SERVICES, type TableService } from "./table.ts";

/** A query a service; `string` is asked for services that have none of their own. */
export const queriesSettings = z
  .partialRecord(z.enum(TABLE_SERVICES), z.string().min(1))
  .refine((queries) => Object.keys(queries).length > 0, { error: "expected at least one query" })
  .describe(
    "A query for each service (`alias`, `domain`, `credentials`, `userinfo` ...), with `:key`, `:user`, `:domain` and `:service` for what is asked. `string` answers services without a query of their own.",
  );
export type Queries = z.output<typeof queriesSettings>;

/** The query for a service; undefined when the settings have none that could answer it. */
export function queryFor(queries: Queries, service: TableService): string | undefined {
  return queries[service] ?? queries.string;
}

/** The services that these queries can answer; undefined: all. */
export function servicesOf(queries: Queries): readonly TableService[] | undefined {
  return queries.string === undefined ? TABLE_SERVICES.filter((each) => queries[each] !== undefined) : undefined;
}
