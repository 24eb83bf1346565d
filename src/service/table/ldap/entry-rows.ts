import { columnText, type Row } from "../row-value.ts";
import type { TableService } from "../table.ts";

/** An entry as the client library gives it: attributes with one value or several, text or bytes. */
export type LdapEntry = Readonly<Record<string, unknown>> & { readonly dn: string };

/** Services whose answers are lists: each value of each attribute counts by itself. */
const LISTS: ReadonlySet<TableService> = new Set(["alias", "address", "source", "string"]);

/** Entries as the rows that a database would give; text says why they cannot be. */
export function entryRows(
  service: TableService,
  attributes: readonly string[],
  entries: readonly LdapEntry[],
): readonly Row[] | string {
  if (service === "domain" || service === "network") return entries.map(({ dn }) => [dn]);
  const rows: Row[] = [];
  for (const entry of entries) {
    const columns = attributes.map((attribute) => ({ attribute, values: valuesOf(entry, attribute) }));
    if (LISTS.has(service)) {
      for (const { values } of columns) for (const value of values) rows.push([value]);
      continue;
    }
    const several = columns.find(({ values }) => values.length > 1);
    if (several !== undefined)
      return `${entry.dn} has ${several.values.length} values of ${several.attribute}, where ${service} can have one`;
    rows.push(columns.map(({ values }) => values[0] ?? null));
  }
  return rows;
}

/** Attribute names are the same in upper and lower case (RFC 4512 section 1.4). */
function valuesOf(entry: LdapEntry, attribute: string): readonly string[] {
  const wanted = attribute.toLowerCase();
  const found = Object.entries(entry).find(([name]) => name.toLowerCase() === wanted)?.[1];
  const values: readonly unknown[] = Array.isArray(found) ? found : found === undefined ? [] : [found];
  return values.flatMap((value) => columnText(value) ?? []);
}
