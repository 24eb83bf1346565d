import { ok, refused, type Result } from "../../../foundation/result.ts";
import { KEY_PARAMETERS, type KeyParameter } from "../key-parameters.ts";

/**
 * The parameters that a query names, each once. SQLite binds `:key` by itself, but would take a name that nobody gives a
 * value for null, and find nothing: so what is misspelt is refused. Quotes and comments are left alone.
 */
export function queryParameters(sql: string): Result<readonly KeyParameter[], string> {
  const parameters = new Set<KeyParameter>();
  const token =
    /'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?\*\/|([:@$?])(\w*)|[\s\S]/g;
  for (const [, sign, name] of sql.matchAll(token)) {
    if (sign === undefined) continue;
    const parameter = KEY_PARAMETERS.find((each) => each === name);
    if (sign !== ":" || parameter === undefined)
      return refused(
        `there is no parameter ${sign}${name ?? ""}; there are ${KEY_PARAMETERS.map((each) => `:${each}`).join(", ")}`,
      );
    parameters.add(parameter);
  }
  return ok([...parameters]);
}
