import { z } from "zod";
import { path } from "../../config/kinds.ts";
import { keylessProblem } from "../key-parameters.ts";
import { queriesSettings } from "../queries.ts";
import { TABLE_SERVICES } from "../table.ts";
import { queryParameters } from "./sqlite-query.ts";

export const sqliteSettings = z
  .strictObject({
    file: path().describe("The database. It is only read, and opened again when it is replaced."),
    queries: queriesSettings,
  })
  .superRefine(({ queries }, context) => {
    for (const service of TABLE_SERVICES) {
      const named = queryParameters(queries[service] ?? "");
      const message = queries[service] !== undefined && named.ok ? keylessProblem(service, named.value) : undefined;
      if (message !== undefined) context.addIssue({ code: "custom", path: ["queries", service], message });
    }
  });
export type SqliteSettings = z.output<typeof sqliteSettings>;
