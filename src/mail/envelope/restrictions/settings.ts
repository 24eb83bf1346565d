import { z } from "zod";
import { count, oneOrMore } from "../../../service/config/kinds.ts";
import { parsePattern, type Pattern } from "../../../service/table/pattern.ts";
import { sourceCondition } from "../condition.ts";
import { calloutSettings } from "./callout-settings.ts";
import { dnsListSettings } from "./dns-list-settings.ts";
import { greylistSettings } from "./greylist-settings.ts";
import { RESTRICTION_STAGES, type RestrictionStage } from "./mail-change.ts";
import { policyServiceSettings } from "./policy-service-settings.ts";
import { rateSettings } from "./rate-settings.ts";
import { defaultStage, stagesOfKind } from "./stages-of.ts";

/** Something that is asked of a name or an address: a word that stands for a test, a table, or the name itself. */
export type Check<Word extends string> =
  | { readonly kind: "word"; readonly word: Word }
  | { readonly kind: "table"; readonly name: string }
  | { readonly kind: "pattern"; readonly pattern: Pattern; readonly text: string };

function check<Word extends string>(words: readonly Word[], examples: string): z.ZodType<Check<Word>, string> {
  const allowed = `${words.join(", ")}, ${examples} or table:name`;
  return z
    .string()
    .transform((text, context): Check<Word> => {
      // It would be taken for an address, and mean nobody.
      if (text.startsWith("!")) {
        context.addIssue({
          code: "custom",
          message: `expected ${allowed}, with no ! in front; an exception is an entry of its own before it, with \`verdict: permit\`, or a ! in a table`,
        });
        return z.NEVER;
      }
      const word = words.find((one) => one === text);
      if (word !== undefined) return { kind: "word", word };
      if (text.startsWith("table:") && text.length > "table:".length)
        return { kind: "table", name: text.slice("table:".length) };
      const parsed = parsePattern(text);
      if (parsed.ok && text !== "table:") return { kind: "pattern", pattern: parsed.value, text };
      context.addIssue({ code: "custom", message: `expected ${allowed}` });
      return z.NEVER;
    })
    .meta({ kind: allowed });
}

const kinds = {
  permit: oneOrMore(sourceCondition())
    .optional()
    .describe(
      "Clients that nothing behind this asks about: auth (logged in), certificate, local (this host), addresses, networks, table:name, any. The rules still say where they may send.",
    ),
  reject: oneOrMore(sourceCondition()).optional().describe("Clients that are refused, named in the same way."),
  clientName: oneOrMore(check(["missing", "unconfirmed"], "a name, *.domain"))
    .optional()
    .describe(
      "The client's name in the DNS: `missing`: its address has none; `unconfirmed`: it has none that has this address; or names.",
    ),
  helo: oneOrMore(check(["invalid", "unqualified", "ours", "unknown"], "a name, *.domain"))
    .optional()
    .describe(
      "The name in EHLO: `invalid`: no host name; `unqualified`: without a domain; `ours`: a name, domain or address of this host, from elsewhere; `unknown`: it has neither addresses nor MX; or names.",
    ),
  sender: oneOrMore(check(["unknown-domain", "unlisted"], "an address, @domain, *.domain, <>"))
    .optional()
    .describe(
      "The sender: `unknown-domain`: its domain cannot take an answer (no MX, no address, or a null MX); `unlisted`: at a domain of ours, where nobody has that address; or addresses.",
    ),
  recipient: oneOrMore(check(["unknown-domain"], "an address, @domain, *.domain"))
    .optional()
    .describe(
      "The recipient: `unknown-domain`: elsewhere, at a domain that takes no mail (no MX, no address, or a null MX); or addresses.",
    ),
  dnsLists: dnsListSettings.optional().describe("Lists in the DNS of clients and names, against a total."),
  nullSenderRecipients: count({ min: 1, max: 1000 })
    .optional()
    .describe("Most recipients of one mail with the null sender: notices have one."),
  policy: policyServiceSettings
    .optional()
    .describe("Another program decides, by Postfix's policy delegation protocol."),
  greylist: greylistSettings
    .optional()
    .describe("Who is not known has to come again after a while. `{}`: five minutes, and the rest as it is usual."),
  rate: rateSettings.optional().describe("How much somebody sends in a time, counted for the whole server."),
  callout: calloutSettings
    .optional()
    .describe("Asks the next host, or the sender's, whether it takes mail for this address."),
} as const;
const restrictionKinds = Object.keys(kinds);

const entry = z.strictObject({
  name: z
    .string()
    .max(63)
    .regex(/^[A-Za-z0-9][A-Za-z0-9 ._-]*$/, { error: "expected letters, digits, blanks, dot, dash or underscore" })
    .optional()
    .describe("Its name in the log. Without it: what it asks."),
  ...kinds,
  verdict: z
    .enum(["reject", "permit"])
    .optional()
    .describe(
      "What becomes of the mail when it is so. Without it: reject. `permit`: nothing behind this is asked; only with names, addresses and tables, not with words that stand for tests.",
    ),
  code: count({ min: 400, max: 599 })
    .optional()
    .describe("The reply code of its refusal, 4xx or 5xx. Without it: one that fits."),
  text: z
    .string()
    .max(400)
    .regex(/^[\x20-\x7e]+$/, "expected printable ASCII")
    .optional()
    .describe("What the client is told. Without it: what was wrong."),
  when: z
    .enum(RESTRICTION_STAGES)
    .optional()
    .describe(
      "At which stage of the dialogue it is asked. Left out: for each recipient (rcpt); a rate of messages at data, one of bytes at end-of-data; and who is permitted as a client or as a sender is so from the moment on that this is known.",
    ),
  answer: z
    .enum(["at-rcpt", "at-once"])
    .optional()
    .describe(
      "When the client is told of a refusal that was found before RCPT. Left out: at RCPT, so that the log knows from whom and to whom the mail was.",
    ),
  warnOnly: z.boolean().default(false).describe("Only write into the log what would be refused."),
});

export const restrictionSettings = entry.superRefine((written, context) => {
  const named = restrictionKinds.filter((kind) => written[kind as keyof typeof kinds] !== undefined);
  const complain = (message: string, ...path: string[]): void => context.addIssue({ code: "custom", path, message });
  if (named.length !== 1) complain(`expected exactly one of ${restrictionKinds.join(", ")}`);
  if (written.verdict !== undefined) {
    const checks = [written.clientName, written.helo, written.sender, written.recipient].find(
      (one) => one !== undefined,
    );
    if (checks === undefined) complain("goes with client-name, helo, sender and recipient", "verdict");
    else if (written.verdict === "permit" && checks.some(({ kind }) => kind === "word"))
      complain("what passes a test is not permitted for that: expected names, addresses or table:name", "verdict");
  }
  const { when } = written;
  if (when !== undefined && !stagesOfKind(written).includes(when))
    complain(`expected one of ${stagesOfKind(written).join(", ")}: before, what it asks is not known`, "when");
  if (written.answer !== undefined && (when === undefined || !EARLY.includes(when)))
    complain("goes with an earlier `when`: connect, helo, auth or mail", "answer");
  if (written.rate?.by.some((one) => one.startsWith("recipient")) === true && defaultStage(written) !== "rcpt")
    complain("what is counted by recipient is counted at RCPT", "rate", "by");
  if (written.greylist !== undefined && (written.code ?? 450) >= 500)
    complain("who is greylisted has to come again: expected a code of 4xx", "code");
  const isPermit = written.permit !== undefined || written.verdict === "permit";
  if (isPermit && (written.warnOnly || written.code !== undefined || written.text !== undefined))
    complain("what permits has no reply and nothing to warn of: code, text and warn-only go with the others");
});
export type RestrictionSettings = z.output<typeof restrictionSettings>;

const EARLY: readonly RestrictionStage[] = ["connect", "helo", "auth", "mail"];

export const restrictionsSettings = z.array(restrictionSettings);
