import { ok, refused, type Problem, type Result } from "../../foundation/result.ts";
import { KEY_PARAMETERS, type KeyParameter } from "./key-parameters.ts";

/** Text with `%{key}`, `%{user}`, `%{domain}`, `%{service}` in it; `%%` is one `%`. */
export interface Template {
  readonly pieces: readonly (string | { readonly parameter: KeyParameter })[];
}

export function parseTemplate(text: string): Result<Template, Problem> {
  const pieces: (string | { readonly parameter: KeyParameter })[] = [];
  let literal = "";
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== "%") {
      literal += text[at] ?? "";
      continue;
    }
    if (text[at + 1] === "%") {
      literal += "%";
      at++;
      continue;
    }
    const name = /^%\{([^}]*)\}/.exec(text.slice(at))?.[1];
    const parameter = KEY_PARAMETERS.find((each) => each === name);
    if (name === undefined || parameter === undefined)
      return refused({
        at,
        expected: `one of ${KEY_PARAMETERS.map((each) => `%{${each}}`).join(", ")}, or %% for a %`,
      });
    if (literal !== "") pieces.push(literal);
    literal = "";
    pieces.push({ parameter });
    at += name.length + 2;
  }
  if (literal !== "") pieces.push(literal);
  return ok({ pieces });
}

/** The text for a key; `escape` is what the language around it asks for. */
export function expandTemplate(
  template: Template,
  values: Readonly<Record<KeyParameter, string>>,
  escape: (value: string) => string,
): string {
  return template.pieces.map((piece) => (typeof piece === "string" ? piece : escape(values[piece.parameter]))).join("");
}

export function hasParameters(template: Template): boolean {
  return template.pieces.some((piece) => typeof piece !== "string");
}

/** The parameters that stand in the text of a template; of one that cannot be read, none. */
export function parametersIn(text: string): readonly KeyParameter[] {
  const parsed = parseTemplate(text);
  if (!parsed.ok) return [];
  return parsed.value.pieces.flatMap((piece) => (typeof piece === "string" ? [] : [piece.parameter]));
}
