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

/**
 * Whether two snapshots are of states that decide alike: one may lack properties that are undefined in the other, or have two
 * objects with the same content where the other has one twice, as what was read back from JSON does.
 */
export function areAlike(one: string, other: string): boolean {
  if (one === other) return true;
  const [ours, theirs] = [JSON.parse(one) as readonly Entry[], JSON.parse(other) as readonly Entry[]];
  const pairs: (readonly [number, number])[] = [[0, 0]];
  const seen = new Set(["0 0"]);
  const alike = (a: Value | undefined, b: Value | undefined): boolean => {
    if (typeof a !== "object" || a === null || typeof b !== "object" || b === null) return a === b;
    if (!("r" in a) || !("r" in b)) return JSON.stringify(a) === JSON.stringify(b);
    const pair = `${a.r} ${b.r}`;
    if (!seen.has(pair)) pairs.push([a.r, b.r]);
    seen.add(pair);
    return true;
  };
  // What is pushed meanwhile has its turn as well.
  for (const [a, b] of pairs) {
    const [[kind, ...parts] = NOTHING, [otherKind, ...others] = NOTHING] = [ours[a], theirs[b]];
    if (kind !== otherKind) return false;
    const [left, right] = kind === "o" ? [defined(parts), defined(others)] : [parts, others];
    if (left.length !== right.length || !left.every((value, at) => alike(value, right[at]))) return false;
  }
  return true;
}

const NOTHING: Entry = ["o"];

/** An object's names and values, without the values that are undefined. */
function defined(parts: readonly Value[]): readonly Value[] {
  return parts.filter((part, at) => !isUndefined(at % 2 === 0 ? parts[at + 1] : part));
}

function isUndefined(value: Value | undefined): boolean {
  return typeof value === "object" && value !== null && "u" in value;
}

/** An assignment to `__proto__` would be something else. */
function define(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
}

function nameOf(value: Value | undefined): string {
  return typeof value === "string" ? value : "";
}
