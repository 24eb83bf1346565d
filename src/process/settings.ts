import { z } from "zod";
import { actionsSettings, localSettings, rulesSettings } from "../mail/envelope/settings.ts";
import { accountsSettings, credentialsSettings } from "../service/account/settings.ts";
import { tablesSettings } from "../service/table/settings.ts";
import { certificatesSettings } from "../service/tls/settings.ts";
import { serverSettings } from "./server-settings.ts";

/** The whole of the settings, each part declared beside the code that uses it. `{}` is a server that works. */
export const posthornSettings = z.strictObject({
  ...serverSettings,
  certificates: certificatesSettings,
  local: localSettings,
  accounts: accountsSettings,
  credentials: credentialsSettings,
  tables: tablesSettings,
  actions: actionsSettings,
  rules: rulesSettings,
});

/** What people write in `posthorn.config.ts`. */
export type SettingsInput = z.input<typeof posthornSettings>;

/** The settings as they were written, with defaults; `complete` gives what depends on the machine. */
export type WrittenSettings = z.output<typeof posthornSettings>;

/** For `posthorn.config.ts`: gives the editor the types, and returns what it was given. */
export function defineConfig(input: SettingsInput): SettingsInput {
  return input;
}
