import { z } from "zod";
import { refused, type Result } from "../../foundation/result.ts";
import { inOrder, type Origins, type SettingPath, type SettingsProblem } from "./config.ts";
import { fit } from "./fit.ts";
import { withPathsFrom } from "./kinds.ts";
import { kebabCase } from "./names.ts";
import { nodeAt, originsOf, type FittedNode, type SourceNode } from "./source.ts";
import { isChosenName, wordsOf } from "./words.ts";

/** Settings that the schema accepts, and how to say more about them in the words and places of the file. */
export interface ParsedSettings<Settings> {
  readonly settings: Settings;
  readonly origins: Origins;
  /** A problem found later (a key that does not match, an action nobody defined), at its place in the file. */
  problemAt(path: SettingPath, text: string, severity?: "error" | "warning"): SettingsProblem;
}

export interface SettingsSource {
  readonly root: SourceNode;
  /** As messages name it. */
  readonly file: string;
  /** Absolute; relative paths begin here. */
  readonly directory: string;
  /** How names are spelled in messages: `max-sessions` in YAML, `maxSessions` in code. */
  readonly spelling: "kebab" | "camel";
}

export function parseSettings<Schema extends z.ZodType>(
  schema: Schema,
  source: SettingsSource,
): Result<ParsedSettings<z.output<Schema>>, readonly SettingsProblem[]> {
  const { file } = source;
  const spell = source.spelling === "kebab" ? kebabCase : (name: string): string => name;
  const fitted = fit(source.root, schema);
  const problemAt = (path: SettingPath, text: string, severity: "error" | "warning" = "error"): SettingsProblem => ({
    file,
    place: nodeAt(fitted.root, path).node.place,
    path: pathText(fitted.root, path, (name, at) => (isChosenName(schema, path, at) ? name : spell(name))),
    text,
    severity,
  });
  const given = (path: readonly PropertyKey[]): { isThere: boolean; value: unknown } => {
    let value = fitted.data;
    for (const step of path) {
      if (typeof value !== "object" || value === null || !Object.hasOwn(value, step))
        return { isThere: false, value: undefined };
      value = (value as Record<PropertyKey, unknown>)[step]; // an object, and the step is its own
    }
    return { isThere: true, value };
  };

  const problems: SettingsProblem[] = fitted.complaints.map((complaint) => ({
    ...problemAt(complaint.path, complaint.text),
    place: complaint.place,
  }));
  const parsed = withPathsFrom(source.directory, () => schema.safeParse(fitted.data));
  if (!parsed.success) {
    // A name that is not known may be the very one that the block as a whole is said to lack.
    const misnamed = new Set(
      parsed.error.issues.filter(({ code }) => code === "unrecognized_keys").map(({ path }) => path.join("\n")),
    );
    for (const issue of parsed.error.issues) {
      if (issue.code === "custom" && misnamed.has(issue.path.join("\n"))) continue;
      for (const said of wordsOf(issue, { schema, spell, given })) problems.push(problemAt(said.path, said.text));
    }
  }
  // A name without a value was left out of the data: that it is missing is the same mistake, told once already.
  const complained = new Set(problems.slice(0, fitted.complaints.length).map((problem) => problem.path));
  const told = problems.filter((problem, at) => at < fitted.complaints.length || !complained.has(problem.path));
  if (!parsed.success || told.length > 0) return refused(inOrder(told));
  return { ok: true, value: { settings: parsed.data, origins: originsOf(file, fitted.root), problemAt } };
}

/** `listeners.smtp.max-sessions`, `rules[2].match`: names as they were written, or as they would be. */
function pathText(root: FittedNode, path: SettingPath, spell: (name: string, at: number) => string): string {
  let node: FittedNode | undefined = root;
  let text = "";
  for (const [at, step] of path.entries()) {
    node = node?.children.get(step);
    // An element that stands without its list has no number.
    if (typeof step === "number") text += node === undefined ? "" : `[${step}]`;
    else text += `${text === "" ? "" : "."}${typeof node?.written === "string" ? node.written : spell(step, at)}`;
  }
  return text;
}
