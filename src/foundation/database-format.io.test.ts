import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test, type TestContext } from "node:test";
import { bringToFormat, checkFormat, refuseNewer } from "./database-format.io.ts";
import type { DatabaseKind } from "./database-format.ts";

const kind: DatabaseKind = {
  holds: "the herd",
  application: 0x5073_7878,
  format: 4,
  schema: "CREATE TABLE sheep (name TEXT, colour TEXT, weight INTEGER)",
  steps: { 2: "ALTER TABLE sheep ADD COLUMN colour TEXT", 3: "ALTER TABLE sheep ADD COLUMN weight INTEGER" },
  unmarkedUpTo: 2,
  otherwise: "or sell them",
};

function place(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-format-"));
  context.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "herd.db");
}

function write(file: string, sql: string): void {
  const database = new DatabaseSync(file);
  database.exec(sql);
  database.close();
}

/** As a store opens it. */
function open(file: string, of = kind): DatabaseSync {
  const database = new DatabaseSync(file);
  try {
    checkFormat(database, file, of);
    bringToFormat(database, file, of);
    return database;
  } catch (thrown) {
    database.close();
    throw thrown;
  }
}

const marked = (format: number): string =>
  `PRAGMA application_id = ${kind.application}; PRAGMA user_version = ${format};`;

test("an empty file gets the tables of the present format, and is known by its header from then on", (context) => {
  const file = place(context);
  open(file).close();
  const again = open(file);
  again.exec("INSERT INTO sheep VALUES ('Dolly', 'white', 60)");
  again.close();
  assert.doesNotThrow(() => refuseNewer(file, kind));
  assert.throws(() => refuseNewer(file, { ...kind, format: 3 }), { code: "STORE_VERSION" });
});

test("a newer file is refused with its name, both formats and what to do, and stays as it is to the byte", (context) => {
  const file = place(context);
  write(file, `${marked(5)} CREATE TABLE sheep (name TEXT); CREATE TABLE goats (name TEXT)`);
  const before = readFileSync(file);
  for (const meet of [() => refuseNewer(file, kind), () => open(file)])
    assert.throws(meet, {
      code: "STORE_VERSION",
      message: `${file} has format 5; this Posthorn knows the herd in formats up to 4`,
      advice: "start the newer Posthorn that wrote it; or sell them",
    });
  assert.deepEqual(readFileSync(file), before);
  assert.deepEqual(readdirSync(join(file, "..")), ["herd.db"]);
});

test("an older file goes through all the steps that it needs, whether or not it was marked", (context) => {
  const file = place(context);
  write(file, "PRAGMA user_version = 2; CREATE TABLE sheep (name TEXT); INSERT INTO sheep VALUES ('Shaun')");
  const database = open(file);
  assert.deepEqual({ ...database.prepare("SELECT * FROM sheep").get() }, { name: "Shaun", colour: null, weight: null });
  database.close();
  assert.throws(() => open(file, { ...kind, application: 7 }), { code: "STORE_VERSION", message: /does not hold/ });
});

test("when one step fails, none of them was taken", (context) => {
  const file = place(context);
  write(file, `${marked(2)} CREATE TABLE sheep (name TEXT, weight TEXT)`);
  assert.throws(() => open(file), /weight/);
  const database = new DatabaseSync(file);
  assert.equal(database.prepare("PRAGMA user_version").get()?.["user_version"], 2);
  assert.equal(database.prepare("SELECT count(*) AS n FROM pragma_table_info('sheep')").get()?.["n"], 2);
  database.close();
});

test("a format from before the first step is named, and nothing is changed", (context) => {
  const file = place(context);
  write(file, `${marked(1)} CREATE TABLE sheep (name TEXT)`);
  const before = readFileSync(file);
  assert.throws(() => open(file), { code: "STORE_VERSION", message: /has format 1, and .* no way from there/ });
  assert.deepEqual(readFileSync(file), before);
});

test("what another program wrote is not touched; what is no database is left to whoever opens it", (context) => {
  const file = place(context);
  write(file, "CREATE TABLE bookmarks (url TEXT); PRAGMA user_version = 9");
  const before = readFileSync(file);
  assert.throws(() => open(file), { code: "STORE_VERSION", message: /does not hold the herd/ });
  assert.deepEqual(readFileSync(file), before);
  assert.doesNotThrow(() => refuseNewer(file, kind));
  writeFileSync(file, "a letter, and no database at all. ".repeat(9));
  assert.doesNotThrow(() => refuseNewer(file, kind));
  rmSync(file);
  assert.doesNotThrow(() => refuseNewer(file, kind));
});
