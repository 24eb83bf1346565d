import { systemTrust } from "../service/table/pool/system-trust.io.ts";
import type { SystemTrust } from "../service/table/pool/system-trust.ts";

/** A system with these authorities. */
export function trustIn(...pems: readonly string[]): SystemTrust {
  return systemTrust({ authorities: () => Promise.resolve({ pems }), onChange: () => () => {} });
}
