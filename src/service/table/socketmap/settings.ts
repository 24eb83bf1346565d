import { z } from "zod";
import { oneOrMore } from "../../config/kinds.ts";
import { parseServerAddress } from "../pool/server-address.ts";
import { serverFields } from "../pool/settings.ts";
import { TABLE_SERVICES } from "../table.ts";

const { connections, waiting, connectTimeout, queryTimeout, idle, lifetime, firstPause, longestPause } = serverFields;

function isReachable(text: string): boolean {
  const address = parseServerAddress(text);
  return address.ok && (address.value.kind === "unix" || address.value.port !== undefined);
}

/** A name goes before the key, with a space between them: it can have none. */
const mapName = z.string().regex(/^[!-~]+$/, "expected a name without spaces");

/** A server that speaks the socketmap protocol of Sendmail and Postfix. */
export const socketmapSettings = z.strictObject({
  hosts: oneOrMore(z.string().refine(isReachable, { error: "expected host:port, or a socket's path" })).describe(
    "Servers, asked in this order: host:port, or the path of a unix socket. The next one is asked while those before it cannot be reached. Nothing is encrypted.",
  ),
  name: mapName.optional().describe("The name that the server knows the map by. Default: the table's own name."),
  names: z
    .partialRecord(z.enum(TABLE_SERVICES), mapName)
    .default({})
    .describe("Other names for single services (alias, domain, credentials, userinfo ...)."),
  connections,
  waiting,
  connectTimeout,
  queryTimeout,
  idle,
  lifetime,
  firstPause,
  longestPause,
});

export type SocketmapSettings = z.output<typeof socketmapSettings>;
