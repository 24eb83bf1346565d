import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import type { TableQuestion } from "../../admin/cli/tables/table-world.ts";
import { systemClock } from "../../foundation/clock.io.ts";
import { makeCdb } from "../../service/table/cdb/make-cdb.io.ts";
import { aliasFilesOf, explainTable } from "./explain-table.ts";
import { loadSettings, loadTableSources, type LoadedSettings } from "../settings/load-settings.ts";
import { shownTables } from "./show-tables.ts";

const SETTINGS = `
hostname: mail.example.org
tables:
  aliases: { aliases: aliases }
  virtual: { cdb: virtual.cdb }
  blocked: { list: [spammer.example, "*.bad.example", "!good.bad.example"] }
  rx: { regexp: rx }
  db: { sqlite: { file: mail.db, queries: { alias: "select t from a where k = :key" } } }
`;

async function withTables(body: (folder: string, loaded: LoadedSettings) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "posthorn-tables-"));
  try {
    await writeFile(join(folder, "posthorn.yaml"), SETTINGS);
    await writeFile(join(folder, "aliases"), "root: joe,\n  \\jane\n");
    await writeFile(join(folder, "virtual"), "@example.org: root\n");
    await writeFile(join(folder, "rx"), "/^(.*)-owner@/ $1@example.org\n");
    assert.ok((await makeCdb(join(folder, "virtual"), "aliases")).ok);
    const database = new DatabaseSync(join(folder, "mail.db"));
    database.exec("create table a (k text primary key, t text); insert into a values ('joe@x.example', 'jane')");
    database.close();
    const loaded = await loadSettings({
      file: join(folder, "posthorn.yaml"),
      directory: folder,
      clock: systemClock,
      isKeptElsewhere: () => true,
    });
    assert.ok(loaded.ok, JSON.stringify(loaded));
    await body(folder, loaded.value);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("a lookup from the settings alone goes through each kind of table", async () => {
  await withTables(async (folder, loaded) => {
    const ask = async (table: string, key: string, more: Partial<TableQuestion> = {}): Promise<string> => {
      const story = await explainTable(
        { settingsFile: undefined, table, service: "alias", key, verb: "lookup", ...more },
        loaded,
        systemClock,
      );
      const { answer, entry = "" } = story;
      const end = answer.kind === "found" ? `${answer.value} ${entry} ${answer.where}` : answer.kind;
      return `${story.steps.map((step) => step.key).join(" ")} | ${end}`.replaceAll(folder, "");
    };
    assert.equal(await ask("aliases", "Root"), "root | joe, \\jane root /aliases:1");
    assert.equal(
      await ask("virtual", "x@example.org"),
      "x@example.org !x@example.org x@ !x@ @example.org | root  /virtual.cdb",
    );
    assert.equal(await ask("rx", "a-owner@b"), "a-owner@b | a@example.org /^(.*)-owner@/ /rx:1");
    assert.equal(await ask("db", "joe@X.example"), "joe@x.example | jane  /mail.db");
    assert.equal(
      await ask("blocked", "good.bad.example", { service: "domain", verb: "has" }),
      "good.bad.example | false !good.bad.example /posthorn.yaml:6:55",
    );
    await assert.rejects(ask("alias", "x"), /the settings have no table alias/);
  });
});

test("every table is shown: those of the lookup role as it tells, files as they are on the disk", async () => {
  await withTables(async (folder, loaded) => {
    const health = { state: "up", text: "a database", queries: 5, failures: 0 } as const;
    const shown = await shownTables(loaded, () => Promise.resolve([{ table: "db", kind: "sqlite", health }]));
    assert.deepEqual(
      shown.map((one) => [one.table, one.kind, one.health.state, one.health.entries, one.health.queries]),
      [
        ["aliases", "aliases", "up", 1, 0],
        ["virtual", "cdb", "down", undefined, 0],
        ["blocked", "list", "up", 3, 0],
        ["rx", "regexp", "up", 1, 0],
        ["db", "sqlite", "up", undefined, 5],
      ],
    );
    await writeFile(join(folder, "aliases"), "root: joe\nbroken\n");
    const later = await shownTables(loaded, () => Promise.reject(new Error("the lookup process is away")));
    assert.match(later[0]?.health.text ?? "", /aliases:2: expected a name.*an earlier version may be in force/);
    assert.equal(later[1]?.health.text, "the lookup process is away");
    assert.equal(later[4]?.health.state, "down");
  });
});

test("newaliases finds alias files and texts of indexed files, whatever else the settings have", async () => {
  await withTables(async (folder) => {
    await writeFile(join(folder, "posthorn.yaml"), `${SETTINGS}certificates: [{ file: nothing }]\nnonsense: 1\n`);
    const sources = await loadTableSources({
      file: join(folder, "posthorn.yaml"),
      directory: folder,
      clock: systemClock,
    });
    assert.ok(sources.ok);
    assert.deepEqual(aliasFilesOf(sources.value), [
      { table: "aliases", source: join(folder, "aliases") },
      { table: "virtual", source: join(folder, "virtual"), indexed: join(folder, "virtual.cdb") },
    ]);
  });
});
