import { Socket } from "node:net";
import { checkServerIdentity } from "node:tls";
import type { Client as PgClient } from "pg";
import type { KeyedBackend } from "../keyed-backend.ts";
import { keyParameters } from "../key-parameters.ts";
import { pooledBackend, type PoolWorld } from "../pool/pooled-backend.ts";
import type { PoolDriver } from "../pool/pool.ts";
import { serverAddress, type ServerAddress } from "../pool/server-address.ts";
import { connectError, serverTls } from "../pool/server-tls.io.ts";
import { queryFor, servicesOf } from "../queries.ts";
import { rowValue, type RowValue } from "../row-value.ts";
import { boundQuery } from "../sql/named-query.ts";
import { parsedQueries } from "../sql/check-queries.ts";
import { TABLE_SERVICES, type TableService } from "../table.ts";
import { answeredState, isOutdated, keyBatcher, type KeyRows } from "./key-batch.ts";
import type { PostgresSettings } from "./settings.ts";

/** More rows than this for one key are no answer but a mistake in the query. */
const MOST_ROWS = 10_000;
const MOST_BYTES = 4 * 1024 * 1024;

/** PostgreSQL, by its own protocol. `password` undefined: the server must not ask for one. */
export async function postgresBackend(
  table: string,
  settings: PostgresSettings,
  password: string | undefined,
  world: PoolWorld,
): Promise<KeyedBackend> {
  const { Client, Query } = (await import("pg")).default;
  const askBatch = keyBatcher(Query, { mostRows: MOST_ROWS, mostBytes: MOST_BYTES });
  const queries = new Map(
    [...parsedQueries(settings.queries, "postgres")].map(([service, query]) => [
      service,
      { ...boundQuery(query, "postgres"), name: settings.prepare ? `posthorn_${service}` : undefined },
    ]),
  );
  const driver: PoolDriver<PgClient> = {
    async open(host, signal, onGone) {
      const address = serverAddress(host);
      const tls = await serverTls(settings, address, world.trust);
      signal.throwIfAborted();
      const socket = new Socket();
      socket.setKeepAlive(true, 30_000);
      const client = new Client({
        ...placeOf(address),
        stream: () => socket,
        // Each of these, left out, would be taken from the environment or from ~/.pgpass.
        ssl: tls === undefined ? false : { ...tls, ...identityOf(settings) },
        user: settings.user,
        database: settings.database,
        password: () => {
          if (password === undefined)
            throw new Error("the server asks for a password, and there is none in the settings");
          return password;
        },
        application_name: "posthorn",
        // A query that nobody waits for any more ends on the server too.
        statement_timeout: settings.queryTimeout,
        // Several questions can be under way; the protocol keeps their answers in order.
        pipeline: true,
        // Values as the server writes them: `rowValue` makes text of them anyway.
        types: { getTypeParser: () => (text: string | Buffer) => text },
      });
      // A client without listeners would end the process with its first broken connection.
      client.on("error", (error) => onGone(connectError(error).message));
      client.on("end", () => onGone("the server closed the connection"));
      const onAbort = (): void => void socket.destroy();
      signal.addEventListener("abort", onAbort, { once: true });
      try {
        await client.connect();
        return client;
      } catch (thrown) {
        socket.destroy();
        throw connectError(thrown);
      } finally {
        signal.removeEventListener("abort", onAbort);
      }
    },
    close(client) {
      // `end` says goodbye and waits; a server that hangs would keep us.
      client.connection.stream.destroy();
    },
    isAnswer: (error) => answeredState(error) !== undefined && !isOutdated(error),
  };
  const askEach = async (
    client: PgClient,
    keys: readonly string[],
    service: TableService,
  ): Promise<readonly RowValue[]> => {
    const query = queries.get(service) ?? queries.get("string");
    if (query === undefined || queryFor(settings.queries, service) === undefined)
      return keys.map(() => ({ kind: "failed", text: `there is no query for ${service}` }));
    const askAll = async (some: readonly string[]): Promise<readonly KeyRows[]> => {
      const parameters = some.map((key) => {
        const values = keyParameters(key, service);
        return query.order.map((parameter) => values[parameter]);
      });
      try {
        return await askBatch(client, { text: query.text, name: query.name, keys: parameters });
      } catch (thrown) {
        if (!isOtherCharacter(thrown)) throw thrown;
        if (some.length === 1) return [[]];
        const answers: KeyRows[] = [];
        for (const key of some) answers.push(...(await askAll([key])));
        return answers;
      }
    };
    // Its texts cannot hold a NUL, so no row can have such a key.
    const asked = [...new Set(keys.filter((key) => !key.includes("\0")))];
    const answers = asked.length === 0 ? [] : await askAll(asked);
    return keys.map((key): RowValue => {
      const at = asked.indexOf(key);
      if (at < 0) return { kind: "none" };
      const rows = answers[at];
      return rows === undefined
        ? { kind: "failed", text: `more than ${MOST_ROWS} rows or ${MOST_BYTES / 1024 / 1024} MiB for one key` }
        : rowValue(service, rows);
    });
  };
  return pooledBackend(
    {
      table,
      kind: "postgres",
      settings,
      driver,
      services: servicesOf(settings.queries),
      probed: TABLE_SERVICES.filter((service) => settings.queries[service] !== undefined).map((service) => ({
        service,
        path: ["queries", service],
      })),
      async ask(client, key, service) {
        const [answer] = await askEach(client, [key], service);
        return answer ?? { kind: "none" };
      },
      askEach,
    },
    world,
  );
}

/** The database's own encoding has no such characters, so no row has them: 22P05 untranslatable_character, 22021. */
function isOtherCharacter(error: unknown): boolean {
  const state = answeredState(error);
  return state === "22P05" || state === "22021";
}

/** The library always asks for the host's name; another one that the settings name is compared by us. */
function identityOf(settings: PostgresSettings): { readonly checkServerIdentity?: typeof checkServerIdentity } {
  const { tlsName } = settings;
  return tlsName === undefined
    ? {}
    : { checkServerIdentity: (_host, certificate) => checkServerIdentity(tlsName, certificate) };
}

/** A socket is written as PostgreSQL names it (`/run/postgresql/.s.PGSQL.5432`), or as the folder that it is in. */
function placeOf(address: ServerAddress): { readonly host: string; readonly port: number } {
  if (address.kind === "tcp") return { host: address.host, port: address.port ?? 5432 };
  const whole = /^(.*)\/\.s\.PGSQL\.(\d+)$/.exec(address.path);
  return { host: whole?.[1] ?? address.path.replace(/(?<=.)\/+$/, ""), port: Number(whole?.[2] ?? 5432) };
}
