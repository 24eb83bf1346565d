import { isAbsolute } from "node:path";
import { z } from "zod";
import { duration, path, tableName } from "../config/kinds.ts";

/** Where users and their passwords are. */
export type AccountBackend =
  | { readonly kind: "table"; readonly table: string }
  | { readonly kind: "shadow" }
  | { readonly kind: "pam"; readonly service: string }
  | { readonly kind: "dovecot"; readonly socket: SocketPlace; readonly service: string; readonly timeout: number }
  | {
      readonly kind: "saslauthd";
      readonly socket: string;
      readonly service: string;
      readonly realm: "none" | "domain";
      readonly timeout: number;
    }
  /** An LDAP table: finds the user's entry, and binds as it. */
  | { readonly kind: "ldap"; readonly table: string }
  | { readonly kind: "oauth"; readonly oauth: OauthSettings };

/** A unix socket's path, or host and port. */
export type SocketPlace = { readonly path: string } | { readonly host: string; readonly port: number };

export interface OauthSettings {
  /** How a token is found good: by asking its issuer, or by the issuer's keys. */
  readonly check:
    | {
        readonly by: "introspection";
        readonly url: string;
        readonly clientId: string | undefined;
        readonly clientSecretFile: string | undefined;
      }
    | { readonly by: "keys"; readonly url: string | undefined; readonly file: string | undefined };
  readonly issuer: string | undefined;
  readonly audience: readonly string[];
  readonly scope: readonly string[];
  readonly userClaim: string;
  readonly timeout: number;
  readonly remember: number;
}

const timeout = duration({ min: "1s", max: "2m" }).prefault("10s").describe("How long its answer may take.");

const oauthSettings = z
  .strictObject({
    introspection: httpUrl()
      .optional()
      .describe("Where the issuer says whether a token is good (RFC 7662). https, or http on a loopback address."),
    clientId: z.string().min(1).optional().describe("As whom we ask there."),
    clientSecretFile: path().optional().describe("A file with our secret there on its first line."),
    keys: httpUrl()
      .optional()
      .describe("Where the issuer's keys are (a JSON Web Key Set), for tokens that are JSON Web Tokens."),
    keysFile: path().optional().describe("The keys in a file instead; read when the server starts or reloads."),
    issuer: z.string().min(1).optional().describe("Who must have issued the token: its `iss`. Needed with keys."),
    audience: z
      .array(z.string().min(1))
      .default([])
      .describe(
        "For whom the token must be: one of these in its `aud`. Needed with keys: a token for another service is not one for us.",
      ),
    scope: z.array(z.string().min(1)).default([]).describe("What the token must allow: all of these in its `scope`."),
    userClaim: z
      .string()
      .min(1)
      .default("email")
      .describe("Which of the token's claims is the account: email, preferred_username, sub, username."),
    timeout: duration({ min: "1s", max: "2m" }).prefault("10s").describe("How long the issuer's answer may take."),
    remember: duration({ max: "1h" })
      .prefault("1m")
      .describe("How long an introspected token is believed without asking again, at most until it expires."),
  })
  .transform((written, context): OauthSettings => {
    const { introspection, clientId, clientSecretFile, keys, keysFile, issuer, audience, ...rest } = written;
    const refuse = (message: string): never => {
      context.addIssue({ code: "custom", message });
      return z.NEVER;
    };
    if ([introspection, keys, keysFile].filter((way) => way !== undefined).length !== 1)
      return refuse("expected exactly one of introspection, keys and keys-file");
    if (introspection !== undefined)
      return {
        check: { by: "introspection", url: introspection, clientId, clientSecretFile },
        issuer,
        audience,
        ...rest,
      };
    if (clientId !== undefined || clientSecretFile !== undefined)
      return refuse("client-id and client-secret-file belong to introspection");
    if (issuer === undefined || audience.length === 0)
      return refuse("expected issuer and audience: keys alone would accept a token that was made for somebody else");
    return { check: { by: "keys", url: keys, file: keysFile }, issuer, audience, ...rest };
  });

/** One of these is the backend; what stands beside it is its own. */
export const accountBackendSettings = z
  .strictObject({
    table: tableName()
      .optional()
      .describe("A table of user and password, or its hash: `{SCHEME}...`, or as crypt(3) writes them."),
    system: z
      .enum(["pam", "shadow"])
      .optional()
      .describe("The system's users: as PAM says, or by /etc/shadow. The keeper asks, so it must be root."),
    dovecot: z
      .string()
      .optional()
      .describe(
        "The socket of Dovecot's auth service for clients: a path, or host:port (loopback or a network you trust).",
      ),
    saslauthd: path().optional().describe("The socket of saslauthd, most often /var/run/saslauthd/mux."),
    ldap: tableName()
      .optional()
      .describe(
        "An LDAP table: the user's entry is searched by its `credentials` query, and then bound as, with the password.",
      ),
    oauth: oauthSettings.optional().describe("Tokens instead of passwords (OAUTHBEARER, XOAUTH2)."),
    service: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,64}$/, "expected a name of letters, digits, dots and dashes")
      .default("smtp")
      .describe("For PAM, saslauthd and Dovecot: the service's name. PAM has a file of that name in /etc/pam.d."),
    realm: z
      .enum(["none", "domain"])
      .default("none")
      .describe(
        "For saslauthd: `domain` gives what stands behind the @ as the realm, as saslauthd without -r wants it.",
      ),
    timeout,
  })
  .transform((written, context): AccountBackend => {
    const { table, system, dovecot, saslauthd, ldap, oauth, service, realm, timeout: within } = written;
    const given = [table, system, dovecot, saslauthd, ldap, oauth].filter((one) => one !== undefined);
    if (given.length !== 1) {
      context.addIssue({
        code: "custom",
        message: "expected exactly one of table, system, dovecot, saslauthd, ldap and oauth",
      });
      return z.NEVER;
    }
    if (table !== undefined) return { kind: "table", table };
    if (system !== undefined) return system === "pam" ? { kind: "pam", service } : { kind: "shadow" };
    if (saslauthd !== undefined) return { kind: "saslauthd", socket: saslauthd, service, realm, timeout: within };
    if (ldap !== undefined) return { kind: "ldap", table: ldap };
    if (oauth !== undefined) return { kind: "oauth", oauth };
    const socket = socketPlace(dovecot ?? "");
    if (socket !== undefined) return { kind: "dovecot", socket, service, timeout: within };
    context.addIssue({ code: "custom", path: ["dovecot"], message: "expected an absolute path, or host:port" });
    return z.NEVER;
  });

function socketPlace(text: string): SocketPlace | undefined {
  if (isAbsolute(text)) return { path: text };
  const parts = /^(?:\[([\da-f:.]+)\]|([^:[\]/]+)):(\d{1,5})$/i.exec(text);
  const host = parts?.[1] ?? parts?.[2];
  const port = Number(parts?.[3]);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

/** Tokens and our secret go there: only encrypted, or to this machine. */
function httpUrl(): z.ZodType<string, string> {
  return z.string().refine(
    (text) => {
      if (!URL.canParse(text)) return false;
      const url = new URL(text);
      if (url.username !== "" || url.password !== "") return false;
      return (
        url.protocol === "https:" ||
        (url.protocol === "http:" && /^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(url.hostname))
      );
    },
    { error: "expected an https URL without a password in it (http only for this machine)" },
  );
}
