import { connect as connectSocket, isIP, type Socket } from "node:net";
import type { Connection, ConnectionOptions } from "mysql2";
import type { KeyedBackend } from "../keyed-backend.ts";
import { keyParameters } from "../key-parameters.ts";
import { pooledBackend, type PoolWorld } from "../pool/pooled-backend.ts";
import type { PoolDriver } from "../pool/pool.ts";
import { serverAddress, type ServerAddress } from "../pool/server-address.ts";
import { connectError, serverTls, type ServerTls } from "../pool/server-tls.io.ts";
import { servicesOf } from "../queries.ts";
import { columnText, rowValue, type Row } from "../row-value.ts";
import { boundQuery } from "../sql/named-query.ts";
import { parsedQueries } from "../sql/check-queries.ts";
import { TABLE_SERVICES } from "../table.ts";
import type { MysqlSettings } from "./settings.ts";

/** More rows than this for one key are no answer but a mistake in the query. The server sends one more at most. */
const MOST_ROWS = 10_000;
/** Errors that come as answers, though the connection is at its end: shutting down, killed, packets broken. */
const ENDS_CONNECTION: ReadonlySet<number> = new Set([
  1040, 1053, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 4031,
]);

type Ssl = Omit<ServerTls, "secureContext"> & { readonly verifyIdentity: boolean };

/** MySQL and MariaDB, by their protocol. */
export async function mysqlBackend(
  table: string,
  settings: MysqlSettings,
  password: string | undefined,
  world: PoolWorld,
): Promise<KeyedBackend> {
  const { createConnection } = (await import("mysql2")).default;
  const queries = new Map(
    [...parsedQueries(settings.queries, "mysql")].map(([service, query]) => [service, boundQuery(query, "mysql")]),
  );
  const ssls = new Map<string, Ssl>();
  /** The library reads all authorities anew for each object that it gets: as long as they are the same, it gets the same one. */
  const sslFor = (host: string, tls: ServerTls): Ssl => {
    const known = ssls.get(host);
    if (known !== undefined && known.ca === tls.ca) return known;
    const { secureContext: _, ...rest } = tls;
    const ssl = { ...rest, verifyIdentity: tls.rejectUnauthorized && isIP(tls.servername ?? "") === 0 };
    ssls.set(host, ssl);
    return ssl;
  };
  const driver: PoolDriver<Connection> = {
    async open(host, signal, onGone) {
      const address = serverAddress(host);
      const tls = await serverTls(settings, address, world.trust);
      // The library compares the certificate with the name it is given, and an address with "localhost".
      if (tls?.rejectUnauthorized === true && tls.servername === undefined)
        throw new Error(
          "an address cannot be verified: set `tls-name` to the certificate's name, or `tls: unverified`",
        );
      signal.throwIfAborted();
      const socket = openSocket(address);
      const onAbort = (): void => void socket.destroy();
      signal.addEventListener("abort", onAbort, { once: true });
      const options: ConnectionOptions = {
        stream: socket,
        host: tls?.servername ?? hostOf(address),
        user: settings.user,
        database: settings.database,
        ...(password === undefined ? {} : { password }),
        ...(tls === undefined ? {} : { ssl: sslFor(host, tls) }),
        charset: "utf8mb4",
        // Ours is the pool's.
        connectTimeout: 0,
        multipleStatements: false,
        rowsAsArray: true,
        // Values as text, of whatever type the columns are; no code is made of column names.
        dateStrings: true,
        supportBigNumbers: true,
        bigNumberStrings: true,
        jsonStrings: true,
        disableEval: true,
      };
      try {
        const connection = await begun(createConnection(options), onGone);
        await setUp(connection, settings.queryTimeout);
        return connection;
      } catch (thrown) {
        socket.destroy();
        throw connectError(thrown);
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    },
    close: (connection) => connection.destroy(),
    isAnswer: (error) =>
      error instanceof Error &&
      "errno" in error &&
      typeof error.errno === "number" &&
      "sqlState" in error &&
      !("fatal" in error && error.fatal === true) &&
      !ENDS_CONNECTION.has(error.errno),
  };
  return pooledBackend(
    {
      table,
      kind: "mysql",
      settings,
      driver,
      services: servicesOf(settings.queries),
      probed: TABLE_SERVICES.filter((service) => settings.queries[service] !== undefined).map((service) => ({
        service,
        path: ["queries", service],
      })),
      async ask(connection, key, service) {
        const query = queries.get(service) ?? queries.get("string");
        if (query === undefined) return { kind: "failed", text: `there is no query for ${service}` };
        const values = keyParameters(key, service);
        const rows = await executed(
          connection,
          query.text,
          query.order.map((parameter) => values[parameter]),
        );
        return rows.length > MOST_ROWS
          ? { kind: "failed", text: `more than ${MOST_ROWS} rows for one key` }
          : rowValue(service, rows);
      },
    },
    world,
  );
}

function begun(connection: Connection, onGone: (why: string) => void): Promise<Connection> {
  return new Promise((resolve, reject) => {
    // A connection without listeners would end the process with its first error.
    connection.on("error", (error: Error) => {
      onGone(error.message);
      reject(error);
    });
    connection.on("end", () => {
      onGone("the server closed the connection");
      reject(new Error("the server closed the connection"));
    });
    connection.once("connect", () => resolve(connection));
  });
}

/** A query that nobody waits for any more ends on the server too, and a mistake in one cannot fill our memory. */
async function setUp(connection: Connection, queryTimeoutMs: number): Promise<void> {
  const [[version = null] = []] = await executed(connection, "select version()", []);
  const limit =
    version?.includes("MariaDB") === true
      ? `max_statement_time = ${queryTimeoutMs / 1000}`
      : `max_execution_time = ${queryTimeoutMs}`;
  await executed(connection, `set session ${limit}, sql_select_limit = ${MOST_ROWS + 1}`, []);
}

function executed(connection: Connection, sql: string, values: string[]): Promise<readonly Row[]> {
  return new Promise((resolve, reject) => {
    connection.execute({ sql, values, rowsAsArray: true }, (error, result) => {
      if (error !== null) reject(error);
      // What is no query (`set`, `update`) has no rows.
      else
        resolve(
          Array.isArray(result) ? result.map((row: unknown) => (Array.isArray(row) ? row.map(columnText) : [])) : [],
        );
    });
  });
}

function openSocket(address: ServerAddress): Socket {
  const socket =
    address.kind === "unix"
      ? connectSocket({ path: address.path })
      : connectSocket({ host: address.host, port: address.port ?? 3306 });
  socket.setKeepAlive(true, 30_000);
  socket.setNoDelay(true);
  return socket;
}

function hostOf(address: ServerAddress): string {
  return address.kind === "tcp" ? address.host : "localhost";
}
