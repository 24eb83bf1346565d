/** What a policy server is told, in the names of Postfix's SMTPD_POLICY_README (3.10). Absent ones are sent empty, as Postfix does. */
export interface PolicyAttributes {
  readonly protocol_state: "CONNECT" | "EHLO" | "HELO" | "MAIL" | "RCPT" | "DATA" | "END-OF-MESSAGE";
  readonly protocol_name: string;
  readonly helo_name?: string | undefined;
  readonly queue_id?: string | undefined;
  readonly sender?: string | undefined;
  readonly recipient?: string | undefined;
  /** Only for the stages behind RCPT; 0 before. */
  readonly recipient_count: number;
  readonly client_address?: string | undefined;
  /** Verified: the name's addresses include this one; else `unknown`. */
  readonly client_name: string;
  /** Not verified. */
  readonly reverse_client_name: string;
  /** The same for all questions about one mail, and for no other mail. */
  readonly instance: string;
  readonly sasl_method?: string | undefined;
  readonly sasl_username?: string | undefined;
  readonly sasl_sender?: string | undefined;
  readonly size: number;
  readonly ccert_subject?: string | undefined;
  readonly ccert_issuer?: string | undefined;
  readonly ccert_fingerprint?: string | undefined;
  readonly ccert_pubkey_fingerprint?: string | undefined;
  readonly encryption_protocol?: string | undefined;
  readonly encryption_cipher?: string | undefined;
  readonly encryption_keysize: number;
  readonly etrn_domain?: string | undefined;
  readonly stress?: string | undefined;
  readonly client_port?: number | undefined;
  readonly policy_context?: string | undefined;
  readonly server_address?: string | undefined;
  readonly server_port?: number | undefined;
  readonly compatibility_level?: string | undefined;
  readonly mail_version?: string | undefined;
}

/** In the order in which Postfix sends them: some servers were written by looking at it. */
const NAMES = [
  "protocol_state",
  "protocol_name",
  "client_address",
  "client_name",
  "client_port",
  "reverse_client_name",
  "server_address",
  "server_port",
  "helo_name",
  "sender",
  "recipient",
  "recipient_count",
  "queue_id",
  "instance",
  "size",
  "etrn_domain",
  "stress",
  "sasl_method",
  "sasl_username",
  "sasl_sender",
  "ccert_subject",
  "ccert_issuer",
  "ccert_fingerprint",
  "ccert_pubkey_fingerprint",
  "encryption_protocol",
  "encryption_cipher",
  "encryption_keysize",
  "policy_context",
  "compatibility_level",
  "mail_version",
] as const satisfies readonly (keyof PolicyAttributes)[];

/** A value is told up to here; what is longer was made to be. */
const MOST_VALUE = 2000;

/** One question: `name=value` lines, and an empty one behind them. No value can end its line. */
export function formatPolicyRequest(attributes: PolicyAttributes): string {
  const lines = NAMES.map((name) => `${name}=${plain(attributes[name])}`);
  return `request=smtpd_access_policy\n${lines.join("\n")}\n\n`;
}

function plain(value: string | number | undefined): string {
  return String(value ?? "")
    .replace(/[\x00-\x1f\x7f]/g, "?")
    .slice(0, MOST_VALUE);
}
