import { z } from "zod";

/** What can be asked of a zod declaration: its shape, its kind, its words. The one file that knows zod's inside. */
export type Schema = z.core.$ZodTypes;

export interface SchemaFacts {
  /** Free of wrappers: an object, record, array, union, or a scalar. */
  readonly bare: Schema;
  readonly description: string | undefined;
  /** What `kinds.ts` marked it with: `duration`, `path`, ... */
  readonly kind: string | undefined;
  readonly isOptional: boolean;
  /** As a person would write it; undefined when there is none. */
  readonly fallback: unknown;
  readonly min: string | undefined;
  readonly max: string | undefined;
}

/** Any zod type, as the union that a switch can take apart. */
function asSchema(type: z.core.$ZodType): Schema {
  return type as Schema; // every type that zod makes is one of the union; the base type only forgets which
}

export function factsOf(type: z.core.$ZodType): SchemaFacts {
  let schema = asSchema(type);
  let description: string | undefined;
  let kind: string | undefined;
  let isOptional = false;
  let fallback: unknown;
  let min: string | undefined;
  let max: string | undefined;
  const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
  for (;;) {
    const meta = z.globalRegistry.get(schema);
    description ??= meta?.description;
    kind ??= text(meta?.["kind"]);
    min ??= text(meta?.["min"]);
    max ??= text(meta?.["max"]);
    const { def } = schema._zod;
    // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- all others are not wrapped
    switch (def.type) {
      case "optional":
      case "nullable":
        isOptional = true;
        schema = asSchema(def.innerType);
        break;
      case "default":
      case "prefault":
        isOptional = true;
        fallback ??= def.defaultValue;
        schema = asSchema(def.innerType);
        break;
      case "readonly":
      case "nonoptional":
      case "catch":
        schema = asSchema(def.innerType);
        break;
      case "lazy":
        schema = asSchema(def.getter());
        break;
      case "pipe":
        // A transformation changes what the code gets, not what people write; preprocessing is the other way round.
        schema = asSchema(asSchema(def.in)._zod.def.type === "transform" ? def.out : def.in);
        break;
      default:
        return { bare: schema, description, kind, isOptional, fallback, min, max };
    }
  }
}

/** The ways in which a value may be written: the options of a union, however nested, or the one there is. */
export function optionsOf(type: z.core.$ZodType): readonly Schema[] {
  const { bare } = factsOf(type);
  const { def } = bare._zod;
  return def.type === "union" ? def.options.flatMap((option) => optionsOf(option)) : [bare];
}

/** The named parts of a strict object; of a union of objects, those of all. Undefined for everything else. */
export function shapeOf(type: z.core.$ZodType): ReadonlyMap<string, z.core.$ZodType> | undefined {
  const shape = new Map<string, z.core.$ZodType>();
  for (const option of optionsOf(type)) {
    const { def } = option._zod;
    if (def.type !== "object") continue;
    for (const [name, part] of Object.entries(def.shape)) {
      const other = shape.get(name);
      // The mark that tells the options apart has another value in each: together they are what may be written.
      const isMark = other !== undefined && asSchema(part)._zod.def.type === "literal";
      shape.set(name, isMark ? z.union([other, part]) : (other ?? part));
    }
  }
  return shape.size === 0 ? undefined : shape;
}

/** The type of an entry of a map of names, or of an element of a list. */
export function memberOf(type: z.core.$ZodType, of: "record" | "array"): z.core.$ZodType | undefined {
  for (const option of optionsOf(type)) {
    const { def } = option._zod;
    if (def.type === "record" && of === "record") return def.valueType;
    if (def.type === "array" && of === "array") return def.element;
  }
  return undefined;
}

/** The declaration at a path of names and positions. */
export function schemaAt(root: z.core.$ZodType, path: readonly PropertyKey[]): z.core.$ZodType | undefined {
  let schema: z.core.$ZodType | undefined = root;
  for (const step of path) {
    if (schema === undefined) return undefined;
    schema =
      typeof step === "number"
        ? memberOf(schema, "array")
        : (shapeOf(schema)?.get(String(step)) ?? memberOf(schema, "record"));
  }
  return schema;
}

/** What may be written, in words: `a duration such as 90s`, `one of auto, single, split`, `a whole number from 1 to 15`. */
export function allowedWords(type: z.core.$ZodType, spell: (name: string) => string = (name) => name): string {
  const facts = factsOf(type);
  const range = (least: string | undefined, most: string | undefined): string =>
    least !== undefined && most !== undefined
      ? ` from ${least} to ${most}`
      : least !== undefined
        ? ` of at least ${least}`
        : most !== undefined
          ? ` of at most ${most}`
          : "";
  switch (facts.kind) {
    case "duration":
      return `a duration such as 90s, 5m, 4h or 1h30m${range(facts.min, facts.max).replace(/^ /, ", ")}`;
    case "size":
      return `a size such as 32KiB, 50MiB or 1000${range(facts.min, facts.max).replace(/^ /, ", ")}`;
    case "rate":
      return "a rate such as 100/min, 5/s or 2000/1h";
    case "path":
      return "a path";
    case "host name":
      return "a host name such as mail.example.org";
    case "table":
      return "table:name";
    case "table or list":
      return "a list, or table:name";
    case "secret":
      return "text";
    case "file mode":
      return "a file mode such as 0660";
    case "network":
      return "a network such as 192.0.2.0/24";
    case undefined:
      break;
    default:
      return facts.kind;
  }
  const words = optionsOf(type).map((option) => {
    const { def } = option._zod;
    // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- settings are made of these kinds
    switch (def.type) {
      case "string":
        return "text";
      case "boolean":
        return "true or false";
      case "number": {
        const { minValue, maxValue, isInt } =
          option instanceof z.ZodNumber ? option : { minValue: null, maxValue: null, isInt: false };
        const known = (limit: number | null): string | undefined =>
          limit === null || Math.abs(limit) >= Number.MAX_SAFE_INTEGER ? undefined : String(limit);
        return `${isInt ? "a whole number" : "a number"}${range(known(minValue), known(maxValue))}`;
      }
      case "enum":
        return `one of ${Object.values(def.entries).join(", ")}`;
      case "literal":
        return def.values.map(String).join(" or ");
      case "array":
        return listWords(allowedWords(def.element, spell));
      case "object":
        return `settings (${[...(shapeOf(option)?.keys() ?? [])].map(spell).join(", ")})`;
      case "record":
        return "names, each with its settings";
      default:
        return def.type;
    }
  });
  const isChoice = words.length > 1 && optionsOf(type).every((option) => option._zod.def.type === "literal");
  return isChoice ? `one of ${words.join(", ")}` : [...new Set(words)].join(", or ");
}

function listWords(element: string): string {
  return element === "text" ? "a list of texts" : `a list, each element ${element}`;
}
