import { z } from "zod";
import { duration } from "../../../service/config/kinds.ts";

/** How long is waited for a scanner; spread into the schema of each. */
export function scannerWaits(usualAnswer: string) {
  return {
    connectTimeout: duration({ min: "10ms", max: "1m" })
      .prefault("3s")
      .describe("How long connecting to one server may take."),
    answerTimeout: duration({ min: "10ms", max: "8m" })
      .prefault(usualAnswer)
      .describe(
        "How long one server may neither take anything nor answer, before the next one is asked. All of them together have the filter's `messageTimeout`.",
      ),
  } as const;
}

/** The settings of a kind, or only its server's address where nothing else is to be said. */
export function addressOr<Output, Input extends { readonly servers: string | readonly string[] }>(
  whole: z.ZodType<Output, Input>,
  kind: string,
): z.ZodType<Output, string | Input> {
  const short = z
    .string()
    .transform((servers, context): Output => {
      const parsed = whole.safeParse({ servers });
      if (parsed.success) return parsed.data;
      context.addIssue({ code: "custom", message: `expected ${kind}` });
      return z.NEVER;
    })
    .meta({ kind });
  return z.union([short, whole]);
}

/** What becomes of mail that a scanner finds bad. */
export const BAD_MAIL_FATES = ["refuse", "quarantine", "discard"] as const;
