import { z } from "zod";
import { SASL_MECHANISMS, type SaslMechanism } from "../../protocol/sasl/question.ts";

/** A list of mechanisms, their names in any case. */
export function saslMechanisms(): z.ZodType<readonly SaslMechanism[], readonly string[]> {
  const one = z.string().transform((text, context): SaslMechanism => {
    const known = SASL_MECHANISMS.find((name) => name === text.toUpperCase());
    if (known !== undefined) return known;
    context.addIssue({ code: "custom", message: `expected one of ${SASL_MECHANISMS.join(", ")}` });
    return z.NEVER;
  });
  return z.array(one).min(1, "expected at least one mechanism");
}
