/**
 * What a lookup among 1,000,000 rows in PostgreSQL costs: starts Debian's PostgreSQL (test/peers/install.sh) on loopback,
 * and asks as a server does. `node bench/postgres-table.ts [ROWS]`; needs root, as the tests with peers do.
 */
import { systemClock } from "../src/foundation/clock.io.ts";
import { systemRandom } from "../src/foundation/random.io.ts";
import { openTable } from "../src/service/table/open-backend.io.ts";
import { tablesSettings, type BackendSource } from "../src/service/table/settings.ts";
import { isBackendSource } from "../src/service/table/backend-source.ts";
import { postgresClient } from "../test/peers/database-subjects.ts";
import { startPostgres } from "../test/peers/database.ts";
import { trustIn } from "../src/testing/trust.ts";

export interface MillionRows extends AsyncDisposable {
  /** As the settings file would have it; the password is `secret`. */
  readonly source: BackendSource;
  readonly settings: string;
}

/** Aliases `user0@example.org` to `user999999@example.org`. */
export async function postgresRows(rows: number): Promise<MillionRows> {
  const server = await startPostgres();
  try {
    const client = await postgresClient(server);
    await client.query("create table alias (address text primary key, target text not null)");
    await client.query(
      "insert into alias select 'user' || n || '@example.org', 'box' || n from generate_series(0, $1::int - 1) n",
      [rows],
    );
    await client.query("vacuum analyze alias");
    await client.end();
    const postgres = {
      hosts: `127.0.0.1:${server.port}`,
      database: "postgres",
      user: "posthorn",
      password: "secret",
      queries: { alias: "select target from alias where address = :key" },
    };
    const { rows: source } = tablesSettings.parse({ rows: { postgres } });
    if (source === undefined || !isBackendSource(source)) throw new Error("the settings are wrong");
    return {
      source,
      settings: JSON.stringify({ postgres }),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  } catch (thrown) {
    await server[Symbol.asyncDispose]();
    throw thrown;
  }
}

async function main(): Promise<void> {
  const rows = Number(process.argv[2] ?? 1_000_000);
  await using database = await postgresRows(rows);
  const opened = await openTable("rows", database.source, {
    clock: systemClock,
    random: systemRandom,
    trust: trustIn(),
    onFinding: ({ text }) => process.stderr.write(`${text}\n`),
    secrets: { rows: "secret" },
  });
  const ask = async (key: string, isThere: boolean): Promise<void> => {
    const { kind } = await opened.table.lookup(key, { service: "alias" });
    if (kind !== (isThere ? "found" : "none")) throw new Error(`${key}: ${kind}`);
  };
  let at = 0;
  const next = (): number => (at = (at + 7919) % rows);
  const cases: readonly (readonly [string, () => Promise<void>])[] = [
    ["a key that is there", () => ask(`user${next()}@example.org`, true)],
    [
      "one that is not (5 questions: the key, user@, @domain, .org, *)",
      () => ask(`nobody${next()}@example.org`, false),
    ],
  ];
  for (const [words, work] of cases) {
    for (let count = 0; count < 2000; count++) await work();
    const tookMs: number[] = [];
    for (let count = 0; count < 5000; count++) {
      const began = performance.now();
      await work();
      tookMs.push(performance.now() - began);
    }
    tookMs.sort((a, b) => a - b);
    const part = (share: number): string => (tookMs[Math.floor(tookMs.length * share)] ?? 0).toFixed(3);
    process.stdout.write(`${words}: median ${part(0.5)} ms, 99 % ${part(0.99)} ms\n`);
  }
  const began = performance.now();
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      for (let count = 0; count < 500; count++) await ask(`user${next()}@example.org`, true);
    }),
  );
  process.stdout.write(
    `20 at once over 4 connections: ${Math.round(10_000_000 / (performance.now() - began))} lookups/s\n`,
  );
  await opened.close();
}

if (import.meta.main) await main();
