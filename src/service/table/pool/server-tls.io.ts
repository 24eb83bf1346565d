import { isIP } from "node:net";
import type { SecureContext } from "node:tls";
import { messageOf } from "../../../foundation/error.ts";
import { readAuthorities } from "./authorities.io.ts";
import { isThisMachine, type ServerAddress } from "./server-address.ts";
import type { ServerSettings } from "./settings.ts";
import type { SystemTrust } from "./system-trust.ts";

/** What Node's `tls.connect` takes. */
export interface ServerTls {
  readonly rejectUnauthorized: boolean;
  readonly minVersion: "TLSv1.2";
  readonly ca?: string | string[];
  /** Instead of `ca` and `minVersion`, for those who take one: with the system's authorities. */
  readonly secureContext?: SecureContext;
  /** The name that the certificate must have; absent for an address, which is compared as such. */
  readonly servername?: string;
}

/** How a server is encrypted with; undefined: not at all. Throws when the authorities cannot be read, or there are none. */
export async function serverTls(
  settings: ServerSettings,
  address: ServerAddress,
  trust: SystemTrust,
): Promise<ServerTls | undefined> {
  const mode = settings.tls ?? (isThisMachine(address) ? "off" : "verify");
  if (mode === "off" || address.kind === "unix") return undefined;
  const name = settings.tlsName ?? (isIP(address.host) === 0 ? address.host : undefined);
  return {
    rejectUnauthorized: mode === "verify",
    minVersion: "TLSv1.2",
    ...(name === undefined ? {} : { servername: name }),
    ...(await authoritiesOf(settings.tlsCa, mode, trust)),
  };
}

async function authoritiesOf(
  file: string | undefined,
  mode: "verify" | "unverified",
  trust: SystemTrust,
): Promise<Pick<ServerTls, "ca" | "secureContext">> {
  if (file !== undefined) return { ca: await readAuthorities(file) };
  if (mode === "unverified") return {};
  const { pems, context } = await trust.current();
  return { ca: pems, secureContext: context };
}

/** Why a connection failed: of several addresses of a name, each has its reason. */
export function connectError(thrown: unknown): Error {
  if (thrown instanceof AggregateError && thrown.errors.length > 0)
    return new Error([...new Set(thrown.errors.map(messageOf))].join(", "), { cause: thrown });
  return thrown instanceof Error ? thrown : new Error(messageOf(thrown), { cause: thrown });
}
