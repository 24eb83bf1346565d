import { z } from "zod";
import { count } from "../../config/kinds.ts";
import { serverFields } from "../pool/settings.ts";
import { TABLE_SERVICES } from "../table.ts";
import { keylessProblem } from "../key-parameters.ts";
import { parametersIn } from "../template.ts";
import { parseCommandTemplate } from "./command-template.ts";

const command = z.string().superRefine((text, context) => {
  const parsed = parseCommandTemplate(text);
  if (parsed.ok) return;
  const { at, expected } = parsed.problem;
  context.addIssue({ code: "custom", message: `expected ${expected}, at character ${at + 1}` });
});

export const redisSettings = z.strictObject({
  ...serverFields,
  user: z.string().min(1).optional().describe("The user of an ACL; left out: the default user."),
  database: count({ min: 0, max: 65_535 }).default(0).describe("The database's number."),
  prefix: z.string().default("").describe("What stands in front of each key that is asked for."),
  commands: z
    .partialRecord(z.enum(TABLE_SERVICES), command)
    .refine((commands) => Object.keys(commands).length > 0, { error: "expected at least one command" })
    .superRefine((commands, context) => {
      for (const service of TABLE_SERVICES) {
        const text = commands[service];
        const message = text === undefined ? undefined : keylessProblem(service, parametersIn(text));
        if (message !== undefined) context.addIssue({ code: "custom", path: [service], message });
      }
    })
    .describe(
      "A command for each service (alias, domain, credentials, userinfo ...), such as `GET alias:%{key}`, `HGET users:%{user} password` or `SISMEMBER domains %{key}`; `string` answers services without a command of their own.",
    ),
});
export type RedisSettings = z.output<typeof redisSettings>;
