import type { Problem, Result } from "../../foundation/result.ts";

/**
 * The client's side of a SASL exchange (RFC 4422 section 3) as a challenge-response machine. Base 64 and the SMTP
 * framing (RFC 4954) are the caller's. After a success reply the caller must ask `isTrusted`: a mechanism with mutual
 * authentication may not have seen the server's proof.
 */
export interface SaslClient {
  readonly mechanism: ClientMechanism;
  /** The first response, when the client speaks first: it may travel with the AUTH command. */
  readonly initial: Buffer | undefined;
  /** The server's challenge, decoded → our response. A problem means: cancel with `*` and call the login failed. */
  respond(challenge: Buffer): Promise<Result<Buffer, Problem>>;
  /** The server has proved all that the mechanism lets it prove. */
  readonly isTrusted: boolean;
}

export interface Credentials {
  readonly user: string;
  readonly password: string;
  /** By the certificate of the TLS connection: there is no password, and EXTERNAL is the only mechanism. */
  readonly isExternal?: boolean | undefined;
}

/** In the order of preference: the password itself travels last. */
export const CLIENT_MECHANISMS = [
  "SCRAM-SHA-256-PLUS",
  "SCRAM-SHA-256",
  "SCRAM-SHA-1-PLUS",
  "SCRAM-SHA-1",
  "CRAM-MD5",
  "PLAIN",
  "LOGIN",
] as const;
/** EXTERNAL needs no password but a client certificate: credentials that say so choose it, and nothing else does. */
export type ClientMechanism = (typeof CLIENT_MECHANISMS)[number] | "EXTERNAL";

/** The best mechanism that the server offers (`authMechanisms` of its answer to EHLO); undefined when we speak none. */
export function chooseMechanism(
  offered: readonly string[],
  allowed: readonly ClientMechanism[] = CLIENT_MECHANISMS,
): ClientMechanism | undefined {
  const names = new Set(offered.map((name) => name.toUpperCase()));
  return CLIENT_MECHANISMS.find((mechanism) => allowed.includes(mechanism) && names.has(mechanism));
}
