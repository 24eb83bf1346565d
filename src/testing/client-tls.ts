import type { ClientKeeper } from "../service/tls/client-contexts.io.ts";
import { readAnchors } from "../service/tls/keeper/anchors.io.ts";
import type { CertificatePair } from "../service/tls/keeper/certificate.ts";
import { policyFinder, type PolicyFinder } from "../mail/delivery/tls-policy/find-policy.ts";
import type { TlsClientSettings } from "../mail/delivery/tls-policy/settings.ts";

/** A keeper for clients that reads its files here and now, and notices no change. */
export function testKeeper(certificates: Readonly<Record<string, CertificatePair>> = {}): ClientKeeper {
  return {
    anchors: (source) => readAnchors(source),
    clientCertificate: (label) => {
      const pair = certificates[label];
      return Promise.resolve(pair === undefined ? { pairs: [], problem: "no such label" } : { pairs: [pair] });
    },
    onChange: () => () => {},
  };
}

/** One that answers at once, for virtual time: with these authorities only. */
export function quickKeeper(pems: readonly string[] = []): ClientKeeper {
  const problem = pems.length === 0 ? { problem: "there are none in this test" } : {};
  return {
    anchors: () => Promise.resolve({ pems, origin: "a test", ...problem }),
    clientCertificate: () => Promise.resolve({ pairs: [], problem: "no such label" }),
    onChange: () => () => {},
  };
}

/** The policies of settings, without a table. */
export function policiesOf(settings: Pick<TlsClientSettings, "policy">): PolicyFinder {
  return policyFinder({ policies: settings.policy, whereIs: (key) => `posthorn.yaml:${key}` });
}
