import { z } from "zod";
import { count, hostName, ipAddress, oneOrMore, path, tableOrList } from "../../service/config/kinds.ts";
import {
  certificateNameCondition,
  domainCondition,
  fingerprintCondition,
  mailboxCondition,
  nameCondition,
  sourceCondition,
} from "./condition.ts";
import { sourceChoice, type SourceChoice } from "./source.ts";

/** What is ours: the domains whose mail ends here, and who lives in them. */
export const localSettings = z
  .strictObject({
    domains: tableOrList()
      .optional()
      .describe("The domains whose mail ends here. Without it: localhost and the host name."),
    users: tableOrList()
      .optional()
      .describe(
        "Who may receive mail in these domains, as `user` or `user@domain`; others are refused with 550 5.1.1. Without it every user is known.",
      ),
    postmaster: z
      .string()
      .min(1)
      .default("postmaster")
      .describe("The local user, or the full address, who receives mail for postmaster (RFC 5321 section 4.5.1)."),
    extensionDelimiter: z
      .string()
      .max(1)
      .default("+")
      .describe("What separates a user from an extension: user+lists is looked up as user, too. Empty: nothing does."),
  })
  .prefault({})
  .describe("What is local: domains and users.");
export type LocalSettings = z.output<typeof localSettings>;

const relayAction = z.strictObject({
  to: oneOrMore(z.string().min(1))
    .optional()
    .describe(
      "The next hosts as URLs (`smtps://relay.example.net`, `lmtp+unix:/run/lmtp`), tried in this order. Without it: the recipient domain's MX.",
    ),
  credentials: z.string().optional().describe("The entry of `credentials` to log in with."),
  verify: z
    .boolean()
    .optional()
    .describe("Whether the certificate must verify. Without it: yes when credentials are sent, else no."),
  source: ipAddress().optional().describe("The local address that connections come from; or several, as `sources`."),
  sources: sourceChoice
    .optional()
    .describe(
      "The local addresses that connections come from, shared by weight: a list, or `pool:name` of `route.pools`.",
    ),
  helo: hostName().optional().describe("The name given in EHLO. Without it: the host name."),
  backup: z
    .boolean()
    .default(false)
    .describe("Deliver only to MX hosts that are better than this host: for a backup MX."),
});

const rejectAction = z
  .strictObject({
    code: count({ min: 400, max: 599 }).default(550).describe("The SMTP reply code, 4xx or 5xx."),
    status: z
      .string()
      .regex(/^[45]\.\d{1,3}\.\d{1,3}$/, "expected an enhanced status code such as 5.7.1")
      .optional()
      .describe("The enhanced status code (RFC 3463). Without it: 4.7.1 or 5.7.1."),
    text: z
      .string()
      .max(400)
      .regex(/^[\x20-\x7e]*$/, "expected printable ASCII")
      .default("refused by policy")
      .describe("What the client is told."),
  })
  .refine((reject) => reject.status === undefined || reject.status.startsWith(String(reject.code).charAt(0)), {
    error: "code and status disagree: both begin with 4, or both with 5",
  });

/** What the rules can choose. An envelope carries the name, so that changing the action frees mail that waits. */
export type Action =
  | { readonly kind: "deliver"; readonly as: "maildir" | "mbox" | "discard"; readonly path?: string | undefined }
  | ({ readonly kind: "relay" } & RelayAction)
  | { readonly kind: "reject"; readonly code: number; readonly status: string; readonly text: string };

export interface RelayAction {
  /** URLs, tried in this order; empty: by the MX of the recipient's domain. */
  readonly to: readonly string[];
  readonly credentials?: string | undefined;
  /** Undefined: only with credentials. */
  readonly verify?: boolean | undefined;
  /** Undefined: as shaping and the settings of routes say. */
  readonly sources?: SourceChoice | undefined;
  readonly helo?: string | undefined;
  readonly backup: boolean;
}

const actionSettings = z
  .strictObject({
    deliver: z
      .enum(["maildir", "mbox", "discard"])
      .optional()
      .describe("Final delivery: into a Maildir, an mbox file, or nowhere."),
    path: path()
      .optional()
      .describe(
        "The mailbox, for `deliver`: a path with {user}, {domain}, {recipient}. Without it: as `mailbox` says.",
      ),
    relay: relayAction.optional().describe("Pass the mail on. `{}` means by the MX of the recipient's domain."),
    reject: rejectAction.optional().describe("Refuse the recipient. `{}` means 550 5.7.1."),
  })
  .transform((written, context): Action => {
    const { deliver, relay, reject } = written;
    if ([deliver, relay, reject].filter((kind) => kind !== undefined).length !== 1) {
      context.addIssue({ code: "custom", message: "expected exactly one of deliver, relay, reject" });
      return z.NEVER;
    }
    if (written.path !== undefined && (deliver === undefined || deliver === "discard")) {
      context.addIssue({
        code: "custom",
        path: ["path"],
        message: "a path goes with deliver: maildir or deliver: mbox",
      });
      return z.NEVER;
    }
    if (relay !== undefined) {
      const { source, sources, ...rest } = relay;
      if (source !== undefined && sources !== undefined) {
        context.addIssue({ code: "custom", path: ["relay", "source"], message: "expected either source or sources" });
        return z.NEVER;
      }
      const chosen = sources ?? (source === undefined ? undefined : [{ address: source, weight: 1 }]);
      return { kind: "relay", ...rest, to: relay.to ?? [], ...(chosen === undefined ? {} : { sources: chosen }) };
    }
    if (reject !== undefined)
      return { kind: "reject", ...reject, status: reject.status ?? `${String(reject.code).charAt(0)}.7.1` };
    return { kind: "deliver", as: deliver ?? "discard", path: written.path };
  });

export const actionsSettings = z
  .record(z.string().regex(/^[A-Za-z][A-Za-z0-9._-]*$/, "expected a name of letters, digits, - and _"), actionSettings)
  .default({})
  .describe(
    "What the rules can choose, by name. `deliver` (local mailboxes) and `relay` (by MX) exist unless written.",
  );
export type Actions = z.output<typeof actionsSettings>;

const conditions = {
  from: oneOrMore(sourceCondition())
    .optional()
    .describe(
      "Who gives us the mail: any, local (this host), auth (logged in), certificate (listed to relay in the listener's `client-identities`), addresses, networks, table:name.",
    ),
  for: oneOrMore(domainCondition())
    .optional()
    .describe("The recipient's domain: any, local, names, *.domain, table:name."),
  auth: oneOrMore(nameCondition())
    .optional()
    .describe("The account the client logged in with: any, names, table:name."),
  tls: z.boolean().optional().describe("Whether the client's connection is encrypted."),
  certificateVerified: z
    .boolean()
    .optional()
    .describe("Whether the client showed a certificate that the listener's `client-authorities` vouch for."),
  certificateFingerprint: oneOrMore(fingerprintCondition())
    .optional()
    .describe("The SHA-256 fingerprint of the client's certificate or of its public key: fingerprints, table:name."),
  certificateName: oneOrMore(certificateNameCondition())
    .optional()
    .describe(
      "A host name, e-mail address or the common name in the client's certificate, if it was verified: names, *.domain, table:name.",
    ),
  certificateSubject: oneOrMore(nameCondition())
    .optional()
    .describe(
      "The subject of the client's certificate, if it was verified, as `CN=relay,O=Example`: subjects, table:name.",
    ),
  listener: oneOrMore(nameCondition()).optional().describe("The listener's name."),
  tag: oneOrMore(nameCondition()).optional().describe("The listener's tag."),
  helo: oneOrMore(domainCondition())
    .optional()
    .describe("The name the client gave in EHLO: names, *.domain, table:name."),
  mailFrom: oneOrMore(mailboxCondition())
    .optional()
    .describe("The sender: user@domain, @domain, *.domain, table:name; <> is the null sender."),
  rcptTo: oneOrMore(mailboxCondition())
    .optional()
    .describe("The recipient: user@domain, @domain, *.domain, table:name."),
};

export const ruleSettings = z.strictObject({
  match: z
    .strictObject({
      ...conditions,
      not: z.strictObject(conditions).optional().describe("The same conditions; none of them may hold."),
    })
    .default({})
    .describe("All of these must hold. What is not mentioned does not matter."),
  action: z.string().min(1).describe("The name of the action."),
});
export type Rule = z.output<typeof ruleSettings>;
export type Match = Rule["match"];

export const rulesSettings = z
  .array(ruleSettings)
  .optional()
  .describe(
    "What becomes of a recipient: the first rule that matches decides, and without a match the recipient is refused. Without rules: mail for local domains is delivered, mail from this host, from logged-in clients and from those whose certificate is listed is relayed.",
  );
