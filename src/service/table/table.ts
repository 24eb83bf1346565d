/**
 * One lookup contract for every backend. Keys are folded to lower case before any lookup. A backend that fails is a
 * temporary error, never "not found".
 */
export interface Table {
  readonly name: string;
  lookup(key: string, signal?: AbortSignal): Promise<TableAnswer>;
  /**
   * The value written under exactly this key, patterns (`*.domain`, `*`) as they are written: for callers whose keys have
   * an order of their own.
   */
  exact(key: string, signal?: AbortSignal): Promise<TableAnswer>;
  /** All that is in it, for backends that can be gone through. */
  entries?(signal?: AbortSignal): Promise<TableAnswer<readonly TableEntry[]>>;
  /** Whether a member: a list's element, a map's key, a network that contains the address, a `*.domain` that matches. */
  has(key: string, signal?: AbortSignal): Promise<TableAnswer<boolean>>;
}

export type TableAnswer<Value = string> =
  | { readonly kind: "found"; readonly value: Value; /** Where it stands: `/etc/aliases:12`. */ readonly where: string }
  | { readonly kind: "none" }
  | { readonly kind: "failed"; readonly text: string };

/** One entry as it was written; `where` is `/etc/aliases:12`, `posthorn.yaml:12:5` or the table's name. */
export interface TableEntry {
  readonly key: string;
  readonly value: string | undefined;
  readonly where: string;
}
