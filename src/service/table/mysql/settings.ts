import { z } from "zod";
import { queriesSettings } from "../queries.ts";
import { serverFields } from "../pool/settings.ts";
import { checkQueries } from "../sql/check-queries.ts";

export const mysqlSettings = z
  .strictObject({
    ...serverFields,
    database: z.string().min(1).describe("The database."),
    user: z.string().min(1).describe("The account to log in as."),
    queries: queriesSettings,
  })
  .superRefine((settings, context) => checkQueries(settings.queries, "mysql", context));
export type MysqlSettings = z.output<typeof mysqlSettings>;
