import type { TlsMode } from "../../route/next-host.ts";
import type { TlsPolicy } from "./policy.ts";
import type { TlsVersion } from "./protocols.ts";

/** A question about one destination, whether mail goes there or not. */
export interface PolicyQuestion {
  /** `example.org`, `[192.0.2.1]:25`: as a relay or a recipient's domain has it. */
  readonly destination: string;
  /** One of its hosts, when that is asked for: keys may name it. */
  readonly hostName?: string | undefined;
  readonly address?: string | undefined;
  readonly port?: number | undefined;
}

/** What a handshake with the destination is like, by the policy and what the settings say for all. */
export interface HandshakeTerms {
  readonly minVersion: TlsVersion;
  readonly maxVersion?: TlsVersion | undefined;
  readonly ciphers?: string | undefined;
  /** For SNI, instead of the host's name. */
  readonly serverName?: string | undefined;
}

/** The answer: the level, the rule and the key that matched. Plain data. */
export type PolicyReport =
  | {
      readonly kind: "found";
      readonly policy: TlsPolicy;
      readonly key: string;
      /** `posthorn.yaml:12:5`, `/etc/posthorn/tls-policy:3`. */
      readonly where: string;
      readonly keysTried: readonly string[];
      readonly terms?: HandshakeTerms | undefined;
    }
  /** No policy is about it: the relay's URL decides, `byMx` where the mail exchangers are asked. */
  | {
      readonly kind: "none";
      readonly byMx: TlsMode;
      readonly keysTried: readonly string[];
      readonly terms?: HandshakeTerms | undefined;
    }
  | { readonly kind: "failed"; readonly text: string; readonly keysTried: readonly string[] };
