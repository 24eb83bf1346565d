import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rename, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../../foundation/clock.io.ts";
import { seededRandom } from "../../../foundation/random.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import { openTable } from "../open-backend.io.ts";
import { tableSuite } from "../table.suite.ts";
import type { TableFinding } from "../tables.ts";
import { cdbBackend } from "./cdb.io.ts";
import { makeCdb } from "./make-cdb.io.ts";
import { trustIn } from "../../../testing/trust.ts";

tableSuite("cdb", async (entries) => {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-cdb-"));
  const source = join(directory, "table");
  const quoted = (key: string): string => `"${key.replace(/["\\]/g, "\\$&")}"`;
  await writeFile(source, entries.map(({ key, value }) => `${quoted(key)} ${value}\n`).join(""));
  const made = await makeCdb(source, "file");
  assert.deepEqual(made, { ok: true, value: { file: `${source}.cdb`, entries: entries.length } });
  const opened = await openTable(
    "t",
    { kind: "cdb", options: { file: `${source}.cdb` }, wildcards: true, timeoutMs: 1000 },
    { clock: systemClock, random: seededRandom(1), trust: trustIn(), onFinding: () => {}, secrets: {} },
  );
  return {
    table: opened.table,
    close: () => opened.close(),
    // Somebody writes over it in place: what was open is no more.
    fail: () => truncate(`${source}.cdb`, 100),
    async recover() {
      await makeCdb(source, "file");
    },
    async [Symbol.asyncDispose]() {
      await opened.close();
      await rm(directory, { recursive: true });
    },
  };
});

test("an indexed file says no where its text does, and knows the networks of its text", async () => {
  await withFolder(async (directory) => {
    const source = join(directory, "list");
    await writeFile(source, "*.example.org\n!bad.example.org\n192.0.2.0/24\n!192.0.2.128/25\n2001:DB8:0::/32\n");
    assert.ok((await makeCdb(source, "file")).ok);
    const opened = await open(`${source}.cdb`);
    const has = async (key: string): Promise<boolean> => {
      const answer = await opened.table.has(key, { service: "network" });
      return answer.kind === "found" && answer.value;
    };
    assert.equal(await has("good.example.org"), true);
    assert.equal(await has("bad.example.org"), false);
    assert.equal(await has("192.0.2.1"), true);
    assert.equal(await has("192.0.2.129"), false);
    assert.equal(await has("2001:db8::7"), true);
    await opened.close();
  });
});

test("a file is made whole or not at all, with the mode of its source", async () => {
  await withFolder(async (directory) => {
    const source = join(directory, "aliases");
    await writeFile(source, "joe: jane\n", { mode: 0o640 });
    assert.ok((await makeCdb(source, "aliases")).ok);
    assert.equal((await stat(`${source}.cdb`)).mode & 0o777, 0o640);
    const before = await readFile(`${source}.cdb`);
    await writeFile(source, "joe: jane\nbroken\nx: a..b\n");
    const made = await makeCdb(source, "aliases");
    assert.deepEqual(made.ok ? [] : made.problem, [
      { line: 2, text: "expected a name, a colon and where its mail goes" },
      { line: 3, text: "x: a..b: is no address" },
    ]);
    assert.deepEqual(await readFile(`${source}.cdb`), before);
    assert.deepEqual((await readdir(directory)).sort(), ["aliases", "aliases.cdb"]);
    const missing = await makeCdb(join(directory, "nothing"), "file");
    assert.match(missing.ok ? "" : (missing.problem[0]?.text ?? ""), /ENOENT/);
  });
});

test("a replaced file is taken, a torn one leaves the old in force, and that is said once", async () => {
  await withFolder(async (directory) => {
    const source = join(directory, "aliases");
    const file = `${source}.cdb`;
    const write = async (text: string): Promise<void> => {
      await writeFile(source, text);
      assert.ok((await makeCdb(source, "aliases")).ok);
    };
    await write("joe: a\n");
    const clock = virtualClock(0);
    const findings: TableFinding[] = [];
    const backend = cdbBackend("t", { file }, { clock, onFinding: (finding) => void findings.push(finding) });
    const settled = async (): Promise<string> => {
      // The disk answers in its own time.
      for (let turn = 0; turn < 6; turn++) {
        await clock.advance(1001);
        await backend.get("joe", { service: "alias" });
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const answer = await backend.get("joe", { service: "alias" });
      return answer.kind === "found" ? answer.value : answer.kind;
    };
    assert.equal(await settled(), "a");
    assert.equal(backend.health().entries, 1);
    await write("joe: b\njane: c\n");
    assert.equal(await settled(), "b");
    assert.equal(backend.health().entries, 2);
    assert.equal(findings.length, 0);

    const torn = (await readFile(file)).subarray(0, -7);
    await writeFile(`${file}.torn`, torn);
    await rename(`${file}.torn`, file);
    assert.equal(await settled(), "b");
    assert.equal(findings.length, 1);
    assert.match(findings[0]?.text ?? "", /is torn.*the version before stays in force/);

    await rm(file);
    assert.equal(await settled(), "b");
    assert.match(findings[1]?.text ?? "", /does not exist; the version before stays in force/);
    await write("joe: d\n");
    assert.equal(await settled(), "d");

    const later = new Date(Date.now() + 60_000);
    await utimes(source, later, later);
    assert.equal(await settled(), "d");
    assert.match(findings.at(-1)?.text ?? "", /aliases was changed after .* was made of it/);
    await backend.close();
  });
});

test("a file that is not there fails with words, and nobody is told of a key there is not", async () => {
  await withFolder(async (directory) => {
    const opened = await open(join(directory, "none.cdb"));
    assert.deepEqual(await opened.table.lookup("joe"), {
      kind: "failed",
      text: `${join(directory, "none.cdb")} does not exist`,
    });
    await opened.close();
    const backend = cdbBackend("t", { file: join(directory, "none.cdb") }, { clock: systemClock, onFinding: () => {} });
    assert.match((await backend.probe?.())?.[0]?.text ?? "", /none\.cdb does not exist/);
  });
});

async function open(file: string): ReturnType<typeof openTable> {
  return await openTable(
    "t",
    { kind: "cdb", options: { file }, wildcards: true, timeoutMs: 1000 },
    { clock: systemClock, random: seededRandom(1), trust: trustIn(), onFinding: () => {}, secrets: {} },
  );
}

async function withFolder(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-cdb-"));
  try {
    await body(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

test("an indexed file of a newer format answers nothing, and says that it wants to be made anew", async () => {
  await withFolder(async (directory) => {
    const source = join(directory, "list");
    await writeFile(source, "one 1\n");
    assert.ok((await makeCdb(source, "file")).ok);
    const bytes = await readFile(`${source}.cdb`);
    const made = bytes.toString("latin1");
    // As long as before: everything else in the file is where it was.
    const newer = made.replace('"format":1', '"format":2');
    assert.notEqual(newer, made);
    await writeFile(`${source}.cdb`, newer, "latin1");
    const opened = await open(`${source}.cdb`);
    assert.deepEqual(await opened.table.lookup("one"), {
      kind: "failed",
      text: `${source}.cdb has format 2, and this Posthorn knows formats up to 1: make it anew (posthorn makemap)`,
    });
    await opened.close();
  });
});

test("a pipe in the place of an indexed file holds nobody up, and leaves the version before in force", async () => {
  await withFolder(async (directory) => {
    const source = join(directory, "list");
    const file = `${source}.cdb`;
    execFileSync("mkfifo", [file]);
    const clock = virtualClock(0);
    const findings: TableFinding[] = [];
    const backend = cdbBackend("t", { file }, { clock, onFinding: (finding) => void findings.push(finding) });
    assert.deepEqual(await backend.get("one", { service: "string" }), {
      kind: "failed",
      text: `${file} is no regular file`,
    });
    await rm(file);
    await writeFile(source, "one 1\n");
    assert.ok((await makeCdb(source, "file")).ok);
    await clock.advance(1001);
    assert.equal((await backend.get("one", { service: "string" })).kind, "found");
    execFileSync("mkfifo", [`${file}.new`]);
    await rename(`${file}.new`, file);
    await clock.advance(60_000);
    assert.equal((await backend.get("one", { service: "string" })).kind, "found");
    assert.equal(findings.at(-1)?.text, `${file} is no regular file; the version before stays in force`);
    await backend.close();
  });
});

test("how an indexed file does is told as it is now: moved away and back, torn, mended, never asked", async () => {
  await withFolder(async (directory) => {
    const source = join(directory, "list");
    const file = `${source}.cdb`;
    await writeFile(source, "one 1\n");
    assert.ok((await makeCdb(source, "file")).ok);
    const clock = virtualClock(0);
    const findings: TableFinding[] = [];
    const backend = cdbBackend("t", { file }, { clock, onFinding: (finding) => void findings.push(finding) });
    const told = async (): Promise<string> => {
      await clock.advance(10);
      await backend.look?.();
      const { state, text } = backend.health();
      return `${state} ${text}`;
    };
    assert.equal(await told(), `up ${file}`);
    for (let time = 1; time <= 2; time++) {
      await rename(file, `${file}.away`);
      assert.equal(await told(), `up ${file} does not exist; the version before is in force`);
      assert.equal(findings.length, time);
      await rename(`${file}.away`, file);
      assert.equal(await told(), `up ${file}`);
    }
    await truncate(file, 100);
    assert.match(await told(), /^down .*list\.cdb is no cdb file/);
    assert.equal((await backend.get("one", { service: "string" })).kind, "failed");
    assert.ok((await makeCdb(source, "file")).ok);
    assert.equal(await told(), `up ${file}`);
    await backend.close();
  });
});
