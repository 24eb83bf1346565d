import assert from "node:assert/strict";
import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { STORE_FORMAT } from "../../src/mail/queue/schema.ts";
import { deliverSpool } from "../old-spool.ts";
import { LAYOUTS, startServer } from "../server.ts";

const VECTORS = join(import.meta.dirname, "..", "vectors");

test("there is a queue of each format that ever was", () => {
  const formats = new Set(globSync("spool-*", { cwd: VECTORS }).map((name) => Number(name.split("-")[1])));
  assert.deepEqual(
    [...formats].sort((one, other) => one - other),
    Array.from({ length: STORE_FORMAT }, (_, at) => at + 1),
  );
});

// All of them, and by split servers: test/hosts/older-queues.test.ts.
test("a queue of the first format is delivered to the last mail", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-older-"));
  await deliverSpool(join(VECTORS, "spool-1-85020b2"), folder, "single");
  t.after(() => rmSync(folder, { recursive: true }));
});

test("a server that meets a queue of a newer format says so, does not start, and changes nothing in it", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-newer-"));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const layout of LAYOUTS) {
    const ports = { smtp: 0, submission: 0, smtps: 0 };
    if (layout === LAYOUTS[0]) {
      await using first = await startServer({ folder, layout });
      assert.equal(await first.stop(), 0);
    }
    const file = join(folder, "data", "queue", "queue.db");
    const database = new DatabaseSync(file);
    database.exec("PRAGMA user_version = 99");
    database.close();
    const before = readFileSync(file);
    await assert.rejects(startServer({ folder, layout, ports }), (thrown: Error) => {
      assert.match(thrown.message, /queue\.db has format 99; this Posthorn knows the queue in formats up to 3/);
      assert.match(thrown.message, /start the newer Posthorn that wrote it; it can deliver what is in the queue/);
      return true;
    });
    assert.deepEqual(readFileSync(file), before);
  }
});
