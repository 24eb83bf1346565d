import { z } from "zod";
import { TABLE_SYNTAXES } from "../settings.ts";

/** What `makemap` writes into the file about itself, under a key that no lookup has. */
export const NOTE_KEY = "\u0000posthorn";

/** Rises when an older Posthorn would look keys up wrongly, which it would in a file whose keys are written in another way. */
export const CDB_FORMAT = 1;

const noteSchema = z.object({
  format: z.int().default(CDB_FORMAT),
  /** The text file it was made of, and when that one was changed, in ms since the epoch. */
  source: z.string(),
  changedAt: z.number(),
  syntax: z.enum(TABLE_SYNTAXES),
  entries: z.number(),
});
export type CdbNote = z.output<typeof noteSchema>;

export function formatNote(note: Omit<CdbNote, "format">): string {
  return JSON.stringify({ format: CDB_FORMAT, ...note });
}

/** Undefined for files that others made. */
export function parseNote(bytes: Uint8Array | undefined): CdbNote | undefined {
  if (bytes === undefined) return undefined;
  try {
    const parsed = noteSchema.safeParse(JSON.parse(Buffer.from(bytes).toString("utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
