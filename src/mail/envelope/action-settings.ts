import { z } from "zod";
import { count, homePath, hostName, ipAddress, oneOrMore, tableName } from "../../service/config/kinds.ts";
import { senderOverride, verpChoice } from "./rewrite/settings.ts";
import type { SenderOverride } from "./rewrite/sender-override.ts";
import type { VerpDelimiters } from "./rewrite/verp.ts";
import { sourceChoice, type SourceChoice } from "./source.ts";

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
  connections: count({ min: 1, max: 10_000 })
    .optional()
    .describe("Most connections for this relay. Without it: `route.limits.relay`."),
  xforward: z
    .boolean()
    .optional()
    .describe(
      "Whether next hosts that offer XFORWARD are told who gave us the mail. Without it: no; content filters are always told.",
    ),
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
export type Action = ActionKind & {
  readonly sender?: SenderTerms | undefined;
  readonly book?: ActionBook | undefined;
};

/** The tables in which the recipients that this action takes are looked up, instead of those of their domain. */
export interface ActionBook {
  readonly kind: "primary" | "virtual";
  readonly tables: readonly string[];
}

/** What becomes of the sender of mail that this action takes. The null sender stays, whatever they say. */
export interface SenderTerms {
  readonly as?: SenderOverride | undefined;
  /** Undefined: as the settings of `srs` and `verp` say. */
  readonly srs?: boolean | undefined;
  readonly verp?: VerpDelimiters | false | undefined;
}

export type ActionKind =
  | {
      readonly kind: "deliver";
      readonly as: "maildir" | "mbox" | "discard" | "command" | "expand-only" | "forward-only";
      readonly path?: string | undefined;
      /** With `as: command`: for the shell, with `{user}` and the like in it. */
      readonly command?: string | undefined;
      /** Whose rights it has: `recipient`, `server` or a user of the system. Undefined: as `mailbox.user` says. */
      readonly user?: string | undefined;
    }
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
  /** Most connections for the relay. Undefined: as the settings of routes say. */
  readonly connections?: number | undefined;
  /** Next hosts that want to know are told who gave us the mail. */
  readonly xforward?: boolean | undefined;
  /** It comes back: made of `contentFilter`, never written as an action. */
  readonly isContentFilter?: boolean | undefined;
}

const actionFields = z.strictObject({
  deliver: z
    .enum(["maildir", "mbox", "command", "discard", "expand-only", "forward-only"])
    .optional()
    .describe(
      "Final delivery: into a Maildir, an mbox file, to a command, or nowhere. `expand-only`: only what aliases name; `forward-only`: only what a user's .forward names, besides.",
    ),
  aliases: oneOrMore(tableName())
    .optional()
    .describe(
      "Tables of what recipients of this action stand for, by `user` or `user@domain`, instead of `local.aliases`.",
    ),
  virtual: oneOrMore(tableName())
    .optional()
    .describe("The same, by `user@domain` or `@domain` only, as for virtual domains."),
  path: homePath()
    .optional()
    .describe(
      "The mailbox, for `deliver`: a path with {user}, {domain}, {recipient}, {home}. Without it: as `mailbox` says.",
    ),
  command: z
    .string()
    .min(1)
    .max(4096)
    .regex(/^[^\0]*$/, "expected text without NUL")
    .optional()
    .describe(
      "The command, for `deliver: command`: it gets the mail on its standard input. {user}, {extension}, {domain}, {recipient}, {sender} and {home} stand for themselves, safely.",
    ),
  user: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_.@-]*\$?$/, "expected recipient, server or the name of a user")
    .optional()
    .describe(
      "Whose rights this delivery has: `recipient`, `server`, or a user of the system. Without it: as `mailbox.user` says.",
    ),
  relay: relayAction.optional().describe("Pass the mail on. `{}` means by the MX of the recipient's domain."),
  reject: rejectAction.optional().describe("Refuse the recipient. `{}` means 550 5.7.1."),
  as: senderOverride()
    .optional()
    .describe(
      "The sender (MAIL FROM) instead of the message's: an address, `@domain` for another domain, `user` for another local part. No header field changes, and the null sender stays.",
    ),
  srs: z
    .boolean()
    .optional()
    .describe(
      "Whether mail from elsewhere gets a sender of ours here: always, or never. Without it: what was forwarded, where `srs` is set.",
    ),
  verp: verpChoice()
    .optional()
    .describe(
      "Whether each recipient's mail gets a sender of its own: true, false, or delimiters such as `+=`. Without it: as `verp` says.",
    ),
});

const actionSettings = actionFields.transform((written, context): Action => {
  const { aliases, virtual } = written;
  const action = withSender(written, context);
  const tables = aliases ?? virtual;
  if (tables === undefined) return action;
  if (written.reject !== undefined || (aliases !== undefined && virtual !== undefined)) {
    const message =
      written.reject === undefined ? "expected either aliases or virtual" : "what is refused stands for nothing else";
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  }
  return { ...action, book: { kind: aliases === undefined ? "virtual" : "primary", tables } };
});

function withSender(written: WrittenAction, context: z.RefinementCtx): Action {
  const { as, srs, verp } = written;
  if (as === undefined && srs === undefined && verp === undefined) return kindOf(written, context);
  if (written.reject !== undefined) {
    context.addIssue({ code: "custom", message: "what is refused has no sender: as, srs and verp go with the others" });
    return z.NEVER;
  }
  return { ...kindOf(written, context), sender: { as, srs, verp } };
}

type WrittenAction = z.output<typeof actionFields>;

function kindOf(written: WrittenAction, context: z.RefinementCtx): ActionKind {
  const { deliver, relay, reject } = written;
  if ([deliver, relay, reject].filter((kind) => kind !== undefined).length !== 1) {
    context.addIssue({ code: "custom", message: "expected exactly one of deliver, relay, reject" });
    return z.NEVER;
  }
  if ((written.command === undefined) === (deliver === "command")) {
    const message = deliver === "command" ? "expected a command" : "a command goes with deliver: command";
    context.addIssue({ code: "custom", path: ["command"], message });
    return z.NEVER;
  }
  if (written.user !== undefined && (deliver === undefined || deliver === "discard")) {
    context.addIssue({
      code: "custom",
      path: ["user"],
      message: "only deliveries into mailboxes and commands have a user",
    });
    return z.NEVER;
  }
  if (written.path !== undefined && deliver !== "maildir" && deliver !== "mbox") {
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
  return {
    kind: "deliver",
    as: deliver ?? "discard",
    path: written.path,
    ...(written.command === undefined ? {} : { command: written.command }),
    ...(written.user === undefined ? {} : { user: written.user }),
  };
}

export const actionsSettings = z
  .record(z.string().regex(/^[A-Za-z][A-Za-z0-9._-]*$/, "expected a name of letters, digits, - and _"), actionSettings)
  .default({})
  .describe(
    "What the rules can choose, by name. `deliver` (local mailboxes) and `relay` (by MX) exist unless written.",
  );
export type Actions = z.output<typeof actionsSettings>;
