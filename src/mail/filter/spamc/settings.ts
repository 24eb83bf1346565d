import { z } from "zod";
import { oneOrMore } from "../../../service/config/kinds.ts";
import { scannerAddress } from "../scanner/scanner-address.ts";
import { addressOr, scannerWaits } from "../scanner/settings.ts";

const USUAL_PORT = 783;

const threshold = () => z.union([z.number().min(-1000).max(1_000_000), z.literal("threshold")]).optional();

/** SpamAssassin's daemon. */
export const spamcSettings = addressOr(
  z.strictObject({
    servers: oneOrMore(scannerAddress(USUAL_PORT)).describe(
      "Where spamd listens, asked in this order: host:port, or unix: and a socket's path. Nothing is encrypted.",
    ),
    ask: z
      .enum(["check", "symbols", "headers", "process"])
      .default("symbols")
      .describe(
        "What spamd is asked for: the score; with the names of the rules that matched; the header fields that SpamAssassin would write; or the whole mail as SpamAssassin would have it (`report_safe`).",
      ),
    user: z
      .string()
      .regex(/^[\x21-\x7e]{1,200}$/, "expected a name without blanks")
      .optional()
      .describe(
        "Whose preferences count at spamd. `{recipient}` and `{user}` in it are the address and its local part, for mail with one recipient; mail with several is scanned without a name then. Left out: nobody's.",
      ),
    markAbove: threshold()
      .default("threshold")
      .describe("From which score on mail is marked with X-Spam-Flag: YES: a number, or `threshold` for spamd's own."),
    quarantineAbove: threshold().describe("From which score on mail is kept in quarantine. Left out: never."),
    rejectAbove: threshold().describe("From which score on mail is refused. Left out: never."),
    discardAbove: threshold().describe("From which score on mail is taken and thrown away. Left out: never."),
    mark: z
      .boolean()
      .default(true)
      .describe(
        "Whether X-Spam fields are written: X-Spam-Status, X-Spam-Score and X-Spam-Level of our own, or with `headers` and `process` those of SpamAssassin. Those that the client sent are taken out.",
      ),
    action: z
      .string()
      .optional()
      .describe(
        "The action for mail from `markAbove` on, for all recipients, instead of the one that the rules chose.",
      ),
    ...scannerWaits("100s"),
  }),
  "host:port, or unix:/path",
);
export type SpamcSettings = z.output<typeof spamcSettings>;
