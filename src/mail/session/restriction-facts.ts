import type { SessionFactsForRestrictions } from "../envelope/policy.ts";
import type { Facts, Transaction, World } from "./state.ts";

/** What restrictions may tell others of a session, beyond what rules look at. */
export function restrictionFacts(
  { terms, filters }: World,
  facts: Facts,
  transaction: {
    readonly message?: Transaction["message"];
    readonly parameters: Transaction["parameters"];
    readonly recipients?: Transaction["recipients"] | undefined;
  },
): SessionFactsForRestrictions {
  const { tls } = facts;
  return {
    session: terms.session,
    message: transaction.message,
    protocol: facts.greeting === "HELO" ? "SMTP" : facts.greeting === "LHLO" ? "LMTP" : "ESMTP",
    clientPort: facts.peer.port,
    serverAddress: filters?.server?.address,
    serverPort: filters?.server?.port,
    mechanism: facts.mechanism,
    ...(tls === undefined ? {} : { encryption: { protocol: tls.version, cipher: tls.cipher, bits: tls.bits } }),
    certificateIssuer: tls?.peerCertificate?.issuer,
    recipients: transaction.recipients ?? [],
    sizeBytes: transaction.parameters.sizeBytes,
    isInternational: transaction.parameters.isInternational,
  };
}
