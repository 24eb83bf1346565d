import { z } from "zod";
import { count, duration, homePath, size } from "../../../service/config/kinds.ts";

/** Settings of final delivery into mailboxes. An action may name its own path. */
export const mailboxSettings = z
  .strictObject({
    maildir: homePath()
      .optional()
      .describe(
        "Where `deliver: maildir` puts mail: a path with {user}, {domain}, {recipient}, {extension}, {home}. Without it: {home}/Maildir where mail is delivered with the recipient's rights, else mail/{user}/Maildir below the state directory.",
      ),
    mbox: homePath()
      .optional()
      .describe(
        "The file of `deliver: mbox`, with the same names. Without it: /var/mail/{user} where mail is delivered with the recipient's rights, else mail/{user}/mbox below the state directory.",
      ),
    user: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_.@-]*\$?$/, "expected recipient, server or the name of a user")
      .optional()
      .describe(
        "Whose rights a delivery has: `recipient` (the local user's, looked up in `local.users`), `server` (those of the server's own user), or a user of the system that owns all mailboxes (`vmail`). Without it: recipient where `local.users` is system, else server.",
      ),
    folders: z
      .enum(["existing", "create", "off"])
      .default("existing")
      .describe(
        "Whether user+lists goes into the folder lists of the user's Maildir (Maildir++): where it is there, always, or never.",
      ),
    quota: size()
      .optional()
      .describe(
        "What a Maildir may hold, kept in its maildirsize. A quota of the user's (in userinfo) takes its place.",
      ),
    quotaMessages: count({ min: 1, max: 999_999_999 }).optional().describe("How many mails a Maildir may hold."),
    overQuota: z
      .enum(["defer", "bounce"])
      .default("defer")
      .describe("What becomes of mail for a Maildir without room: it waits (4.2.2), or goes back (5.2.2)."),
    processes: count({ min: 1, max: 64 })
      .default(4)
      .describe(
        "Most processes that deliver with other users' rights, one user at a time each. Others take the places of those that hang.",
      ),
    stuckAfter: duration({ min: "1s", max: "10m" })
      .prefault("15s")
      .describe(
        "When a delivery counts as hanging, so that it holds up nobody else: with a user's rights, or into a Maildir.",
      ),
    group: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_.-]*$/, "expected the name of a group")
      .optional()
      .describe(
        "A group that deliveries with other users' rights into the mbox of the settings have, too: `mail`, where /var/mail belongs to it.",
      ),
    locks: z
      .enum(["fcntl and dot-lock", "fcntl", "dot-lock"])
      .default("fcntl and dot-lock")
      .describe("How an mbox is locked against other programs. Debian asks for both."),
    lockDeadline: duration({ min: "1s", max: "10m" })
      .prefault("30s")
      .describe("How long a delivery waits for an mbox that another program holds before it is put off."),
    staleDotLock: duration({ min: "1m" })
      .prefault("5m")
      .describe(
        "A dot-lock that names no living process is broken when it is this old; one that names a dead process, at once.",
      ),
    deadline: duration({ min: "10s" })
      .prefault("5m")
      .describe(
        "How long one delivery into a mailbox may take before it counts as put off (a file server that hangs).",
      ),
    concurrency: count({ min: 1, max: 1000 })
      .default(20)
      .describe("Most deliveries into mailboxes at once; into one mbox there is always only one."),
  })
  .prefault({})
  .describe("Final delivery into mailboxes.");
export type MailboxSettings = z.output<typeof mailboxSettings>;
