import { z } from "zod";
import { oneOrMore } from "../../../service/config/kinds.ts";
import { domainCondition, mailboxCondition, nameCondition, sourceCondition } from "../../envelope/condition.ts";
import { textCondition } from "./condition.ts";

export const BUILTIN_PHASES = ["connect", "helo", "ehlo", "mail-from", "rcpt-to", "data", "commit"] as const;
export type BuiltinPhase = (typeof BUILTIN_PHASES)[number];

const conditions = {
  fcrdns: z
    .boolean()
    .optional()
    .describe("Whether the client's address has a name, and that name the address (forward-confirmed reverse DNS)."),
  rdns: oneOrMore(textCondition(domainCondition(), "any, names, *.domain, table:name"))
    .optional()
    .describe("The client's confirmed name: any, names, *.domain, table:name, /regular expression/."),
  src: oneOrMore(textCondition(sourceCondition(), "any, addresses, networks, table:name"))
    .optional()
    .describe("The client's address: any, addresses, networks, table:name, /regular expression/."),
  helo: oneOrMore(textCondition(domainCondition(), "any, names, *.domain, table:name"))
    .optional()
    .describe("The name given in HELO or EHLO: any, names, *.domain, table:name, /regular expression/."),
  auth: oneOrMore(textCondition(nameCondition(), "any, names, table:name"))
    .optional()
    .describe("The account that the client logged in with: any, names, table:name, /regular expression/."),
  mailFrom: oneOrMore(textCondition(mailboxCondition(), "any, an address, @domain, *.domain, <>, table:name"))
    .optional()
    .describe("The sender, `<>` for the null sender: addresses, @domain, *.domain, table:name, /regular expression/."),
  rcptTo: oneOrMore(textCondition(mailboxCondition(), "any, an address, @domain, *.domain, table:name"))
    .optional()
    .describe("The recipient, at rcpt-to: addresses, @domain, *.domain, table:name, /regular expression/."),
};

const replyText = z
  .string()
  .max(400)
  .regex(/^[45]\d\d(?: [\x20-\x7e]*)?$/, "expected a reply such as `550 5.7.1 go away`, with a code of 400 to 599");

const actions = {
  reject: replyText.optional().describe("The command, or at commit the mail, is refused with this reply."),
  disconnect: replyText.optional().describe("The session ends with this reply."),
  rewrite: z
    .string()
    .min(1)
    .max(320)
    .optional()
    .describe("At helo, ehlo, mail-from and rcpt-to: the argument instead of the client's; `<>` is the null sender."),
  report: z.string().min(1).max(400).optional().describe("A line for the log; everything goes on."),
};

export type BuiltinAction =
  | { readonly kind: "junk" }
  | { readonly kind: "bypass" }
  | { readonly kind: "reject" | "disconnect" | "rewrite" | "report"; readonly parameter: string };

const actionSettings = z
  .union([z.enum(["junk", "bypass"]), z.strictObject(actions)])
  .transform((written, context): BuiltinAction => {
    if (typeof written === "string") return { kind: written };
    const given = ACTION_NAMES.flatMap((kind) => {
      const parameter = written[kind];
      return parameter === undefined ? [] : [{ kind, parameter }];
    });
    const [only, ...more] = given;
    if (only !== undefined && more.length === 0) return only;
    context.addIssue({
      code: "custom",
      message: "expected junk, bypass, or one of reject, disconnect, rewrite, report",
    });
    return z.NEVER;
  });
const ACTION_NAMES = ["reject", "disconnect", "rewrite", "report"] as const;

/** At which phases which actions make sense. */
const WITH_ARGUMENT: ReadonlySet<BuiltinPhase> = new Set(["helo", "ehlo", "mail-from", "rcpt-to"]);

const BEFORE_MAIL: ReadonlySet<BuiltinPhase> = new Set(["connect", "helo", "ehlo"]);

export const builtinFilterSettings = z
  .strictObject({
    phase: oneOrMore(z.enum(BUILTIN_PHASES)).describe(
      "When it is asked: connect, helo, ehlo, mail-from, rcpt-to, data, commit (the end of the content); or several.",
    ),
    match: z
      .strictObject({
        ...conditions,
        not: z.strictObject(conditions).optional().describe("The same conditions; none of them may hold."),
      })
      .default({})
      .describe(
        "All of these must hold. What is not mentioned does not matter, and nothing holds of what is not there.",
      ),
    action: actionSettings.describe(
      "What then happens: `junk` (X-Spam: yes), `bypass` (the filters behind it are not asked at this phase), reject, disconnect, rewrite or report.",
    ),
  })
  .superRefine(({ phase, action, match }, context) => {
    const wrong = (path: readonly string[], message: string): void =>
      context.addIssue({ code: "custom", path: [...path], message });
    if (action.kind === "rewrite" && phase.some((one) => !WITH_ARGUMENT.has(one)))
      wrong(["action"], "only helo, ehlo, mail-from and rcpt-to have something to rewrite");
    if (action.kind === "bypass" && phase.includes("commit"))
      wrong(["action"], "bypass is for the phases before the content");
    if ((match.rcptTo ?? match.not?.rcptTo) !== undefined && phase.some((one) => one !== "rcpt-to"))
      wrong(["match"], "a recipient is known at rcpt-to only");
    if ((match.mailFrom ?? match.not?.mailFrom) !== undefined && phase.some((one) => BEFORE_MAIL.has(one)))
      wrong(["match"], "a sender is known from mail-from on");
    if ((match.helo ?? match.not?.helo) !== undefined && phase.includes("connect"))
      wrong(["match"], "a name is known from helo and ehlo on");
  });
export type BuiltinFilterSettings = z.output<typeof builtinFilterSettings>;
export type BuiltinMatch = BuiltinFilterSettings["match"];
