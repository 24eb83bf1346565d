import { z } from "zod";
import { path } from "../config/kinds.ts";

/** Where a table's content comes from. */
export type TableSource =
  | { readonly kind: "list"; readonly items: readonly string[] }
  | { readonly kind: "map"; readonly entries: Readonly<Record<string, string>> }
  | { readonly kind: "file"; readonly file: string };

const tableSettings = z
  .strictObject({
    list: z.array(z.string()).optional().describe("Keys, written in place."),
    map: z.record(z.string(), z.string()).optional().describe("Keys and values, written in place."),
    file: path()
      .optional()
      .describe("A text file: a key and its value on each line, or only a key. It is read again when it changes."),
  })
  .transform((written, context): TableSource => {
    const { list, map, file } = written;
    if ([list, map, file].filter((source) => source !== undefined).length !== 1) {
      context.addIssue({ code: "custom", message: "expected exactly one of list, map, file" });
      return z.NEVER;
    }
    if (file !== undefined) return { kind: "file", file };
    return map === undefined ? { kind: "list", items: list ?? [] } : { kind: "map", entries: map };
  });

export const tablesSettings = z
  .record(z.string().regex(/^[A-Za-z][A-Za-z0-9._-]*$/, "expected a name of letters, digits, - and _"), tableSettings)
  .default({})
  .describe("Lists and maps by name, for `table:name` elsewhere.");
export type TablesSettings = z.output<typeof tablesSettings>;
