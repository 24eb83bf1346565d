import type { Client as PgClient, Connection, Query as PgQuery } from "pg";

/** The rows of one key, as the server writes them; undefined: there were too many. */
export type KeyRows = readonly (readonly (string | null)[])[] | undefined;

export interface BatchLimits {
  /** For one key; rows beyond are read and forgotten. */
  readonly mostRows: number;
  readonly mostBytes: number;
}

export interface BatchQuery {
  readonly text: string;
  /** Of the prepared statement; undefined: it is not kept. */
  readonly name: string | undefined;
  /** The values of each key. */
  readonly keys: readonly (readonly string[])[];
}

/** Answers for each key, when the connection is free again. Rejects with the server's error, or why it is gone. */
export type KeyBatcher = (client: PgClient, batch: BatchQuery) => Promise<readonly KeyRows[]>;

/**
 * One prepared query asked for several keys: bound and run for each behind the other, with one Sync behind the last, where
 * the library's own queries have one each, and a description of the same columns besides. All of it is one write. An error of
 * the server ends the batch: who asked asks each key by itself then.
 *
 * It passes for the library's `Query`, because its pipeline takes no other, but is not built as one: the emitter and the
 * result that each of those brings are more work than the question. The methods are those that the client calls of it.
 */
export function keyBatcher(Query: typeof PgQuery, { mostRows, mostBytes }: BatchLimits): KeyBatcher {
  class KeyBatch {
    readonly text: string;
    readonly name: string;
    readonly #client: PgClient;
    readonly #keys: BatchQuery["keys"];
    readonly #resolve: (rows: readonly KeyRows[]) => void;
    readonly #reject: (error: Error) => void;
    readonly #all: KeyRows[] = [];
    #rows: (readonly (string | null)[])[] = [];
    #bytes = 0;
    #isTooMuch = false;

    constructor(
      client: PgClient,
      { text, name, keys }: BatchQuery,
      resolve: (rows: readonly KeyRows[]) => void,
      reject: (error: Error) => void,
    ) {
      this.text = text;
      this.name = name ?? "";
      this.#client = client;
      this.#keys = keys;
      this.#resolve = resolve;
      this.#reject = reject;
    }

    /** Returns nothing: what could be wrong with it would be our mistake. */
    submit(connection: Wire): undefined {
      const { text, name } = this;
      const bytes = batchBytes(name, this.#keys);
      if (name !== "" && isParsed(connection, name)) {
        connection.stream.write(bytes);
        return;
      }
      connection.stream.cork();
      try {
        connection.parse({ text, name });
        if (name !== "") connection.submittedNamedStatements[name] = text;
        connection.stream.write(bytes);
      } finally {
        connection.stream.uncork();
      }
    }

    handleRowDescription(): void {}

    handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
      for (const column of fields) this.#bytes += column?.length ?? 0;
      this.#isTooMuch ||= this.#rows.length >= mostRows || this.#bytes > mostBytes;
      if (this.#isTooMuch) this.#rows.length = 0;
      else this.#rows.push(fields);
    }

    handleCommandComplete(): void {
      this.#all.push(this.#isTooMuch ? undefined : this.#rows);
      this.#rows = [];
      this.#bytes = 0;
      this.#isTooMuch = false;
    }

    /** Behind all answers. The client is free when this returns, and so before anybody hears of it. */
    handleReadyForQuery(): void {
      const wanted = this.#keys.length;
      if (this.#all.length === wanted) this.#resolve(this.#all);
      else this.#reject(new Error(`${this.#all.length} of ${wanted} answers`));
    }

    /** The server says that it is ready again behind its own errors, too; behind others nothing more comes. */
    handleError(error: Error): void {
      if (answeredState(error) === undefined) {
        this.#reject(error);
        return;
      }
      const client = this.#client;
      const settle = (): void => {
        client.off("drain", settle);
        client.off("end", settle);
        this.#reject(error);
      };
      client.on("drain", settle);
      client.on("end", settle);
    }
  }
  Object.setPrototypeOf(KeyBatch.prototype, Query.prototype);
  return (client, batch) =>
    new Promise((resolve, reject) => {
      // What the client asks of a query is here, or in the prototype above it.
      client.query(new KeyBatch(client, batch, resolve, reject) as unknown as PgQuery);
    });
}

/**
 * The SQLSTATE of an error that came as an answer over a connection that goes on. Whether one ends the connection is told by
 * that, too: the word for it (`FATAL`) is in the server's own language.
 */
export function answeredState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("severity" in error) || !("code" in error)) return undefined;
  const { code } = error;
  return typeof code === "string" && !ENDS_CONNECTION.test(code) ? code : undefined;
}

/** Connection exceptions, logins, operators' and time's interventions, no room, no such database. */
const ENDS_CONNECTION = /^(?:08|28|57P|25P03|53300|3D000)/;

/**
 * The connection's prepared query is of no use any more: somebody has changed the type of one of its columns (`alter table`), or
 * has dropped what the connection had prepared. Over this connection the same would be said for ever.
 */
export function isOutdated(error: unknown): boolean {
  const state = answeredState(error);
  const isRevalidation = error instanceof Error && "routine" in error && error.routine === "RevalidateCachedQuery";
  return state === "26000" || (state === "0A000" && isRevalidation);
}

const [BIND, EXECUTE, SYNC] = [0x42, 0x45, 0x53];

/** Bind and Execute of the unnamed portal for each key, all values and columns as text, and Sync. */
export function batchBytes(statement: string, keys: BatchQuery["keys"]): Buffer {
  const nameBytes = Buffer.byteLength(statement);
  let length = 5;
  for (const values of keys) {
    length += 23 + nameBytes;
    for (const value of values) length += 4 + value.length * MOST_BYTES_PER_UNIT;
  }
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (const values of keys) {
    bytes[at] = BIND;
    const lengthAt = at + 1;
    bytes[at + 5] = 0;
    at += 6;
    at += bytes.write(statement, at);
    bytes[at] = 0;
    at = bytes.writeUInt16BE(0, at + 1);
    at = bytes.writeUInt16BE(values.length, at);
    for (const value of values) {
      const valueBytes = bytes.write(value, at + 4);
      bytes.writeUInt32BE(valueBytes, at);
      at += 4 + valueBytes;
    }
    at = bytes.writeUInt16BE(0, at);
    bytes.writeUInt32BE(at - lengthAt, lengthAt);
    bytes[at] = EXECUTE;
    bytes.writeUInt32BE(9, at + 1);
    bytes[at + 5] = 0;
    // As many rows as there are.
    bytes.writeUInt32BE(0, at + 6);
    at += 10;
  }
  bytes[at] = SYNC;
  bytes.writeUInt32BE(4, at + 1);
  return bytes.subarray(0, at + 5);
}

/** Of UTF-8, for a unit of a JavaScript string. */
const MOST_BYTES_PER_UNIT = 3;

/** What of the library's connection the types leave out. */
interface Wire extends Pick<Connection, "stream"> {
  readonly parsedStatements: Record<string, string>;
  readonly submittedNamedStatements: Record<string, string>;
  parse(query: { readonly text: string; readonly name: string }): void;
}

function isParsed({ parsedStatements, submittedNamedStatements }: Wire, name: string): boolean {
  return parsedStatements[name] !== undefined || submittedNamedStatements[name] !== undefined;
}
