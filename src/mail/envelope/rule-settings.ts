import { z } from "zod";
import { oneOrMore } from "../../service/config/kinds.ts";
import {
  certificateNameCondition,
  domainCondition,
  fingerprintCondition,
  mailboxCondition,
  nameCondition,
  sourceCondition,
} from "./condition.ts";
import { senderOverride } from "./rewrite/settings.ts";
import { contentFilterSetting } from "./content-filter-settings.ts";

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
  tag: oneOrMore(nameCondition())
    .optional()
    .describe("The listener's tag, or one that a filter gave the session or the mail."),
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

/** What can be asked of a session or a mail whose recipients do not matter. */
const sessionConditions = {
  from: conditions.from,
  auth: conditions.auth,
  tls: conditions.tls,
  certificateVerified: conditions.certificateVerified,
  listener: conditions.listener,
  tag: conditions.tag,
  helo: conditions.helo,
  mailFrom: conditions.mailFrom,
};

export const sessionMatchSettings = z.strictObject({
  ...sessionConditions,
  not: z.strictObject(sessionConditions).optional().describe("The same conditions; none of them may hold."),
});
export type SessionMatch = z.output<typeof sessionMatchSettings>;

export const ruleSettings = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9._-]{0,62}$/, "expected a name of letters, digits, dot, - and _, a letter first")
    .optional()
    .describe("What the log calls the rule. Without it: where it stands."),
  match: z
    .strictObject({
      ...conditions,
      not: z.strictObject(conditions).optional().describe("The same conditions; none of them may hold."),
    })
    .default({})
    .describe("All of these must hold. What is not mentioned does not matter."),
  action: z.string().min(1).describe("The name of the action."),
  as: senderOverride()
    .optional()
    .describe("The sender instead of the message's, for what this rule matches; it goes before the action's `as`."),
  contentFilter: contentFilterSetting()
    .optional()
    .describe(
      "Where mail that this rule matches goes before it goes anywhere else, instead of what the listener says; `none`: nowhere. The rule needs a name.",
    ),
});
export type Rule = z.output<typeof ruleSettings>;
export type Match = Rule["match"];

export const rulesSettings = z
  .array(ruleSettings)
  .optional()
  .describe(
    "What becomes of a recipient: the first rule that matches decides, and without a match the recipient is refused. Without rules: mail for local domains is delivered, mail from this host, from logged-in clients and from those whose certificate is listed is relayed.",
  );
