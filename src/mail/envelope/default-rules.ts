import type { Actions } from "./action-settings.ts";
import type { Rule } from "./rule-settings.ts";

/** What rules can choose without anybody having written it: local mailboxes, and relaying by MX. */
export const ownActions: Actions = {
  deliver: { kind: "deliver", as: "maildir" },
  relay: { kind: "relay", to: [], backup: false },
};

/** What holds where the settings have no rules: local mail, and what our own people send. */
export const defaultRules: readonly Rule[] = [
  { match: { for: [{ kind: "local", isNegated: false }] }, action: "deliver" },
  {
    match: {
      from: [
        { kind: "local", isNegated: false },
        { kind: "auth", isNegated: false },
        { kind: "certificate", isNegated: false },
      ],
    },
    action: "relay",
  },
];
