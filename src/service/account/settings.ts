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
        user: z
          .string()
          .min(1)
          .optional()
          .describe("The user name; with `external`, only where the certificate leaves a choice."),
        password: secret().optional().describe("The password. Better kept in a file of its own."),
        passwordFile: path().optional().describe("A file with the password on its first line."),
        external: z
          .boolean()
          .default(false)
          .describe("Log in by the certificate that the TLS policy shows there (AUTH EXTERNAL), without a password."),
      })
      .refine(
        ({ password, passwordFile, external }) =>
          [password !== undefined, passwordFile !== undefined, external].filter(Boolean).length === 1,
        { error: "expected exactly one of password, password-file and external" },
      )
      .refine(({ user, external }) => external || user !== undefined, { error: "expected a user", path: ["user"] }),
  )
  .default({})
  .describe("User names and passwords for relays, by name; an action's `relay.credentials` chooses one.");

/** A relay's login, with its secret. */
export interface Credentials {
  /** Empty: whoever the certificate says. */
  readonly user: string;
  readonly password: string;
  /** By the certificate of the TLS connection: there is no password. */
  readonly isExternal?: boolean | undefined;
}
