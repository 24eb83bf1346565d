import { isAbsolute, join, relative } from "node:path";
import { ok, refused, type Result } from "../../../foundation/result.ts";

/** What a certificate table says of a host name. */
export type TableValue =
  | { readonly kind: "files"; readonly files: readonly string[] }
  /** Certificate, chain and key themselves. */
  | { readonly kind: "pem"; readonly text: string };

/**
 * A value of a certificate table: one or more file names with white space between them (certificate, key, chain, in any order, or
 * one file with all of it), or PEM text. Files are in `directory` or below it: the keeper can read no others.
 */
export function parseTableValue(value: string, directory: string | undefined): Result<TableValue, string> {
  if (value.includes("-----BEGIN ")) return ok({ kind: "pem", text: value });
  const names = value.split(/[\s,]+/).filter((name) => name !== "");
  if (names.length === 0) return refused("has no value: expected files, or PEM text");
  if (directory === undefined)
    return refused(`names files (${names.join(" ")}), but \`directory\` does not say where they are`);
  const files: string[] = [];
  for (const name of names) {
    const file = isAbsolute(name) ? join(name) : join(directory, name);
    const below = relative(directory, file);
    if (below === "" || below.startsWith("..") || isAbsolute(below))
      return refused(`${name} is outside of ${directory}`);
    files.push(file);
  }
  return ok({ kind: "files", files });
}
