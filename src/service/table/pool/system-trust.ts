import type { SecureContext } from "node:tls";

export interface TrustedAuthorities {
  /** The same array as long as they are the same. */
  readonly pems: string[];
  /** Verifies with them and with nobody else. Made once: there are a hundred and fifty, and each has to be read. */
  readonly context: SecureContext;
}

/**
 * Whom the clients of databases, filters and issuers of tokens believe where the settings name no authorities: those of
 * the system, as mail does. Node's own are never taken in their place unasked.
 */
export interface SystemTrust {
  /** Rejects with a text for people where there are none. */
  current(): Promise<TrustedAuthorities>;
  close(): void;
}
