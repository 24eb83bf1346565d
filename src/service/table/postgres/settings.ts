import { z } from "zod";
import { queriesSettings } from "../queries.ts";
import { serverFields } from "../pool/settings.ts";
import { checkQueries } from "../sql/check-queries.ts";

export const postgresSettings = z
  .strictObject({
    ...serverFields,
    database: z.string().min(1).describe("The database."),
    user: z.string().min(1).describe("The role to log in as."),
    prepare: z
      .boolean()
      .default(true)
      .describe(
        "Whether the server keeps the queries prepared for each connection. Switch it off behind a pooler that hands out connections by transaction and does not know prepared statements.",
      ),
    queries: queriesSettings,
  })
  .superRefine((settings, context) => checkQueries(settings.queries, "postgres", context));
export type PostgresSettings = z.output<typeof postgresSettings>;
