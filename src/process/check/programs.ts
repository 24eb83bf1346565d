import { accessSync, constants, statSync } from "node:fs";
import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import { problemIn, type SettingPath, type SettingsProblem } from "../../service/config/config.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";

/**
 * Looks whether the programs that the settings name are there, without starting any: that is for the server alone, as the
 * user that it gives them. All it tells are warnings.
 */
export function checkPrograms({
  settings,
  origins,
}: Pick<LoadedSettings, "settings" | "origins">): readonly SettingsProblem[] {
  const commands: { readonly path: SettingPath; readonly command: readonly string[] }[] = [];
  for (const [name, source] of Object.entries(settings.tables))
    if (source.kind === "process")
      commands.push({ path: ["tables", name, "process", "command"], command: source.options.command });
  const queue = settings.queue.store.process;
  if (queue !== undefined) commands.push({ path: ["queue", "store", "process", "command"], command: queue.command });
  for (const [name, { process: filter }] of Object.entries(settings.filters))
    if (filter !== undefined) commands.push({ path: ["filters", name, "process"], command: filter.command });
  return commands.flatMap(({ path, command: [program = ""] }) => {
    const problem = program.startsWith("/") ? problemOf(program) : undefined;
    return problem === undefined ? [] : [problemIn(origins, path, problem, "warning")];
  });
}

function problemOf(program: string): string | undefined {
  try {
    if (!statSync(program).isFile()) return `${program} is no file`;
    accessSync(program, constants.X_OK);
    return undefined;
  } catch (thrown) {
    return systemCodeOf(thrown) === "ENOENT"
      ? `${program} does not exist`
      : `${program} cannot be started: ${messageOf(thrown)}`;
  }
}
