import type { Clock } from "../../foundation/clock.ts";
import type { Random } from "../../foundation/random.ts";
import { inOrder, problemIn, type SettingsProblem } from "../../service/config/config.ts";
import { openBackend } from "../../service/table/open-backend.io.ts";
import { isBackendSource } from "../../service/table/backend-source.ts";
import { ownTrust } from "../role/trust.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";

/**
 * Opens each database and directory, and asks each of its queries once. All it tells are warnings: the server starts
 * also while they are away, and their lookups fail until they answer.
 */
export async function checkBackends(
  { settings, origins, secrets }: Pick<LoadedSettings, "settings" | "origins" | "secrets">,
  world: { readonly clock: Clock; readonly random: Random },
): Promise<readonly SettingsProblem[]> {
  const problems: SettingsProblem[] = [];
  const trust = ownTrust();
  await Promise.all(
    Object.entries(settings.tables).map(async ([name, source]) => {
      // A program is started by nobody but the server.
      if (!isBackendSource(source) || source.kind === "process") return;
      const tell = (path: readonly string[], text: string): void =>
        void problems.push(problemIn(origins, ["tables", name, source.kind, ...path], text, "warning"));
      const backend = await openBackend(name, source, {
        ...world,
        trust,
        onFinding: () => {},
        secrets: secrets.tables ?? {},
      });
      try {
        const { state, text } = backend.health();
        if (state === "down") tell([], text);
        for (const problem of (await backend.probe?.()) ?? []) tell(problem.path, problem.text);
      } finally {
        await backend.close();
      }
    }),
  );
  return inOrder(problems);
}
