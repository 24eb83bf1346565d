import { z } from "zod";
import { parseScannerAddress, type ScannerAddress } from "../scanner/scanner-address.ts";
import { duration } from "../../../service/config/kinds.ts";

function proxyAddress(): z.ZodType<ScannerAddress, string> {
  return z
    .string()
    .transform((text, context) => {
      const address = parseScannerAddress(text.replace(/^smtp:\/\//, "").replace(/\/$/, ""), 25);
      if (address !== undefined) return address;
      context.addIssue({ code: "custom", message: "expected smtp://host:port, or unix: and a socket's path" });
      return z.NEVER;
    })
    .meta({ kind: "smtp://host:port, or unix:/path" });
}

const whole = z.strictObject({
  to: proxyAddress().describe(
    "Where the program listens: smtp://host:port, or unix: and a socket's path. Nothing is encrypted.",
  ),
  return: z
    .string()
    .min(1)
    .optional()
    .describe(
      "The listener that it hands mail to, where this filter must not be asked again: it is checked that it is not.",
    ),
  connectTimeout: duration({ min: "10ms", max: "1m" }).prefault("5s").describe("How long connecting may take."),
  answerTimeout: duration({ min: "10ms", max: "8m" })
    .prefault("100s")
    .describe("How long it may neither take anything nor answer. A whole mail has the filter's `messageTimeout`."),
});
export type SmtpProxySettings = z.output<typeof whole>;

/** A program between two listeners of ours: by its address, or more. */
export const smtpProxySettings: z.ZodType<SmtpProxySettings, string | z.input<typeof whole>> = z.union([
  proxyAddress().transform((to): SmtpProxySettings => ({ to, ...usual })),
  whole,
]);

const { to: _any, ...usual } = whole.parse({ to: "127.0.0.1:25" });
