import { randomBytes } from "node:crypto";
import { systemClock } from "../foundation/clock.io.ts";
import type { CertificatePair } from "../service/tls/keeper/certificate.ts";
import { makeContexts, type ContextTerms } from "../service/tls/contexts.io.ts";
import type { ServerProfile } from "../service/tls/tls.ts";

/** What a listener without further settings has. */
export const plainTerms: ContextTerms = {
  listener: "smtp",
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.3",
  hasTickets: true,
  ticketLifetimeMs: 3_600_000,
  mostContexts: 100,
};

/** A server's profile of certificates that are at hand, without a keeper. */
export function testProfile(
  pairs: readonly CertificatePair[],
  terms: Partial<ContextTerms> = {},
  ticketKeys: Buffer = randomBytes(48),
): ServerProfile {
  const contexts = makeContexts({
    material: { pairs, hasTables: false, challenges: [], tickets: { key: ticketKeys, replacedAt: 0 } },
    terms: { ...plainTerms, ...terms },
    clock: systemClock,
    ask: () => Promise.resolve({ kind: "none" }),
    onTrouble: (text) => {
      throw new Error(text);
    },
  });
  return {
    ...contexts,
    ticketKeys,
    ticketLifetimeMs: plainTerms.ticketLifetimeMs,
    clientCertificate: "none",
  };
}
