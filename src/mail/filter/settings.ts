import { z } from "zod";
import { duration, oneOrMore, size } from "../../service/config/kinds.ts";
import { sessionMatchSettings } from "../envelope/rule-settings.ts";
import { authenticateSettings, signSettings } from "./authentication/settings.ts";
import { milterSettings } from "./milter/settings.ts";
import { clamdSettings } from "./clamd/settings.ts";
import { httpHookSettings } from "./http/settings.ts";
import { rspamdSettings } from "./rspamd/settings.ts";
import { spamcSettings } from "./spamc/settings.ts";
import { builtinFilterSettings } from "./builtin/settings.ts";
import { processFilterSettings } from "./opensmtpd/settings.ts";
import { smtpProxySettings } from "./smtp-proxy/settings.ts";
import { inlineHooksSettings, moduleSettings } from "./hooks/settings.ts";
import { FILTER_KINDS, type FilterKind } from "./filter-kind.ts";

/** The kinds of filter, a line each: the key in the settings, and what stands behind it. Made by `make-filter.io.ts`. */
const kinds = {
  milter: milterSettings.optional().describe("A milter: `inet:127.0.0.1:8891`, `unix:/run/opendkim.sock`, or a block."),
  authenticate: authenticateSettings
    .optional()
    .describe("Whether mail is from whom it says: SPF, DKIM, DMARC and ARC. `authenticate: {}` is a good beginning."),
  sign: signSettings.optional().describe("DKIM signatures for mail of our own, and ARC seals for mail of others."),
  rspamd: rspamdSettings.optional().describe("rspamd over HTTP: `http://127.0.0.1:11333`, or a block."),
  spamc: spamcSettings.optional().describe("SpamAssassin's daemon: `127.0.0.1:783`, or a block."),
  http: httpHookSettings
    .optional()
    .describe("A program of your own behind HTTP: `https://hooks.example.org/mail`, or a block."),
  clamd: clamdSettings.optional().describe("ClamAV's daemon: `unix:/run/clamav/clamd.ctl`, or a block."),
  smtpProxy: smtpProxySettings
    .optional()
    .describe(
      "A program that speaks SMTP, and hands what it likes to another listener of ours: `smtp://127.0.0.1:10025`, or a block.",
    ),
  module: moduleSettings
    .optional()
    .describe("Hooks of your own in a module of TypeScript or JavaScript: `./hooks.ts`, or a block."),
  hooks: inlineHooksSettings
    .optional()
    .describe("Hooks of your own in line, in posthorn.config.ts only: `defineHooks({ … })`."),
  process: processFilterSettings
    .optional()
    .describe("A program that speaks OpenSMTPD's filter protocol: its command as a list, or a block."),
  builtin: builtinFilterSettings
    .optional()
    .describe("A few words instead of a program: at a phase, when conditions hold, reject, rewrite, junk or bypass."),
  chain: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe("Other filters by name, which are asked in this order wherever the chain is named."),
} satisfies Record<FilterKind, z.ZodType>;

/** What every filter has, whatever its kind. */
const common = {
  timeout: duration({ min: "100ms", max: "5m" })
    .prefault("30s")
    .describe("How long one answer may take. For a whole mail it may take `messageTimeout`."),
  messageTimeout: duration({ min: "100ms", max: "8m" })
    .prefault("2m")
    .describe("How long judging a whole mail may take. RFC 5321 gives the end of the content ten minutes in all."),
  onFailure: z
    .enum(["defer", "accept", "reject"])
    .prefault("defer")
    .describe(
      "What becomes of a command or a mail that this filter can't judge: the client is told to come again (451), it goes on as if nobody had been asked, or it is refused (554).",
    ),
  maxSize: size({ min: "0", max: "4GiB" })
    .prefault("0")
    .describe("Larger mail is not shown to this filter, and goes on without it; 0 shows all."),
  match: sessionMatchSettings
    .optional()
    .describe(
      "Whom this filter is for, in the words of rules: from, auth, tls, helo, listener, tag, mailFrom and `not`. What is not known yet does not match. Left out: for all.",
    ),
};

export const filterSettings = z.strictObject({ ...kinds, ...common }).superRefine((written, context) => {
  const found = FILTER_KINDS.filter((kind) => written[kind] !== undefined);
  if (found.length === 1) return;
  const there = found.length === 0 ? "none of them is there" : `here are ${found.join(" and ")}`;
  context.addIssue({ code: "custom", message: `expected exactly one of ${FILTER_KINDS.join(", ")}; ${there}` });
});
export type FilterSettings = z.output<typeof filterSettings>;

const filterName = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9._-]{0,62}$/, "expected a name of letters, digits, dot, - and _, a letter first");

export const filtersSettings = z
  .record(filterName, filterSettings)
  .default({})
  .describe(
    "Who else has a say in what sessions receive, by name. `filteredBy` says which are asked, and in which order.",
  );
export type FiltersSettings = z.output<typeof filtersSettings>;

/** At the top of the settings, and at a listener, which then has its own list. */
export function filteredBySettings() {
  return oneOrMore(filterName);
}
