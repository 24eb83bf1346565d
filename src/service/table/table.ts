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
  /** Whether a member: a list's element, a map's key, a network that contains the address, a `*.domain` that matches. */
  has(key: string, signal?: AbortSignal): Promise<TableAnswer<boolean>>;
}

export type TableAnswer<Value = string> =
  | { readonly kind: "found"; readonly value: Value; /** Where it stands: `aliases:12`. */ readonly where: string }
  | { readonly kind: "none" }
  | { readonly kind: "failed"; readonly text: string };
