import { z } from "zod";
import { path, secret, tableName } from "../config/kinds.ts";

export const accountsSettings = tableName()
  .optional()
  .describe(
    "Who may log in: a table of user and password hash (made by `posthorn account hash`). Without it nobody may.",
  );

/** What we log in with elsewhere. `password` and `passwordFile` leave the settings when they are read: see `Secrets`. */
export const credentialsSettings = z
  .record(
    z.string(),
    z
      .strictObject({
        user: z.string().min(1).describe("The user name."),
        password: secret().optional().describe("The password. Better kept in a file of its own."),
        passwordFile: path().optional().describe("A file with the password on its first line."),
      })
      .refine((entry) => (entry.password === undefined) !== (entry.passwordFile === undefined), {
        error: "expected exactly one of password and password-file",
      }),
  )
  .default({})
  .describe("User names and passwords for relays, by name; an action's `relay.credentials` chooses one.");

/** A relay's login, with its secret. */
export interface Credentials {
  readonly user: string;
  readonly password: string;
}
