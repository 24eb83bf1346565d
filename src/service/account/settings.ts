import { z } from "zod";
import { count, duration, path, secret, tableName } from "../config/kinds.ts";
import type { SaslMechanism } from "../../protocol/sasl/question.ts";
import { saslMechanisms } from "./sasl-mechanisms.ts";
import { accountBackendSettings, type AccountBackend } from "./backend-settings.ts";
import { sendingLimitSettings, type SendingLimitSettings } from "./sending-settings.ts";
import { throttleSettings, type ThrottleSettings } from "./throttle-settings.ts";

/** Who may log in, and how that is found out. */
export interface AccountsSettings {
  /** Asked in this order, until one says yes. */
  readonly backends: readonly AccountBackend[];
  /** How long a password that was right is believed without asking again; 0: not at all. */
  readonly remember: number;
  /** Checks that work at the same time, in the lookup role and (system users) in the keeper. */
  readonly checksAtOnce: number;
  /** Whether hashes built on MD5 or DES count. */
  readonly weakHashes: boolean;
  /** How clients may log in; undefined: as the backends can serve (`offered-mechanisms.ts`). */
  readonly mechanisms?: readonly SaslMechanism[] | undefined;
  readonly throttle: ThrottleSettings;
  /** Undefined: any number of mails. */
  readonly limits?: SendingLimitSettings | undefined;
}

const backends = z
  .array(accountBackendSettings)
  .min(1, "expected at least one backend")
  .describe("Where users and their passwords are, asked in this order until one says yes.");

/** What belongs to all backends together. */
const manner = {
  remember: duration({ max: "1h" })
    .prefault("1m")
    .describe(
      "How long a password that was right is believed without another check (a keyed digest of it is kept, in memory). 0s: never.",
    ),
  checksAtOnce: count({ min: 1, max: 64 })
    .default(2)
    .describe("Password checks that work at the same time; others wait."),
  weakHashes: z
    .boolean()
    .default(false)
    .describe(
      "Whether passwords count that are hashed by MD5 or DES: whoever has such a table soon has the passwords.",
    ),
  mechanisms: saslMechanisms()
    .optional()
    .describe(
      "How clients may log in. Left out: PLAIN, LOGIN and EXTERNAL, and with an OAuth backend OAUTHBEARER and XOAUTH2. SCRAM needs tables with `{SCRAM-SHA-256}` or `{PLAIN}` passwords, CRAM-MD5 `{PLAIN}` ones, for all who log in.",
    ),
  throttle: throttleSettings.describe("Failed logins: answered slowly, and blocked for a while."),
  limits: sendingLimitSettings.optional(),
};
const allManner = z.strictObject(manner);

export const accountsSettings = z
  .union([tableName(), backends, z.strictObject({ backends, ...manner })])
  .transform((written): AccountsSettings => {
    if (typeof written === "string") return { backends: [{ kind: "table", table: written }], ...allManner.parse({}) };
    return "backends" in written ? written : { backends: written, ...allManner.parse({}) };
  })
  .optional()
  .describe(
    "Who may log in: a table of user and password hash (made by `posthorn account hash`), a list of backends, or backends with what belongs to them. Without it nobody may.",
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
