import type { Settings, WrittenSettings } from "./settings.ts";

/** The restrictions in force at a listener: its own, or the common ones. */
export function restrictionsAt(
  settings: Pick<Settings | WrittenSettings, "restrictions">,
  listener: Pick<Settings["listeners"][number], "restrictions">,
): Settings["restrictions"] {
  return listener.restrictions ?? settings.restrictions;
}
