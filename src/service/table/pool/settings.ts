import { z } from "zod";
import { count, duration, hostName, oneOrMore, path, secret } from "../../config/kinds.ts";
import type { PoolOptions } from "./pool.ts";
import { parseServerAddress } from "./server-address.ts";

/** Settings that all backends behind a server share; spread into the schema of each. */
export const serverFields = {
  hosts: oneOrMore(
    z
      .string()
      .refine((text) => parseServerAddress(text).ok, { error: "expected a host, host:port, or a socket's path" }),
  ).describe(
    "Servers, asked in this order: a name or address, with a port if it is not the usual one, or the path of a unix socket. The next one is asked while those before it cannot be reached.",
  ),
  tls: z
    .enum(["verify", "unverified", "off"])
    .optional()
    .describe(
      "Encryption: `verify` also checks whose certificate it is, `unverified` does not, `off` is without. Left out: `verify`, but `off` on this machine (loopback and sockets).",
    ),
  tlsCa: path()
    .optional()
    .describe("A file with the authorities that the servers' certificates are verified with. Left out: the system's."),
  tlsName: hostName().optional().describe("The name that the certificate must have, when it is not the host's."),
  password: secret().optional().describe("The password to log in with. Better kept in a file of its own."),
  passwordFile: path().optional().describe("A file with the password, in its first line."),
  connections: count({ min: 1, max: 100 }).default(4).describe("The most connections at once."),
  waiting: count({ min: 0, max: 100_000 })
    .default(1000)
    .describe("The most lookups that wait for a connection; those beyond fail at once."),
  connectTimeout: duration({ min: "10ms", max: "1m" })
    .prefault("2s")
    .describe("How long connecting and logging in to one server may take."),
  queryTimeout: duration({ min: "10ms", max: "2m" })
    .prefault("4s")
    .describe(
      "How long one question may take, with the wait for a connection; the connection is closed then. A lookup that asks several has the table's `timeout` for all.",
    ),
  idle: duration({ min: "1s", max: "1d" })
    .prefault("1m")
    .describe("A connection that was not used for so long is closed."),
  lifetime: duration({ min: "1s", max: "7d" })
    .prefault("30m")
    .describe(
      "A connection older than this is closed after its lookup, so that others take their share, and the first host is found again.",
    ),
  firstPause: duration({ min: "10ms", max: "1h" })
    .prefault("500ms")
    .describe(
      "How long a server that could not be reached is left alone at first; the pause doubles with each failure.",
    ),
  longestPause: duration({ min: "10ms", max: "1h" }).prefault("30s").describe("The longest such pause."),
} as const;

/** What `serverFields` become, for code that is the same for all of them. */
export interface ServerSettings {
  readonly hosts: readonly string[];
  readonly tls?: "verify" | "unverified" | "off" | undefined;
  readonly tlsCa?: string | undefined;
  readonly tlsName?: string | undefined;
  readonly passwordFile?: string | undefined;
  readonly connections: number;
  readonly waiting: number;
  readonly connectTimeout: number;
  readonly queryTimeout: number;
  readonly idle: number;
  readonly lifetime: number;
  readonly firstPause: number;
  readonly longestPause: number;
}

/** What the pool takes of them. */
export function poolOptions(settings: ServerSettings): PoolOptions {
  return {
    hosts: settings.hosts,
    mostConnections: settings.connections,
    mostWaiting: settings.waiting,
    connectMs: settings.connectTimeout,
    idleMs: settings.idle,
    lifetimeMs: settings.lifetime,
    firstPauseMs: settings.firstPause,
    longestPauseMs: settings.longestPause,
  };
}
