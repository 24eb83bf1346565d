import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { cdbBackend } from "../../src/service/table/cdb/cdb.io.ts";
import { cdbPieces } from "../../src/service/table/cdb/cdb.ts";
import { makeCdb } from "../../src/service/table/cdb/make-cdb.io.ts";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { requirePeer } from "../peers/peer.ts";

const run = promisify(execFile);
const RECORDS = Array.from({ length: 1000 }, (_, at): [string, string] => [
  `user${at}@example.org`,
  at === 7 ? "" : `target-${at} `.repeat(1 + (at % 90)),
]);

test("tinycdb reads what makemap made, and makes what we read, to the byte", async (t) => {
  const cdb = requirePeer("cdb", t);
  if (cdb === undefined) return;
  const directory = await mkdtemp(join(tmpdir(), "posthorn-tinycdb-"));
  try {
    const source = join(directory, "table");
    await writeFile(source, RECORDS.map(([key, value]) => `${key.toUpperCase()} ${value}\n`).join(""));
    assert.ok((await makeCdb(source, "file")).ok);
    for (const [key, value] of [RECORDS[0], RECORDS[89], RECORDS[999]] as [string, string][])
      assert.equal((await run(cdb, ["-q", `${source}.cdb`, key])).stdout, value.trim());
    await assert.rejects(run(cdb, ["-q", `${source}.cdb`, "nobody"]), { code: 100 });
    assert.match((await run(cdb, ["-s", `${source}.cdb`])).stdout, /number of records: 1001\n/);

    const input = RECORDS.map(
      ([key, value]) => `+${Buffer.byteLength(key)},${Buffer.byteLength(value)}:${key}->${value}\n`,
    ).join("");
    await writeFile(join(directory, "input"), `${input}\n`);
    const theirs = join(directory, "theirs.cdb");
    await run(cdb, ["-c", theirs, join(directory, "input")]);
    const backend = cdbBackend("t", { file: theirs }, { clock: systemClock, onFinding: () => {} });
    for (const [key, value] of RECORDS)
      assert.deepEqual(await backend.get(key, { service: "alias" }), { kind: "found", value, where: theirs });
    assert.equal((await backend.get("nobody", { service: "alias" })).kind, "none");
    const entries = await backend.entries?.({ service: "alias" });
    assert.equal(entries?.kind === "found" ? entries.value.length : 0, RECORDS.length);
    await backend.close();

    const ours = Buffer.alloc((await readFile(theirs)).length);
    const pieces = cdbPieces(RECORDS.map(([key, value]) => ({ key: Buffer.from(key), value: Buffer.from(value) })));
    for (const { at, bytes } of pieces) ours.set(bytes, at);
    assert.ok(ours.equals(await readFile(theirs)));
  } finally {
    await rm(directory, { recursive: true });
  }
});
