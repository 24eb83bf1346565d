import assert from "node:assert/strict";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import { cdbBackend } from "./cdb/cdb.io.ts";
import { cdbPieces } from "./cdb/cdb.ts";
import { watchedFile } from "./file.io.ts";
import { FreshLook } from "./fresh-look.ts";
import { keyedTable } from "./keyed-table.ts";
import { sqliteBackend } from "./sqlite/sqlite.io.ts";
import { createTables } from "./tables.ts";

const HOUR_MS = 3_600_000;

test("whoever asks first after a quiet time waits for the look, a little; then and while others ask all the time nobody does", async () => {
  const clock = virtualClock(0);
  let ends: (() => void)[] = [];
  const fresh = new FreshLook(clock, () => new Promise((resolve) => ends.push(resolve)));
  const end = async (): Promise<void> => {
    for (const each of ends) each();
    ends = [];
    await new Promise((resolve) => setImmediate(resolve));
  };

  await clock.advance(HOUR_MS);
  const first = fresh.before();
  const second = fresh.before();
  assert.ok(first !== undefined && second !== undefined);
  assert.equal(ends.length, 1);
  await end();
  await Promise.all([first, second]);
  assert.equal(fresh.before(), undefined);

  // Asked each second, a look runs beside the lookups.
  await clock.advance(1500);
  assert.equal(fresh.before(), undefined);
  assert.equal(ends.length, 1);
  await end();

  // A disk that hangs holds those up who come first, for as long as they have patience; later ones not at all.
  await clock.advance(HOUR_MS);
  let isThrough = false;
  const patient = fresh.before()?.then(() => (isThrough = true));
  await clock.advance(249);
  assert.equal(isThrough, false);
  await clock.advance(1);
  await patient;
  assert.equal(isThrough, true);
  assert.equal(fresh.before(), undefined);
  await clock.advance(HOUR_MS);
  assert.equal(fresh.before(), undefined);
  assert.equal(ends.length, 1);
});

test("who changes a file of any kind and tries it is answered from the new one, however long nobody asked", async () => {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-fresh-"));
  try {
    const clock = virtualClock(0);
    const onFinding = ({ text }: { readonly text: string }): void => assert.fail(text);
    const world = { clock, onFinding };
    const path = (name: string): string => join(directory, name);
    const writers = {
      text: (file: string, value: string) => writeFile(file, `joe ${value}\n`),
      cdb: (file: string, value: string) => {
        const pieces = [...cdbPieces([{ key: Buffer.from("joe"), value: Buffer.from(value) }])];
        // The header comes last, and belongs in front.
        return writeFile(file, Buffer.concat(pieces.toSorted((a, b) => a.at - b.at).map(({ bytes }) => bytes)));
      },
      sqlite: async (file: string, value: string) => {
        const database = new DatabaseSync(file);
        database.exec(`create table t (k text primary key, v text); insert into t values ('joe', '${value}')`);
        database.close();
      },
    };
    const keyed = (backend: ReturnType<typeof cdbBackend>) =>
      keyedTable("t", backend, { clock, timeoutMs: HOUR_MS, wildcards: false });
    const tables = {
      text: createTables(
        { t: { kind: "file", file: path("text") } },
        (name, file) => watchedFile(name, file, clock, onFinding),
        onFinding,
      ).get("t"),
      cdb: keyed(cdbBackend("t", { file: path("cdb") }, world)),
      sqlite: keyed(
        sqliteBackend("t", { file: path("sqlite"), queries: { string: "select v from t where k = :key" } }, world),
      ),
    };
    for (const kind of ["text", "cdb", "sqlite"] as const) {
      for (const value of ["old", "newer", "newest"]) {
        await writers[kind](path("new"), value);
        await rename(path("new"), path(kind));
        await clock.advance(HOUR_MS);
        const answer = await tables[kind]?.lookup("joe");
        assert.equal(answer?.kind === "found" && answer.value, value, kind);
      }
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});
