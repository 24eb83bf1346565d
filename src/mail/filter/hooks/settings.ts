import { z } from "zod";
import { duration, path, size } from "../../../service/config/kinds.ts";
import type { Hooks } from "./hooks.ts";

/** Where hooks come from, and how they are run; the same for a module and for code in the settings file. */
export interface ModuleSettings {
  /** Absolute. */
  readonly file: string;
  /** Of the settings file: the names that lead to the hooks in its default export. Absent: the default export is the hooks. */
  readonly within?: readonly string[] | undefined;
  readonly worker: boolean;
  readonly stuckAfter: number;
  readonly memory: number;
}

const running = {
  worker: z
    .boolean()
    .default(false)
    .describe(
      "Whether they run in a thread of their own, which is ended when it is stuck: then even an endless loop costs nobody's mail. Costs some time for each question.",
    ),
  stuckAfter: duration({ min: "100ms", max: "1m" })
    .prefault("2s")
    .describe("With `worker`: a thread that does not even answer for so long is ended, and begins anew."),
  memory: size({ min: "16MiB", max: "16GiB" })
    .prefault("256MiB")
    .describe("With `worker`: a thread that needs more is ended, and begins anew."),
};
const parsedRunning = z.object(running);

/** Of YAML and of code: a path, or an object with it. */
export const moduleSettings = z
  .union([
    path(),
    z.strictObject({
      file: path().describe("The module: TypeScript or JavaScript, with `export default defineHooks({ … })`."),
      ...running,
    }),
  ])
  .transform((written): ModuleSettings =>
    typeof written === "string" ? { file: written, ...parsedRunning.parse({}) } : written,
  );

/**
 * Of `posthorn.config.ts`, where the hooks themselves stand in line. Functions do not cross processes: whoever reads the
 * settings finds the place of the code instead (`service/config/code.ts`), and each process that runs hooks imports the file.
 */
export const inlineHooksSettings = z
  .string()
  .meta({ kind: "code" })
  .transform((place, context): ModuleSettings => {
    const [, file, within] = /^code:(.+)#\/(.*)$/s.exec(place) ?? [];
    if (file !== undefined && within !== undefined && !/%(?![0-9A-F]{2})/i.test(within))
      return { file, within: within.split("/").map((name) => decodeURIComponent(name)), ...parsedRunning.parse({}) };
    context.addIssue({
      code: "custom",
      message:
        "expected `defineHooks({ … })`, which only posthorn.config.ts can have; in YAML give `module: ./hooks.ts`",
    });
    return z.NEVER;
    // What people write is the code; the reader of code puts text in its place.
  }) as unknown as z.ZodType<ModuleSettings, Hooks>;
