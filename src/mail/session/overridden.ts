import type { SessionOverrides, SessionSettings } from "./settings.ts";

/** The common settings with what a listener has of its own. */
export function overridden(common: SessionSettings, overrides: SessionOverrides | undefined): SessionSettings {
  if (overrides === undefined) return common;
  const given = Object.entries(overrides).filter(([, value]) => value !== undefined);
  return { ...common, ...Object.fromEntries(given) };
}
