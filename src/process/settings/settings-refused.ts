import { PosthornError } from "../../foundation/error.ts";
import { problemLine, type SettingsProblem } from "../../service/config/config.ts";

/** Settings that turned out wrong where only another process could see it: told as the check tells them. */
export class SettingsRefused extends PosthornError {
  readonly problems: readonly SettingsProblem[];

  constructor(problems: readonly SettingsProblem[]) {
    super("SETTINGS_INVALID", {
      message: problems.map(problemLine).join("; "),
      advice: "posthornd -n says all that is wrong with the settings",
    });
    this.problems = problems;
  }
}
