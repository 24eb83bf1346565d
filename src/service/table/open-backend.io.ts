import type { Clock } from "../../foundation/clock.ts";
import { messageOf } from "../../foundation/error.ts";
import type { Random } from "../../foundation/random.ts";
import type { KeyedBackend } from "./keyed-backend.ts";
import { keyedTable } from "./keyed-table.ts";
import type { SystemTrust } from "./pool/system-trust.ts";
import type { BackendSource } from "./settings.ts";
import type { Table } from "./table.ts";
import type { TableFinding } from "./tables.ts";

export interface BackendWorld {
  readonly clock: Clock;
  readonly random: Random;
  /** For servers that are to be verified, without authorities of their own in the settings. */
  readonly trust: SystemTrust;
  readonly onFinding: (finding: TableFinding) => void;
  /** Passwords of backends, by the table's name: of the settings' `password` or `password-file`. */
  readonly secrets: Readonly<Record<string, string>>;
}

/**
 * Opens the backend of a table; what it needs is loaded now, so that processes without it stay small. Never rejects, and
 * does not wait for servers: one that is away shows in the answers.
 */
export async function openBackend(name: string, source: BackendSource, world: BackendWorld): Promise<KeyedBackend> {
  try {
    return await open(name, source, world);
  } catch (thrown) {
    return unusable(`table ${name} could not be opened: ${messageOf(thrown)}`);
  }
}

/** The same as a table, with what must be closed in the end. */
export async function openTable(
  name: string,
  source: BackendSource,
  world: BackendWorld,
): Promise<{ readonly table: Table; close(): Promise<void> }> {
  const backend = await openBackend(name, source, world);
  const { wildcards, timeoutMs } = source;
  return {
    // What was made of a text file has that one's `!key` in it.
    table: keyedTable(name, backend, { clock: world.clock, wildcards, timeoutMs, negation: source.kind === "cdb" }),
    close: () => backend.close(),
  };
}

async function open(name: string, source: BackendSource, world: BackendWorld): Promise<KeyedBackend> {
  const password = world.secrets[name];
  switch (source.kind) {
    case "postgres":
      return await (await import("./postgres/postgres.io.ts")).postgresBackend(name, source.options, password, world);
    case "mysql":
      return await (await import("./mysql/mysql.io.ts")).mysqlBackend(name, source.options, password, world);
    case "ldap":
      return await (await import("./ldap/ldap.io.ts")).ldapBackend(name, source.options, password, world);
    case "redis":
      return await (await import("./redis/redis.io.ts")).redisBackend(name, source.options, password, world);
    case "socketmap":
      return (await import("./socketmap/socketmap.io.ts")).socketmapBackend(name, source.options, world);
    case "process":
      return (await import("./process/process.io.ts")).processBackend(name, source.options, world);
    case "cdb":
      return (await import("./cdb/cdb.io.ts")).cdbBackend(name, source.options, world);
    case "sqlite":
      return (await import("./sqlite/sqlite.io.ts")).sqliteBackend(name, source.options, world);
  }
}

function unusable(text: string): KeyedBackend {
  return {
    get: () => Promise.resolve({ kind: "failed", text }),
    health: () => ({ state: "down", text, queries: 0, failures: 0 }),
    close: () => Promise.resolve(),
  };
}
