/**
 * The scheduler's state as text and back, exactly: objects that are shared stay shared, Maps and Sets keep their order,
 * cycles are allowed. A replay that begins with a snapshot goes on as the original did.
 *
 * One entry for each object, in the order of first sight; values inside are plain JSON, or `{"r": entry}` for an object,
 * or `{"u": 0}` for undefined, or `{"n": "Infinity"}` for a number that JSON cannot write.
 */
type Entry =
  | readonly ["a", ...Value[]]
  | readonly ["o", ...(string | Value)[]]
  | readonly ["m", ...Value[]]
  | readonly ["s", ...Value[]];
type Value = string | number | boolean | null | { readonly r: number } | { readonly u: 0 } | { readonly n: string };

export function snapshot(root: object): string {
  const numbers = new Map<object, number>([[root, 0]]);
  // A work list rather than recursion: queues are linked lists of any length.
  const found: object[] = [root];
  const valueOf = (value: unknown): Value => {
    if (value === undefined) return { u: 0 };
    if (value === null || typeof value === "string" || typeof value === "boolean") return value;
    if (typeof value === "number") return Number.isFinite(value) ? value : { n: String(value) };
    if (typeof value !== "object") throw new TypeError(`a snapshot cannot hold a ${typeof value}`);
    let number = numbers.get(value);
    if (number === undefined) {
      number = found.push(value) - 1;
      numbers.set(value, number);
    }
    return { r: number };
  };
  const entries: Entry[] = [];
  for (let at = 0; at < found.length; at++) {
    const object = found[at];
    if (Array.isArray(object)) entries.push(["a", ...object.map(valueOf)]);
    else if (object instanceof Map)
      entries.push(["m", ...[...object].flatMap(([key, value]) => [valueOf(key), valueOf(value)])]);
    else if (object instanceof Set) entries.push(["s", ...[...object].map(valueOf)]);
    else entries.push(["o", ...Object.entries(object ?? {}).flatMap(([key, value]) => [key, valueOf(value)])]);
  }
  return JSON.stringify(entries);
}

/** The inverse of `snapshot`, for text that `snapshot` wrote. */
export function restore(text: string): unknown {
  const entries = JSON.parse(text) as readonly Entry[];
  const objects = entries.map(([kind]) =>
    kind === "a" ? [] : kind === "m" ? new Map() : kind === "s" ? new Set() : {},
  );
  const valueOf = (value: Value | undefined): unknown => {
    if (typeof value !== "object" || value === null) return value;
    if ("r" in value) return objects[value.r];
    return "n" in value ? Number(value.n) : undefined;
  };
  entries.forEach(([, ...parts], number) => {
    const object = objects[number];
    for (let at = 0; at < parts.length; at++) {
      if (Array.isArray(object)) object.push(valueOf(parts[at]));
      else if (object instanceof Set) object.add(valueOf(parts[at]));
      else if (object instanceof Map) object.set(valueOf(parts[at]), valueOf(parts[++at]));
      else define(object ?? {}, nameOf(parts[at]), valueOf(parts[++at]));
    }
  });
  return objects[0];
}

/** An assignment to `__proto__` would be something else. */
function define(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
}

function nameOf(value: Value | undefined): string {
  return typeof value === "string" ? value : "";
}
