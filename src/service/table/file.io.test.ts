import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { virtualClock } from "../../simulator/clock.ts";
import { watchedFile } from "./file.io.ts";
import { createTables, type TableFinding } from "./tables.ts";

test("a table file follows its changes, survives its absence, and keeps its last good version", async () => {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-table-"));
  try {
    const path = join(directory, "users");
    const clock = virtualClock(0);
    const findings: TableFinding[] = [];
    const tell = (finding: TableFinding): void => void findings.push(finding);
    await writeFile(path, "joe 1\n");
    const table = createTables(
      { users: { kind: "file", file: path } },
      (name, file) => watchedFile(name, file, clock, tell),
      tell,
    ).get("users");
    assert.ok(table);
    /** The change is seen by the lookup after the one that notices it. */
    const settled = async (key: string): Promise<string | undefined> => {
      await clock.advance(1001);
      await table.lookup(key);
      await new Promise((resolve) => setTimeout(resolve, 50));
      const answer = await table.lookup(key);
      return answer.kind === "found" ? `${answer.value} ${answer.where}` : answer.kind;
    };
    assert.deepEqual(await table.lookup("joe"), { kind: "found", value: "1", where: `${path}:1` });
    await writeFile(join(directory, "new"), "# changed\njoe 22\n");
    await rename(join(directory, "new"), path);
    assert.deepEqual(await table.lookup("joe"), { kind: "found", value: "1", where: `${path}:1` });
    assert.equal(await settled("joe"), `22 ${path}:2`);
    assert.equal(findings.length, 0);

    await rm(path);
    assert.equal(await settled("joe"), `22 ${path}:2`);
    assert.equal(await settled("joe"), `22 ${path}:2`);
    assert.match(findings.map((finding) => finding.text).join("|"), /^[^|]*ENOENT.*the version before stays in force/);

    await writeFile(path, "joe 3\nbroken/8 x\n10.0.0.1/8 y\n");
    assert.equal(await settled("joe"), `22 ${path}:2`);
    assert.match(findings.at(-1)?.text ?? "", /users:3: 10\.0\.0\.1\/8: expected the network's first address/);
    await writeFile(path, "joe 4\n");
    assert.equal(await settled("joe"), `4 ${path}:1`);
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("text that somebody with more rights has read serves where the file may not be read", async () => {
  const findings: TableFinding[] = [];
  const file = watchedFile(
    "t",
    "/nonexistent/table",
    virtualClock(0),
    (finding) => void findings.push(finding),
    "a b\n",
  );
  assert.deepEqual(await file.current(), { ok: true, text: "a b\n", version: 0 });
});
