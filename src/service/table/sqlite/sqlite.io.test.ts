import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { systemClock } from "../../../foundation/clock.io.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import { seededRandom } from "../../../foundation/random.ts";
import { openTable } from "../open-backend.io.ts";
import { tableSuite } from "../table.suite.ts";
import type { TableFinding } from "../tables.ts";
import { sqliteBackend } from "./sqlite.io.ts";
import { queryParameters } from "./sqlite-query.ts";
import { trustIn } from "../../../testing/trust.ts";

const SCHEMA = "create table kv (service text, key text, value text, primary key (service, key))";

function fill(file: string, rows: readonly (readonly [service: string, key: string, value: string])[]): DatabaseSync {
  const database = new DatabaseSync(file);
  database.exec(SCHEMA);
  const insert = database.prepare("insert into kv values (?, ?, ?)");
  for (const row of rows) insert.run(...row);
  return database;
}

tableSuite("sqlite", async (entries) => {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-sqlite-"));
  const file = join(directory, "mail.db");
  const database = fill(
    file,
    entries.map(({ service, key, value }) => [service, key, value]),
  );
  const opened = await openTable(
    "t",
    {
      kind: "sqlite",
      options: { file, queries: { string: "select value from kv where service = :service and key = :key" } },
      wildcards: true,
      timeoutMs: 300,
    },
    { clock: systemClock, random: seededRandom(1), trust: trustIn(), onFinding: () => {}, secrets: {} },
  );
  return {
    table: opened.table,
    close: () => opened.close(),
    fail: () => Promise.resolve(database.exec("begin exclusive")),
    recover: () => Promise.resolve(database.exec("rollback")),
    async [Symbol.asyncDispose]() {
      await opened.close();
      database.close();
      await rm(directory, { recursive: true });
    },
  };
});

test("columns and rows become the text that a file would have", async () => {
  await withDatabase(async (file, open) => {
    const database = new DatabaseSync(file);
    database.exec(`create table alias (address text, target text);
      insert into alias values ('a@x', 'joe'), ('a@x', 'jane'), ('b@x', null);
      create table user (name text primary key, uid integer, gid integer, home text, password text);
      insert into user values ('joe', 1000, 100, '/home/joe', '{PLAIN}x'), ('big', 9007199254740993, 1, '/', null);`);
    database.close();
    const backend = open({
      alias: "select target from alias where address = :user || '@' || :domain order by rowid",
      userinfo: "select uid, gid, home from user where name = :key",
      credentials: "select password from user where name = :key",
      domain: "select count(*) from alias where address like '%@' || :key",
    });
    const get = async (key: string, service: "alias" | "userinfo" | "credentials" | "domain"): Promise<string> => {
      const answer = await backend.get(key, { service });
      return answer.kind === "found" ? answer.value : answer.kind;
    };
    assert.equal(await get("a@x", "alias"), "joe, jane");
    assert.equal(await get("b@x", "alias"), "none");
    assert.equal(await get("joe", "userinfo"), "1000:100:/home/joe");
    assert.equal(await get("big", "userinfo"), "9007199254740993:1:/");
    assert.equal(await get("joe", "credentials"), "{PLAIN}x");
    assert.equal(await get("big", "credentials"), "none");
    assert.equal(await get("x", "domain"), "");
    assert.equal(await get("y", "domain"), "none");
    assert.deepEqual(backend.services?.(), ["alias", "domain", "credentials", "userinfo"]);
  });
});

test("a query that goes through the whole table is told, one with an index is not", async () => {
  await withDatabase(async (file, open, findings) => {
    fill(file, []).close();
    const ask = async (sql: string): Promise<void> => {
      const backend = open({ string: sql });
      await backend.get("x", { service: "string" });
    };
    await ask("select value from kv where service = :service and key = :key");
    assert.equal(findings.length, 0);
    await ask("select value from kv where value = :key");
    assert.match(findings[0]?.text ?? "", /goes through a whole table \(SCAN kv\); it needs an index/);
  });
});

test("a database that is not there, is none, or has a wrong query fails with words", async () => {
  await withDatabase(async (file, open) => {
    const failure = async (sql: string): Promise<string> => {
      const answer = await open({ string: sql }).get("x", { service: "string" });
      return answer.kind === "failed" ? answer.text : answer.kind;
    };
    assert.equal(await failure("select 1"), `${file} does not exist`);
    await writeFile(file, "no database at all, but long enough to look at as one");
    assert.match(await failure("select * from kv where key = :key"), /file is not a database/);
    await rm(file);
    fill(file, []).close();
    assert.match(await failure("select missing from kv"), /no such column: missing/);
    assert.match(await failure("select value from kv where key = :kee"), /there is no parameter :kee/);
    // Read-only: nobody's query changes the database.
    assert.match(await failure("delete from kv"), /readonly/);
  });
});

test("a pipe or a device in the place of a database holds nobody up", async () => {
  await withDatabase(async (file, open) => {
    for (const put of [() => execFileSync("mkfifo", [file]), () => execFileSync("ln", ["-s", "/dev/zero", file])]) {
      put();
      const backend = open({ string: "select value from kv where key = :key" });
      const text = `${file} is no regular file`;
      assert.deepEqual(await backend.get("x", { service: "string" }), { kind: "failed", text });
      assert.deepEqual(await backend.probe?.(), [{ path: ["file"], text }]);
      await rm(file);
    }
  });
});

test("the check of the settings hears of each query that cannot be used", async () => {
  await withDatabase(async (file, open) => {
    const backend = open({
      alias: "select value from kv where service = 'alias' and key = :key",
      domain: "select missing from kv where key = :key",
      userinfo: "select value from kv where value = :key",
      credentials: "select value from kv where key = :kee",
    });
    assert.deepEqual(await backend.probe?.(), [{ path: ["file"], text: `${file} does not exist` }]);
    fill(file, []).close();
    const problems = (await backend.probe?.()) ?? [];
    assert.deepEqual(
      problems.map(({ path }) => path.join(".")),
      ["queries.domain", "queries.userinfo", "queries.credentials"],
    );
    assert.match(problems[0]?.text ?? "", /no such column: missing/);
    assert.match(problems[1]?.text ?? "", /goes through a whole table/);
    assert.match(problems[2]?.text ?? "", /there is no parameter :kee/);
  });
});

test("a database that is replaced is opened again, and one that is broken leaves the old in force", async () => {
  const clock = virtualClock(0);
  await withDatabase(async (file, open, findings) => {
    fill(file, [["string", "a", "1"]]).close();
    const backend = open({ string: "select value from kv where key = :key" }, clock);
    const settled = async (): Promise<string> => {
      // The disk answers in its own time.
      for (let turn = 0; turn < 5; turn++) {
        await clock.advance(1001);
        await backend.get("a", { service: "string" });
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const answer = await backend.get("a", { service: "string" });
      return answer.kind === "found" ? answer.value : answer.kind;
    };
    assert.equal(await settled(), "1");
    fill(`${file}.new`, [["string", "a", "2"]]).close();
    await rename(`${file}.new`, file);
    assert.equal(await settled(), "2");
    await writeFile(`${file}.new`, "this is no database, whatever its name may say about it");
    await rename(`${file}.new`, file);
    assert.equal(await settled(), "2");
    assert.match(findings.at(-1)?.text ?? "", /not a database; the version before stays in force/);
    await rm(file);
    assert.equal(await settled(), "2");
  });
});

test("how a database does is told as it is now: gone, broken, mended, never asked", async () => {
  const clock = virtualClock(0);
  await withDatabase(async (file, open, findings) => {
    const backend = open({ string: "select value from kv where service = :service and key = :key" }, clock);
    const told = async (): Promise<string> => {
      await clock.advance(10);
      await backend.look?.();
      const { state, text } = backend.health();
      return `${state} ${text}`;
    };
    assert.equal(await told(), `down ${file} does not exist`);
    fill(file, [["string", "a", "1"]]).close();
    assert.equal(await told(), `up ${file}`);
    for (let time = 1; time <= 2; time++) {
      await rename(file, `${file}.away`);
      assert.equal(await told(), `up ${file} does not exist; the version before is in force`);
      assert.equal(findings.length, time);
      await rename(`${file}.away`, file);
      assert.equal(await told(), `up ${file}`);
    }
    await rm(file);
    await writeFile(file, "this is no database, whatever its name may say about it");
    assert.match(await told(), /^up .*not a database; the version before is in force/);
  });
});

test("parameters are found outside quotes and comments; what is misspelt is refused", () => {
  const parameters = (sql: string): unknown => {
    const found = queryParameters(sql);
    return found.ok ? found.value : found.problem;
  };
  assert.deepEqual(
    parameters("select ':kee', \":x\" from a -- :y\n where b = :key /* ? */ and c = :domain or d = :key"),
    ["key", "domain"],
  );
  assert.equal(parameters("select ?"), "there is no parameter ?; there are :key, :user, :domain, :service");
  assert.match(String(parameters("select @key")), /no parameter @key/);
});

type Open = (
  queries: Parameters<typeof sqliteBackend>[1]["queries"],
  clock?: Parameters<typeof sqliteBackend>[2]["clock"],
) => ReturnType<typeof sqliteBackend>;

async function withDatabase(
  body: (file: string, open: Open, findings: TableFinding[]) => Promise<void>,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-sqlite-"));
  const findings: TableFinding[] = [];
  const opened: ReturnType<typeof sqliteBackend>[] = [];
  try {
    const file = join(directory, "mail.db");
    await body(
      file,
      (queries, clock = systemClock) => {
        const backend = sqliteBackend(
          "t",
          { file, queries },
          { clock, onFinding: (finding) => void findings.push(finding) },
        );
        opened.push(backend);
        return backend;
      },
      findings,
    );
  } finally {
    for (const backend of opened) await backend.close();
    await rm(directory, { recursive: true });
  }
}
