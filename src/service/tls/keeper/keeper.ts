import type { CertificatePair, RequestedKeyKind } from "./certificate.ts";

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

/** What those who get certificates from an authority (`service/acme`) and operators may ask besides. Keys of certificates stay here. */
export interface KeeperStore {
  /** Everything that is shown, but for what only tables know; without keys. */
  listing(): Promise<readonly ListedCertificate[]>;
  /** What is kept under a label, of all kinds of key. */
  held(label: string): Promise<readonly HeldCertificate[]>;
  /** Makes a key, and gives the request for a certificate with it, in PEM form. */
  requestFor(label: string, kind: RequestedKeyKind, names: readonly string[]): Promise<string>;
  /** Takes what was issued for the last such request, makes it durable, and has every process show it at once. Says why not. */
  keepChain(label: string, kind: RequestedKeyKind, chainPem: string): Promise<string | undefined>;
  /** The key of our account with the authority of this directory; made at the first question. */
  accountKey(directoryUrl: string): Promise<string>;
  /** A text that outlives restarts; undefined while there is none. */
  notes(): Promise<string | undefined>;
  /** Says why not. */
  keepNotes(text: string): Promise<string | undefined>;
  /**
   * RFC 8737: while it is set, clients that offer `acme-tls/1` for the name are shown this, on every listener. It is never
   * stored. Undefined ends it.
   */
  setChallenge(name: string, pair: { certificatePem: string; keyPem: string } | undefined): Promise<string | undefined>;
}

/** A certificate without its key. */
export interface HeldCertificate {
  readonly names: readonly string[];
  readonly keyKind: string;
  readonly notBeforeAt: number;
  readonly notAfterAt: number;
  readonly fingerprint: string;
}

export interface ListedCertificate extends HeldCertificate {
  /** SHA-256 of its public key, hex: what a TLSA record 3 1 1 holds (RFC 7672 section 3.1.1). */
  readonly keyFingerprint: string;
  readonly label?: string | undefined;
  readonly origin: string;
  /** The listeners that show it. */
  readonly listeners: readonly string[];
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
  /** Also where only a part of what was named is missing. */
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
