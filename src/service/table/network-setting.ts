import { z } from "zod";
import { parseNetwork } from "./network.ts";
import { LOOPBACK } from "./networks.ts";

/** A network as `networksOf` takes it. */
export function network(): z.ZodType<string, string> {
  return z
    .string()
    .transform((text, context) => {
      const parsed = text === LOOPBACK ? undefined : parseNetwork(text);
      if (parsed === undefined || parsed.ok) return text;
      context.addIssue({ code: "custom", message: `expected ${parsed.problem.expected}, or loopback` });
      return z.NEVER;
    })
    .meta({ kind: "network" });
}
