import { messageOf, PosthornError } from "../../foundation/error.ts";
import type { SettingPath } from "../../service/config/config.ts";
import { groupId, identityOf, uidOf } from "../privileges.ts";
import type { WrittenSettings } from "../settings/settings.ts";

export interface IdentityProblem {
  readonly path: SettingPath;
  readonly text: string;
  readonly severity: "error" | "warning";
}

/**
 * Why root could not start a server of several processes with these users and groups. Who is not root can start it, and a user that
 * this machine does not have may be one of the machine that the settings are for: then it is a warning.
 */
export function identityProblems(
  settings: Pick<WrittenSettings, "user" | "group" | "keeperUser" | "keeperGroup">,
  isRoot: boolean,
): readonly IdentityProblem[] {
  const problems: IdentityProblem[] = [];
  const look = (path: SettingPath, severity: "error" | "warning", lookUp: () => unknown): void => {
    try {
      lookUp();
    } catch (thrown) {
      const advice = thrown instanceof PosthornError ? `: ${thrown.advice}` : "";
      // A warning alone reads as if the server would start all the same.
      const until = isRoot && severity === "warning" ? "; until then root cannot start the server on this machine" : "";
      problems.push({ path, text: `${messageOf(thrown)}${advice}${until}`, severity });
    }
  };
  for (const [userKey, groupKey] of [
    ["user", "group"],
    ["keeperUser", "keeperGroup"],
  ] as const) {
    const { [userKey]: user, [groupKey]: group } = settings;
    if (user === undefined) continue;
    const isWrong = uidOf(user) === 0;
    if (isWrong || isRoot) look([userKey], isWrong && isRoot ? "error" : "warning", () => identityOf(user, undefined));
    if (isRoot && group !== undefined) look([groupKey], "warning", () => groupId(group));
  }
  return problems;
}
