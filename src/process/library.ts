import type { SettingsInput } from "./settings/settings.ts";

/**
 * What `import … from "posthorn"` gives: to settings files, to modules of hooks and to policy tests. It is loaded by
 * threads and workers too, so it stands for itself: of the settings it knows the types only.
 */
export * from "../mail/filter/hooks/effects.ts";
export { defineHooks } from "../mail/filter/hooks/hooks.ts";
export type {
  AuthEvent,
  DataEvent,
  HeloEvent,
  HookEvent,
  Hooks,
  MailEvent,
  RcptEvent,
  Said,
} from "../mail/filter/hooks/hooks.ts";
export type { HookMessage } from "../mail/filter/hooks/message.ts";
export { policyTest } from "./policy-test/policy-test.ts";
export type { PolicyServer, PolicyTestGiven } from "./policy-test/policy-test.ts";
export type { ExpectationInput, TrialInput } from "./policy-test/case.ts";
export type { Found } from "./policy-test/trial.ts";

/** For `posthorn.config.ts`: gives the editor the types, and returns what it was given. */
export function defineConfig(input: SettingsInput): SettingsInput {
  return input;
}
