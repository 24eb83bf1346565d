import { z } from "zod";
import { oneOrMore } from "../../../service/config/kinds.ts";
import { scannerAddress } from "../scanner/scanner-address.ts";
import { addressOr, BAD_MAIL_FATES, scannerWaits } from "../scanner/settings.ts";

const USUAL_PORT = 3310;

/** ClamAV's daemon. */
export const clamdSettings = addressOr(
  z.strictObject({
    servers: oneOrMore(scannerAddress(USUAL_PORT)).describe(
      "Where clamd listens, asked in this order: unix: and a socket's path, or host:port. Nothing is encrypted.",
    ),
    onVirus: z.enum(BAD_MAIL_FATES).default("refuse").describe("What becomes of mail in which a virus is found."),
    onTooBig: z
      .enum(["accept", "defer", ...BAD_MAIL_FATES])
      .default("accept")
      .describe(
        "What becomes of mail that is larger than clamd looks at (its StreamMaxLength). `defer` is for a limit that is about to be raised.",
      ),
    mark: z
      .boolean()
      .default(false)
      .describe(
        "Whether mail gets a field X-Virus-Status: Clean, Infected with the name, or Unknown when it is too big.",
      ),
    ...scannerWaits("100s"),
  }),
  "host:port, or unix:/path",
);
export type ClamdSettings = z.output<typeof clamdSettings>;
