import { parseArgs } from "node:util";
import { ok, refused, type Result } from "../../foundation/result.ts";
import { nearestName } from "../../service/config/names.ts";
import type { CliOption } from "./command.ts";

/** How `posthornd` was called. */
export type DaemonArguments =
  | {
      readonly do: "run";
      /** `-d`: stays in the foreground, logs to standard output. Otherwise: background, syslog, pid file. */
      readonly isForeground: boolean;
      /** `-v`: debug events too. The foreground alone does not imply it. */
      readonly isVerbose: boolean;
      readonly settingsFile: string | undefined;
    }
  /** `-n`: checks the settings and ends. */
  | { readonly do: "check"; readonly settingsFile: string | undefined }
  | { readonly do: "help" }
  | { readonly do: "version" };

export const daemonOptions = {
  foreground: { short: "d", says: "Stays in the foreground and logs to standard output." },
  verbose: { short: "v", says: "Records debug events too; -dv is both." },
  check: {
    short: "n",
    says: "Checks the settings with every certificate, key and table they name, and ends: 0 when the server would start.",
  },
  file: { short: "f", value: "FILE", says: "The settings file." },
  help: { short: "h", says: "Says how to use it." },
  version: { says: "Shows the version." },
} as const satisfies Readonly<Record<string, CliOption>>;

/** `problem` is for people: what is wrong and what to do. */
export function parseDaemonArguments(argv: readonly string[]): Result<DaemonArguments, string> {
  const unknown = argv
    .map((argument) => /^--([^=]+)/.exec(argument)?.[1])
    .find((name) => name !== undefined && !Object.hasOwn(daemonOptions, name));
  if (unknown !== undefined) {
    const near = nearestName(unknown, Object.keys(daemonOptions));
    return problem(`unknown option --${unknown}${near === undefined ? "" : `; did you mean --${near}?`}`);
  }
  const flag = (short?: string) => ({ type: "boolean", ...(short === undefined ? {} : { short }) }) as const;
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        foreground: flag(daemonOptions.foreground.short),
        verbose: flag(daemonOptions.verbose.short),
        check: flag(daemonOptions.check.short),
        file: { type: "string", short: daemonOptions.file.short },
        help: flag(daemonOptions.help.short),
        version: flag(),
      },
      allowPositionals: false,
      strict: true,
    }));
  } catch (thrown) {
    const [first = ""] = thrown instanceof Error ? thrown.message.split(/\. |\n/) : [];
    return problem(first);
  }
  if (values.help === true) return ok({ do: "help" });
  if (values.version === true) return ok({ do: "version" });
  if (values.file === "") return problem("-f names no file");
  if (values.check === true) return ok({ do: "check", settingsFile: values.file });
  return ok({
    do: "run",
    isForeground: values.foreground === true,
    isVerbose: values.verbose === true,
    settingsFile: values.file,
  });
}

function problem(text: string): Result<never, string> {
  return refused(`posthornd: ${text}\nposthornd --help says how to use it\n`);
}
