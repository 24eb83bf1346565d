import type { Origins, Place, SettingPath } from "./config.ts";

/** What a person wrote, before the schema has been asked: a tree in which every node knows its place. */
export type SourceNode = { readonly place?: Place | undefined } & (
  | {
      readonly kind: "scalar";
      readonly value: unknown;
      /** The text of a plain (unquoted) scalar: `no`, `2525`, `1e3`. */
      readonly plain?: string | undefined;
    }
  | { readonly kind: "map"; readonly entries: readonly SourceEntry[] }
  | { readonly kind: "list"; readonly items: readonly SourceNode[] }
);

export interface SourceEntry {
  readonly name: string;
  readonly place?: Place | undefined;
  readonly node: SourceNode;
}

/** The same tree with its names as the schema has them. `written` keeps each entry's own writing for messages. */
export interface FittedNode {
  readonly node: SourceNode;
  /** Where the name stands for an entry of a map, the value's place for an element of a list. */
  readonly place?: Place | undefined;
  readonly written: string | number;
  readonly children: ReadonlyMap<string | number, FittedNode>;
}

/** The node of a path, or its nearest ancestor that somebody wrote. */
export function nodeAt(root: FittedNode, path: SettingPath): { node: FittedNode; isExact: boolean } {
  let node = root;
  for (const step of path) {
    const child = node.children.get(step);
    if (child === undefined) return { node, isExact: false };
    node = child;
  }
  return { node, isExact: true };
}

/** Places of everything that was written, for `locate`. A place unknown in a known file is line 0. */
export function originsOf(file: string, root: FittedNode): Origins {
  const places: Record<string, Place> = {};
  const visit = (node: FittedNode, path: string): void => {
    for (const [name, child] of node.children) {
      const childPath = path === "" ? String(name) : `${path}.${name}`;
      places[childPath] = child.place ?? { line: 0, column: 0 };
      visit(child, childPath);
    }
  };
  visit(root, "");
  return { file, places };
}
