import { messageOf, systemCodeOf } from "../../foundation/error.ts";
import { readSecretFile } from "../../foundation/read-file.io.ts";
import type { SettingsProblem } from "../../service/config/config.ts";
import type { ParsedSettings } from "../../service/config/parse.ts";
import { backendPath } from "../check/accounts.ts";
import type { WrittenSettings } from "./settings.ts";

/** What the backends of accounts log in with elsewhere, by their place in the settings' list. */
export async function loadAccountSecrets(
  parsed: ParsedSettings<WrittenSettings>,
  problems: SettingsProblem[],
): Promise<Readonly<Record<number, string>>> {
  const secrets: Record<number, string> = {};
  for (const [at, backend] of (parsed.settings.accounts?.backends ?? []).entries()) {
    if (backend.kind !== "oauth" || backend.oauth.check.by !== "introspection") continue;
    const { clientSecretFile } = backend.oauth.check;
    if (clientSecretFile === undefined) continue;
    const tell = (text: string): void => {
      problems.push(parsed.problemAt(backendPath(parsed.origins, at, "oauth", "clientSecretFile"), text));
    };
    try {
      const secret = (await readSecretFile(clientSecretFile)).split(/\r?\n/, 1)[0] ?? "";
      if (secret === "") tell(`${clientSecretFile} has an empty first line`);
      else secrets[at] = secret;
    } catch (thrown) {
      tell(
        systemCodeOf(thrown) === "ENOENT"
          ? `${clientSecretFile} does not exist`
          : `${clientSecretFile} cannot be read: ${messageOf(thrown)}`,
      );
    }
  }
  return secrets;
}
