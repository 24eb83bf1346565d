import { z } from "zod";
import { kebabCase } from "./names.ts";

type Json = { [name: string]: unknown };

/**
 * The JSON Schema of a settings file, for editors: what people write, in kebab-case, with the descriptions. A file says
 * `# yaml-language-server: $schema=…` in its first line to use it.
 */
export function settingsJsonSchema(schema: z.ZodType, title: string): Json {
  const made: Json = z.toJSONSchema(schema, {
    io: "input",
    unrepresentable: "any",
    override({ jsonSchema }) {
      const { kind } = jsonSchema;
      if (kind === "duration") jsonSchema.pattern = "^(\\d+(\\.\\d+)?(ms|min|s|m|h|d|w))+$";
      if (kind === "table") jsonSchema.pattern = "^table:.+$";
      // Our own marks mean nothing to a validator.
      for (const mark of ["kind", "min", "max"]) delete jsonSchema[mark];
      // A default that is a secret of the code's (a prefault in pieces) would only confuse.
      if (typeof jsonSchema.default === "object" && JSON.stringify(jsonSchema.default) === "{}")
        delete jsonSchema.default;
    },
  });
  return { ...asObject(kebab(made)), title };
}

/** Respells names where they are the schema's (`properties`), not where people choose them. */
function kebab(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(kebab);
  if (!isObject(node)) return node;
  return Object.fromEntries(
    Object.entries(node).map(([name, value]) => {
      if (name === "properties" && isObject(value))
        return [name, Object.fromEntries(Object.entries(value).map(([part, of]) => [kebabCase(part), kebab(of)]))];
      if (name === "required" && Array.isArray(value)) return [name, value.map((part) => kebabCase(String(part)))];
      if (name === "default" || name === "enum" || name === "const") return [name, value];
      return [name, kebab(value)];
    }),
  );
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function asObject(value: unknown): Json {
  return isObject(value) ? value : {};
}
