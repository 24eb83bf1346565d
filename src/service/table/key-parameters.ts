import { atOf } from "./pattern.ts";
import type { TableService } from "./table.ts";

/** What queries and templates may name: `:key` in SQL, `%{key}` in filters and commands. */
export const KEY_PARAMETERS = ["key", "user", "domain", "service"] as const;
export type KeyParameter = (typeof KEY_PARAMETERS)[number];

/**
 * The parts of a folded key: `user` is what stands before the `@`, or all of a key without one; `domain` what stands
 * behind it, or nothing.
 */
export function keyParameters(key: string, service: TableService): Readonly<Record<KeyParameter, string>> {
  const at = atOf(key);
  return at < 0
    ? { key, user: key, domain: "", service }
    : { key, user: key.slice(0, at), domain: key.slice(at + 1), service };
}

/**
 * Services for which an answer that does not depend on the key is a mistake with consequences: a `:key` that stands in
 * quotes, say, would make one password everybody's.
 */
const NEEDS_KEY: ReadonlySet<TableService> = new Set(["credentials", "string"]);

/** What is wrong with a query that names only these parameters; undefined: nothing. */
export function keylessProblem(service: TableService, named: readonly KeyParameter[]): string | undefined {
  if (!NEEDS_KEY.has(service) || named.some((each) => each !== "service")) return undefined;
  return "expected key, user or domain among the parameters, outside of quotes: else the answer is the same for everybody";
}
