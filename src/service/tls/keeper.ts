import type { CertificatePair } from "./certificate.ts";

/**
 * The keeper: the one part of a server that reads private keys, certificates and the authorities that are trusted. Everyone
 * else asks it. In a single server it is an object beside them; in a split one a process of its own, which accepts no
 * connection from the network, and the others cannot read the files at all.
 *
 * Every call settles. One that cannot be answered because the keeper's process is gone rejects with `ROLE_UNAVAILABLE`;
 * everything else is told in the answer. Nothing here may be logged or stored: it holds keys.
 */
export interface Keeper {
  /** What a listener shows by itself, and what its tickets are encrypted with. */
  profile(listener: string): Promise<ProfileMaterial>;
  /** What the certificate tables of a listener have for a name that the client asked for. */
  certificateFor(serverName: string, listener: string): Promise<CertificateAnswer>;
  /** The authorities that certificates are verified with: `system`, or a file that the settings name. */
  anchors(source: string): Promise<Anchors>;
  /** What we show as a client: the certificates of this label. */
  clientCertificate(label: string): Promise<ClientMaterial>;
  /** Told after each change; ask again then. Returns what ends it. */
  onChange(tell: (change: KeeperChange) => void): () => void;
}

/** What the makers of certificates (ACME) may do besides. */
export interface KeeperStore {
  /** Checks a new pair, makes it durable, and has every process show it from its next handshake on. Says why not. */
  keep(label: string, pair: { certificatePem: string; keyPem: string }): Promise<string | undefined>;
  /**
   * RFC 8737: while it is set, clients that offer `acme-tls/1` for the name are shown this, on every listener. It is never
   * stored. Undefined ends it.
   */
  setChallenge(name: string, pair: { certificatePem: string; keyPem: string } | undefined): Promise<string | undefined>;
}

export type KeeperChange = "certificates" | "tickets" | "anchors";

export interface ProfileMaterial {
  /** The first is the default. Empty only when nothing could be read or made. */
  readonly pairs: readonly CertificatePair[];
  /** Tables may know further names: ask `certificateFor`. */
  readonly hasTables: boolean;
  /** By name, for `acme-tls/1`. */
  readonly challenges: readonly (readonly [name: string, pair: CertificatePair])[];
  readonly tickets: TicketKey;
}

/** RFC 5077: 48 bytes, the same in every process that serves the same listeners. */
export interface TicketKey {
  readonly key: Uint8Array;
  /** From then on another one is in force; a change is told then. */
  readonly replacedAt: number;
}

export type CertificateAnswer =
  /** RSA and ECDSA side by side, as far as there are both. `version` changes when they do. */
  | { readonly kind: "found"; readonly pairs: readonly CertificatePair[]; readonly version: string }
  | { readonly kind: "none" }
  /** Not "none": the table or a file failed. */
  | { readonly kind: "failed"; readonly text: string };

export interface Anchors {
  /** Empty when they cannot be had; then `problem` says why. */
  readonly pems: readonly string[];
  /** Where they are from, for people: `/etc/ssl/ca.pem`, `the system's store`. */
  readonly origin: string;
  readonly problem?: string | undefined;
}

export interface ClientMaterial {
  readonly pairs: readonly CertificatePair[];
  /** Why there are none. */
  readonly problem?: string | undefined;
}

/** The name under which the system's trust store is asked for. */
export const SYSTEM_ANCHORS = "system";

/** Why a handshake could not be given a certificate. Its reason is one of TLS's closed list. */
export class NoCertificate extends Error {
  override readonly name = "NoCertificate";
  readonly reason: "keeper-unavailable" | "no-own-certificate" | "no-certificate-for-name";

  constructor(reason: NoCertificate["reason"], text: string) {
    super(text);
    this.reason = reason;
  }
}
