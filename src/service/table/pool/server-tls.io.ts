import { isIP } from "node:net";
import { messageOf } from "../../../foundation/error.ts";
import { readAuthorities } from "./authorities.io.ts";
import { isThisMachine, type ServerAddress } from "./server-address.ts";
import type { ServerSettings } from "./settings.ts";

/** What Node's `tls.connect` takes. */
export interface ServerTls {
  readonly rejectUnauthorized: boolean;
  readonly minVersion: "TLSv1.2";
  readonly ca?: string;
  /** The name that the certificate must have; absent for an address, which is compared as such. */
  readonly servername?: string;
}

/** How a server is encrypted with; undefined: not at all. Throws when the authorities cannot be read, or there are none. */
export async function serverTls(settings: ServerSettings, address: ServerAddress): Promise<ServerTls | undefined> {
  const mode = settings.tls ?? (isThisMachine(address) ? "off" : "verify");
  if (mode === "off" || address.kind === "unix") return undefined;
  const name = settings.tlsName ?? (isIP(address.host) === 0 ? address.host : undefined);
  return {
    rejectUnauthorized: mode === "verify",
    minVersion: "TLSv1.2",
    ...(name === undefined ? {} : { servername: name }),
    ...(settings.tlsCa === undefined ? {} : { ca: await readAuthorities(settings.tlsCa) }),
  };
}

/** Why a connection failed: of several addresses of a name, each has its reason. */
export function connectError(thrown: unknown): Error {
  if (thrown instanceof AggregateError && thrown.errors.length > 0)
    return new Error([...new Set(thrown.errors.map(messageOf))].join(", "), { cause: thrown });
  return thrown instanceof Error ? thrown : new Error(messageOf(thrown), { cause: thrown });
}
