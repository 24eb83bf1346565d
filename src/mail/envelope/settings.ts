import { z } from "zod";
import { count, homePath, oneOrMore, path, tableName, tableOrList } from "../../service/config/kinds.ts";

const ORIGINS = ["alias", "virtual", "include", "forward"] as const;

function origins(usually: (typeof ORIGINS)[number][]) {
  return z.array(z.enum(ORIGINS)).default(usually);
}

const virtualDomains = z.strictObject({
  domains: tableOrList().describe("The domains."),
  aliases: oneOrMore(tableName())
    .optional()
    .describe(
      "Tables (`table:name`) of what addresses in these domains stand for: user@domain, or @domain for all others.",
    ),
  users: tableOrList()
    .optional()
    .describe(
      "Who has a mailbox of their own there, as `user@domain` or `user`. Without it nobody has: there are only aliases.",
    ),
  action: z
    .string()
    .min(1)
    .optional()
    .describe("The action for these mailboxes; its path names {domain} or {recipient}. Without it: the rule's."),
});

/** What is ours: the domains whose mail ends here, and who lives in them. */
export const localSettings = z
  .strictObject({
    domains: tableOrList()
      .optional()
      .describe("The domains whose mail ends here. Without it: localhost and the host name."),
    users: tableOrList()
      .optional()
      .describe(
        "Who may receive mail in these domains, as `user` or `user@domain`; others are refused with 550 5.1.1. `system`: the users of this host. A table whose values are `uid:gid:home` says as whom their mail is delivered, too. Without it every user is known.",
      ),
    forward: z
      .union([z.boolean(), oneOrMore(homePath())])
      .default(true)
      .describe(
        "Users' own .forward files, where mail is delivered with the recipient's rights: ~/.forward+extension, then ~/.forward; or paths with {home}, {user}, {extension}, the first that is there counts; or false.",
      ),
    postmaster: z
      .string()
      .min(1)
      .default("postmaster")
      .describe("The local user, or the full address, who receives mail for postmaster (RFC 5321 section 4.5.1)."),
    extensionDelimiter: z
      .string()
      .max(8)
      .regex(/^[\x21-\x7e]*$/, "expected printable ASCII")
      .refine((set) => !/[@."\\]/.test(set), { error: "@, dots, quotes and backslashes separate other things" })
      .default("+")
      .describe(
        "What separates a user from an extension: user+lists is looked up as user, too. Several characters: any of them does. Empty: nothing does.",
      ),
    aliases: oneOrMore(tableName())
      .optional()
      .describe(
        "Tables (`table:name`) of what names in these domains stand for, as in /etc/aliases; the first that has a name counts.",
      ),
    virtual: z
      .array(virtualDomains)
      .default([])
      .describe(
        "Domains of their own, whose names are no users of this host. The first entry that has a domain counts.",
      ),
    ownerAliases: z
      .boolean()
      .default(true)
      .describe(
        "Whether mail to NAME goes out with owner-NAME as its sender where there is such an alias, so that a list's owner gets its bounces.",
      ),
    defaultUser: z
      .string()
      .min(1)
      .default("nobody")
      .describe("On whose behalf aliases run commands and write to files."),
    commandsFrom: origins(["alias", "forward"]).describe(
      "Which entries may name a command: of `aliases`, of virtual tables, of an included list, of a user's .forward.",
    ),
    filesFrom: origins(["alias", "forward"]).describe("Which entries may name a file."),
    includesFrom: origins(["alias"]).describe("Which entries may name a list in a file (:include:)."),
    includeFolders: oneOrMore(path())
      .optional()
      .describe(
        "The folders whose files aliases may include (:include:/path), each with all below it. Without it: none. The files are read by an unprivileged process.",
      ),
    expansionDepth: count({ min: 1, max: 30 })
      .default(20)
      .describe("Most steps from one address to what it stands for."),
    expansionTargets: count({ min: 1, max: 1_000_000 })
      .default(10_000)
      .describe("Most addresses that one address may stand for; with more of them the mail waits."),
  })
  .prefault({})
  .describe("What is local: domains and users.");
export type LocalSettings = z.output<typeof localSettings>;

/** Which addresses clients that have logged in may give as theirs; a setting of listeners. */
export const senderRightsSettings = z.strictObject({
  own: z
    .boolean()
    .default(true)
    .describe("Its own address: the account's name, or, where that has no domain, it at each of `local.domains`."),
  table: tableName()
    .optional()
    .describe("Addresses (user@domain, @domain) with the accounts that may use them, `*` for all accounts."),
  checks: z
    .enum(["sender", "author", "both"])
    .default("both")
    .describe("What has to be the account's: the sender in MAIL, the author in the From field, or both."),
  nullSender: z.boolean().default(false).describe("Whether they may send with the empty sender."),
  warnOnly: z
    .boolean()
    .default(false)
    .describe("Only write into the log what would be refused, as `warn-only` of `restrictions` does."),
});
export type SenderRightsSettings = z.output<typeof senderRightsSettings>;
