import type { FilterSettings } from "./settings.ts";

/** The keys in the settings, of which each filter has one. */
export const FILTER_KINDS = [
  "milter",
  "authenticate",
  "sign",
  "rspamd",
  "spamc",
  "http",
  "clamd",
  "smtpProxy",
  "module",
  "hooks",
  "process",
  "builtin",
  "chain",
] as const;
export type FilterKind = (typeof FILTER_KINDS)[number];

export function kindOf(settings: FilterSettings): FilterKind | undefined {
  return FILTER_KINDS.find((kind) => settings[kind] !== undefined);
}
