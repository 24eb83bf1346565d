import { z } from "zod";
import { SUSPENSION_LEVELS, type SuspensionFacts } from "./suspension.ts";

const note = z.object({
  level: z.enum(SUSPENSION_LEVELS),
  key: z.string(),
  because: z.string(),
  by: z.string(),
  setAt: z.number(),
  untilAt: z.number().optional(),
});

/** A suspension as the store keeps it; undefined when it is none. */
export function suspensionFrom(text: string): SuspensionFacts | undefined {
  try {
    const parsed = note.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
