import type { z } from "zod";
import type { Place } from "./config.ts";
import { camelCase } from "./names.ts";
import { factsOf, memberOf, optionsOf, shapeOf } from "./schema.ts";
import type { FittedNode, SourceNode } from "./source.ts";

/** The source in the schema's names, ready for zod. Problems are told with the node they stand at. */
export interface Fitted {
  readonly data: unknown;
  readonly root: FittedNode;
  readonly complaints: readonly {
    readonly path: readonly (string | number)[];
    readonly place: Place | undefined;
    readonly text: string;
  }[];
}

/**
 * Brings what people write to what the schema says: `max-sessions` is `maxSessions` where the schema names its parts (not
 * in maps of names people choose), a plain `yes` or `off` is a boolean where one is wanted, a plain number is text where
 * text is wanted, and a name with nothing behind it is an empty block where a block is wanted.
 */
export function fit(root: SourceNode, schema: z.core.$ZodType): Fitted {
  const complaints: { path: readonly (string | number)[]; place: Place | undefined; text: string }[] = [];
  const ABSENT = Symbol("absent");

  const visit = (
    node: SourceNode,
    type: z.core.$ZodType | undefined,
    path: readonly (string | number)[],
    written: string | number,
    place: Place | undefined,
  ): { data: unknown; node: FittedNode } => {
    const children = new Map<string | number, FittedNode>();
    const fitted: FittedNode = { node, place, written, children };
    if (node.kind === "scalar") {
      const data = scalar(node, type);
      if (data === null && type !== undefined) {
        const isBlock = shapeOf(type) !== undefined || ["record", "array"].includes(factsOf(type).bare._zod.def.type);
        if (!isBlock) complaints.push({ path, place, text: "no value behind the colon" });
        return { data: ABSENT, node: fitted };
      }
      return { data, node: fitted };
    }
    if (node.kind === "list") {
      const element = type === undefined ? undefined : memberOf(type, "array");
      const data = node.items.map((item, at) => {
        const child = visit(item, element, [...path, at], at, item.place);
        children.set(at, child.node);
        return child.data === ABSENT ? {} : child.data;
      });
      return { data, node: fitted };
    }
    const shape = type === undefined ? undefined : shapeOf(type);
    const member = type === undefined ? undefined : memberOf(type, "record");
    const data: [string, unknown][] = [];
    for (const entry of node.entries) {
      const name =
        shape === undefined || shape.has(entry.name) || !shape.has(camelCase(entry.name))
          ? entry.name
          : camelCase(entry.name);
      const earlier = children.get(name);
      if (earlier !== undefined) {
        const text = `the same as ${earlier.written} on line ${earlier.place?.line ?? 0}, written twice`;
        complaints.push({ path: [...path, entry.name], place: entry.place, text });
        continue;
      }
      const child = visit(entry.node, shape?.get(name) ?? member, [...path, name], entry.name, entry.place);
      children.set(name, child.node);
      if (child.data !== ABSENT) data.push([name, child.data]);
    }
    return { data: Object.fromEntries(data), node: fitted };
  };

  const top = visit(root, schema, [], "", root.place);
  return { data: top.data === ABSENT ? {} : top.data, root: top.node, complaints };
}

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ["yes", true],
  ["on", true],
  ["no", false],
  ["off", false],
]);

function scalar(node: SourceNode & { kind: "scalar" }, type: z.core.$ZodType | undefined): unknown {
  if (type === undefined || node.plain === undefined) return node.value;
  const wanted = optionsOf(type).map((option) => option._zod.def.type);
  if (typeof node.value === "string") {
    const flag = BOOLEANS.get(node.value.toLowerCase());
    return flag !== undefined && wanted.includes("boolean") ? flag : node.value;
  }
  const wantsText =
    wanted.includes("string") && !wanted.includes(typeof node.value === "number" ? "number" : "boolean");
  return wantsText && typeof node.value === "number" ? node.plain : node.value;
}
