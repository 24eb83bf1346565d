import type { z } from "zod";
import { nearestName } from "./names.ts";
import { allowedWords, factsOf, optionsOf, schemaAt, shapeOf } from "./schema.ts";

/** One thing that zod refused, in words for people; `path` in the schema's names, `name` when it is about a name there. */
export interface Said {
  readonly path: readonly (string | number)[];
  readonly text: string;
}

export interface WordsContext {
  readonly schema: z.core.$ZodType;
  /** The names' writing: kebab-case in YAML, as they are in code. */
  readonly spell: (name: string) => string;
  /** What was written at a path; `isThere` false when nothing was. */
  readonly given: (path: readonly PropertyKey[]) => { readonly isThere: boolean; readonly value: unknown };
}

export function wordsOf(issue: z.core.$ZodIssue, context: WordsContext): readonly Said[] {
  const path = issue.path.filter((step) => typeof step !== "symbol");
  const type = schemaAt(context.schema, path);
  const { isThere, value } = context.given(path);
  const isSecret = type !== undefined && factsOf(type).kind === "secret";
  const got = isThere && !isSecret ? `, got ${shown(value)}` : "";
  const say = (text: string): readonly Said[] => [{ path, text }];
  const expected = type === undefined ? issue.message : `expected ${allowedWords(type, context.spell)}`;

  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- the rest is said by what is allowed
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = [...((type === undefined ? undefined : shapeOf(type))?.keys() ?? [])].map(context.spell);
      return issue.keys.map((name) => {
        const nearest = nearestName(name, known);
        const hint = nearest === undefined ? "" : `; did you mean ${nearest}?`;
        const all =
          known.length === 0 ? "" : `${nearest === undefined ? "; known" : " Known"} here: ${known.join(", ")}`;
        return { path: [...path, name], text: `unknown name${hint}${all}` };
      });
    }
    case "invalid_type":
      if (!isThere) return say(`missing; ${expected}`);
      return say(expected + got);
    case "invalid_value": {
      if (!isThere) return say(`missing; ${expected}`);
      const nearest = typeof value === "string" ? nearestName(value, issue.values.map(String)) : undefined;
      return say(`${expected}${got}${nearest === undefined ? "" : `; did you mean ${nearest}?`}`);
    }
    case "invalid_union":
      return unionWords(issue, context, path, expected + got);
    case "invalid_key": {
      const inner = issue.issues[0];
      return say(`this name will not do: ${inner?.message ?? issue.message}`);
    }
    case "custom":
    case "invalid_format":
      // Our own messages say what was expected; zod's say which pattern did not match.
      if (!issue.message.startsWith("Invalid"))
        return say(
          issue.message.startsWith("expected") && isScalar(value) && !issue.message.includes(", got ")
            ? issue.message + got
            : respelled(issue.message, type, context.spell),
        );
      return say(expected + got);
    case "too_small":
    case "too_big":
      if (issue.origin === "string" || issue.origin === "array") {
        const limit = Number(issue.code === "too_small" ? issue.minimum : issue.maximum);
        const unit = `${issue.origin === "string" ? "character" : "element"}${limit === 1 ? "" : "s"}`;
        return say(`expected ${issue.code === "too_small" ? "at least" : "at most"} ${limit} ${unit}`);
      }
      return say(expected + got);
    default:
      return say(expected + got);
  }
}

/** What is said about a block names its parts as the code does: here they are spelled as people write them. */
function respelled(text: string, type: z.core.$ZodType | undefined, spell: (name: string) => string): string {
  const parts = type === undefined ? undefined : shapeOf(type);
  return parts === undefined
    ? text
    : text.replace(/\b[a-z]+[A-Z]\w*\b/g, (name) => (parts.has(name) ? spell(name) : name));
}

/** Of a union only the way that was meant is spoken about: the one that the written value's shape fits. */
function unionWords(
  issue: z.core.$ZodIssueInvalidUnion,
  context: WordsContext,
  path: readonly (string | number)[],
  otherwise: string,
): readonly Said[] {
  const isOfShape = (errors: readonly z.core.$ZodIssue[]): boolean =>
    !errors.some(
      (error) => error.path.length === 0 && (error.code === "invalid_type" || error.code === "invalid_value"),
    );
  const meant = issue.errors.filter(isOfShape).sort((a, b) => a.length - b.length)[0];
  if (meant === undefined) return [{ path, text: otherwise }];
  return meant.flatMap((error) => wordsOf({ ...error, path: [...path, ...error.path] }, context));
}

function isScalar(value: unknown): boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

/** A value as a message quotes it: short. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "a block of names";
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  return String(value);
}

/** Whether names of a path belong to a map whose names people choose: those are never respelled. */
export function isChosenName(schema: z.core.$ZodType, path: readonly (string | number)[], at: number): boolean {
  const parent = schemaAt(schema, path.slice(0, at));
  return parent !== undefined && optionsOf(parent).some((option) => option._zod.def.type === "record");
}
