import { unreachable } from "../../foundation/assert.ts";
import { SASL_MECHANISMS, type SaslMechanism } from "../../protocol/sasl/question.ts";
import type { AccountsSettings } from "./settings.ts";

/**
 * How clients may log in: as the settings say, or as the backends can serve for certain. Whether a table holds passwords
 * in a form for SCRAM or CRAM-MD5 is not known before it is asked, and a client that tries one of these in vain asks its
 * user for another password: so they are offered where the settings say that the tables are fit.
 */
export function offeredMechanisms(accounts: AccountsSettings | undefined): readonly SaslMechanism[] {
  const written = accounts?.mechanisms;
  if (written !== undefined) return SASL_MECHANISMS.filter((mechanism) => written.includes(mechanism));
  const servable = servableMechanisms(accounts);
  return USUAL.filter((mechanism) => servable.has(mechanism));
}

/** What a mechanism of the settings asks for that no backend has; one sentence each. */
export function mechanismProblems(
  accounts: AccountsSettings | undefined,
  mechanisms: readonly SaslMechanism[],
): readonly string[] {
  const servable = servableMechanisms(accounts);
  return mechanisms
    .filter((mechanism) => !servable.has(mechanism))
    .map((mechanism) => `${mechanism} needs ${needOf(mechanism)}, and \`accounts\` has none`);
}

const USUAL: readonly SaslMechanism[] = ["OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN", "EXTERNAL"];

function servableMechanisms(accounts: AccountsSettings | undefined): ReadonlySet<SaslMechanism> {
  const kinds = new Set<string>(accounts?.backends.map(({ kind }) => kind));
  const hasTokens = kinds.has("oauth");
  // Without any account clients are told so, by the mechanisms that each of them knows.
  const hasPasswords = kinds.size === 0 || [...kinds].some((kind) => kind !== "oauth");
  return new Set(
    SASL_MECHANISMS.filter((mechanism) => {
      switch (needOf(mechanism)) {
        case "an oauth backend":
          return hasTokens;
        case "a table backend":
          return kinds.has("table");
        case "a backend with passwords":
          return hasPasswords;
        default:
          return true;
      }
    }),
  );
}

function needOf(mechanism: SaslMechanism): string {
  switch (mechanism) {
    case "OAUTHBEARER":
    case "XOAUTH2":
      return "an oauth backend";
    case "PLAIN":
    case "LOGIN":
      return "a backend with passwords";
    case "EXTERNAL":
      return "a certificate";
    case "CRAM-MD5":
    case "SCRAM-SHA-1":
    case "SCRAM-SHA-256":
    case "SCRAM-SHA-1-PLUS":
    case "SCRAM-SHA-256-PLUS":
      return "a table backend";
    default:
      return unreachable(mechanism);
  }
}
