import assert from "node:assert/strict";
import { closeSync, fstatSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { renewedStore } from "./damaged-database.io.ts";
import type { SetAside } from "./damaged-database.ts";

class Numbers {
  readonly #database: DatabaseSync;

  constructor(file: string) {
    this.#database = new DatabaseSync(file);
    this.#database.exec(
      "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS number (n INTEGER PRIMARY KEY, text TEXT)",
    );
  }

  fill(count: number): void {
    this.#database
      .prepare(
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ?) INSERT INTO number SELECT n, hex(zeroblob(100)) FROM s",
      )
      .run(count);
  }

  count(): number {
    return Number(this.#database.prepare("SELECT sum(length(text) > 0) AS n FROM number").get()?.["n"] ?? 0);
  }

  close(): void {
    this.#database.close();
  }
}

/** Everything behind the first page becomes nonsense. */
function damage(file: string): void {
  const descriptor = openSync(file, "r+");
  const { size } = fstatSync(descriptor);
  writeSync(descriptor, Buffer.alloc(size - 4096, 0xa5), 0, size - 4096, 4096);
  closeSync(descriptor);
}

function world(t: { after(work: () => void): void }) {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-damaged-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "some.db");
  const told: SetAside[] = [];
  const make = () =>
    renewedStore(
      file,
      () => new Numbers(file),
      (what) => told.push(what),
    );
  return { folder, file, told, make };
}

test("a database that is damaged in its middle is set aside, with a word, and what was asked is done with a new one", (t) => {
  const { folder, file, told, make } = world(t);
  const first = make();
  first.use((numbers) => numbers.fill(1000));
  first.close();
  damage(file);
  const store = make();
  assert.equal(
    store.use((numbers) => numbers.count()),
    0,
  );
  store.use((numbers) => numbers.fill(10));
  assert.equal(
    store.use((numbers) => numbers.count()),
    10,
  );
  assert.deepEqual(told, [{ file, aside: `${file}.broken`, problem: "database disk image is malformed" }]);
  store.close();
  const left = readdirSync(folder);
  assert.ok(left.includes("some.db") && left.includes("some.db.broken"), left.join(" "));
});

test("none that was set aside before is lost for the next one, and there is an end of it", (t) => {
  const { file, told, make } = world(t);
  for (let round = 1; round <= 9; round++) {
    writeFileSync(file, `no database, for the ${round}. time `.repeat(1000));
    const store = make();
    store.use((numbers) => numbers.fill(1));
    store.close();
    assert.equal(told.at(-1)?.aside, round === 1 ? `${file}.broken` : `${file}.broken-${round}`);
  }
  writeFileSync(file, "no database again".repeat(1000));
  assert.throws(() => make().use((numbers) => numbers.fill(1)), /some\.db is damaged, as 9 before it/);
});

test("one that another process has set aside already is not set aside again", (t) => {
  const { file, told, make } = world(t);
  const [one, other] = [make(), make()];
  one.use((numbers) => numbers.fill(1000));
  one.close();
  damage(file);
  // Opening reads the first page alone.
  for (const store of [one, other]) store.use(() => {});
  assert.equal(
    one.use((numbers) => numbers.count()),
    0,
  );
  one.use((numbers) => numbers.fill(3));
  assert.equal(
    other.use((numbers) => numbers.count()),
    3,
  );
  assert.equal(told.length, 1);
  one.close();
  other.close();
});
