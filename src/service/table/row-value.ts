import type { TableService } from "./table.ts";

/** One row of an answer: its columns, as text; null is a column without a value. */
export type Row = readonly (string | null)[];

export type RowValue =
  | { readonly kind: "found"; readonly value: string }
  | { readonly kind: "none" }
  | { readonly kind: "failed"; readonly text: string };

/** What stands between the columns of a row. */
const BETWEEN_COLUMNS: Partial<Record<TableService, string>> = {
  alias: ", ",
  address: ", ",
  credentials: ":",
  userinfo: ":",
};
/** Services whose answers are lists: their rows are joined. Of the others there can be one answer only. */
const LISTS: ReadonlySet<TableService> = new Set(["alias", "address", "source", "string"]);
/** Services for which being there is all. */
const MEMBERS: ReadonlySet<TableService> = new Set(["domain", "network"]);

/**
 * Rows as the text that a file would have: `a, b` for an alias, `user:password` for credentials of two columns,
 * `uid:gid:home`. A row without any value counts as none, and so do credentials without a password. Several rows where one is meant are a failure: which of two
 * passwords counts is nobody's guess.
 */
export function rowValue(service: TableService, rows: readonly Row[]): RowValue {
  if (MEMBERS.has(service)) return rows.some(saysYes) ? { kind: "found", value: "" } : { kind: "none" };
  const between = BETWEEN_COLUMNS[service] ?? " ";
  const texts = rows
    .filter((row) => row.some((column) => column !== null) && (service !== "credentials" || !row.includes(null)))
    .map((row) => {
      // A list has no holes; elsewhere the place of a column says what it is.
      const columns = LISTS.has(service) ? row.filter((column) => column !== null) : row;
      return columns.map((column) => column ?? "").join(between);
    });
  const [first] = texts;
  if (first === undefined) return { kind: "none" };
  if (LISTS.has(service)) return { kind: "found", value: texts.join(", ") };
  if (service === "userinfo" && rows.some((row) => row.includes(null) && row.some((column) => column !== null)))
    return { kind: "failed", text: "uid, gid or home has no value" };
  if (texts.length > 1)
    return { kind: "failed", text: `${texts.length} rows answer one key, where ${service} can have one value` };
  return { kind: "found", value: first };
}

/** A row is a member, unless it is the answer of `select count(*)` or `select exists(...)`, and that is no. */
function saysYes(row: Row): boolean {
  const [only] = row;
  return row.length !== 1 || !(only === null || only === undefined || /^(?:0|f|false)$/i.test(only));
}

/** A column as a client library gives it, as text. */
export function columnText(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "string") return value;
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return value.toString();
  return value instanceof Uint8Array ? Buffer.from(value).toString("utf8") : JSON.stringify(value);
}
