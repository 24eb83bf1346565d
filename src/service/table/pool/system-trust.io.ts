import { createSecureContext } from "node:tls";
import type { SystemTrust, TrustedAuthorities } from "./system-trust.ts";

/** Who knows the authorities of the system, and when they change. */
export interface AuthoritiesSource {
  /** Empty where none can be had; then `problem` says why. */
  authorities(): Promise<{ readonly pems: readonly string[]; readonly problem?: string | undefined }>;
  onChange(tell: () => void): () => void;
}

/** Asks when somebody first needs them, and again after a change; what could not be had is asked for each time. */
export function systemTrust(source: AuthoritiesSource): SystemTrust {
  let known: Promise<TrustedAuthorities> | undefined;
  const stop = source.onChange(() => {
    known = undefined;
  });
  return {
    current() {
      if (known !== undefined) return known;
      const asked = trusted(source);
      known = asked;
      asked.catch(() => {
        if (known === asked) known = undefined;
      });
      return asked;
    },
    close: stop,
  };
}

async function trusted(source: AuthoritiesSource): Promise<TrustedAuthorities> {
  const { pems, problem } = await source.authorities();
  if (pems.length === 0)
    throw new Error(`no authority of the system is there to verify a certificate with: ${problem ?? "there are none"}`);
  const ca = [...pems];
  return { pems: ca, context: createSecureContext({ minVersion: "TLSv1.2", ca }) };
}
