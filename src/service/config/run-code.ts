import { fileURLToPath, pathToFileURL } from "node:url";
import { messageOf } from "../../foundation/error.ts";
import { codePlaceOf } from "./code-place.ts";
import type { Place, SettingsProblem } from "./config.ts";

/** What the thread of a settings file is told. */
export interface CodeTask {
  /** Absolute. */
  readonly path: string;
  /** As messages name it. */
  readonly file: string;
  /** What `import … from "posthorn"` means, and by which name. */
  readonly library: string;
  readonly libraryName: string;
  /** The folder in which Node keeps what it compiled, where it does. */
  readonly compileCache?: string | undefined;
}

/** Something that was imported and is not there; Node does not say on which line. */
export interface MissingModule {
  readonly specifier: string;
  readonly parent: string | undefined;
}

/** What went wrong while the file ran, at its place. `missing` comes with the text of the file that imports it. */
export function problemOfCode(
  thrown: unknown,
  { path, file }: Pick<CodeTask, "path" | "file">,
  missing?: MissingModule & { readonly text: string },
): SettingsProblem {
  const found = codePlaceOf(thrown, path);
  const imported = missing === undefined ? undefined : placeOfImport(missing);
  const parent = missing?.parent ?? "";
  const isOwn = parent === pathToFileURL(path).href;
  const elsewhere =
    imported === undefined || isOwn ? found.elsewhere : `${fileURLToPath(parent)}:${imported.line}:${imported.column}`;
  const place = found.place ?? (isOwn ? imported : undefined);
  const text = wordsOf(thrown);
  return {
    file,
    place,
    path: "",
    text: elsewhere === undefined || place !== undefined ? text : `${text} (${elsewhere})`,
    severity: "error",
  };
}

function wordsOf(thrown: unknown): string {
  if (thrown instanceof Error) return messageOf(thrown).split("\n", 1)[0] ?? thrown.name;
  const what =
    typeof thrown === "string" ? JSON.stringify(thrown) : thrown === null ? "null" : `a value (${typeof thrown})`;
  return `threw ${what}, which is no Error and does not tell its line`;
}

function placeOfImport({ specifier, text }: { specifier: string; text: string }): Place | undefined {
  const quoted = ['"', "'"].map((quote) => text.indexOf(`${quote}${specifier}${quote}`)).filter((at) => at >= 0);
  if (quoted.length === 0) return undefined;
  const lines = text.slice(0, Math.min(...quoted)).split("\n");
  return { line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1 };
}
