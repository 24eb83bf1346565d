import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rename, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { virtualClock } from "../../simulator/clock.ts";
import { readTableFile, watchedFile } from "./file.io.ts";
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
    /** The change is seen by a lookup after the one that notices it; the disk answers in its own time. */
    const settled = async (key: string): Promise<string | undefined> => {
      for (let turn = 0; turn < 5; turn++) {
        await clock.advance(1001);
        await table.lookup(key);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
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

test("what is being written in its place is not taken before it rests: half of it would refuse the others for good", async () => {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-table-"));
  try {
    const path = join(directory, "users");
    for (const hasClockOfItsOwn of [false, true]) {
      const clock = virtualClock(0);
      const write = async (text: string): Promise<void> => {
        await writeFile(path, text);
        if (!hasClockOfItsOwn) await utimes(path, clock.now() / 1000, clock.now() / 1000);
      };
      await write("joe 1\njim 1\njane 1\n");
      const file = watchedFile("users", path, clock, () => {});
      /** What lookups get that come each second for so long. */
      const textAfter = async (seconds: number): Promise<string> => {
        for (let second = 0; second < seconds; second++) {
          await clock.advance(1001);
          await file.current();
          await new Promise((resolve) => setTimeout(resolve, 30));
        }
        const now = await file.current();
        return now.text;
      };
      assert.match(await textAfter(1), /jane 1/);
      await write("");
      assert.match(await textAfter(20), /jane 1/, "empty for twenty seconds");
      await write("joe 2\n");
      assert.match(await textAfter(1), /jane 1/, "half of it for a second");
      await write("joe 2\njim 2\njane 2\n");
      assert.match(await textAfter(2), /jane 2/, "whole");
      await write("joe 3\n");
      assert.equal(await textAfter(5), "joe 3\n", "shorter, and at rest");
      await write("");
      assert.equal(await textAfter(40), "", "empty, and at rest");
      await write("joe 4\njim 4\n");
      assert.match(await textAfter(1), /jim 4/);
      for (let second = 0; second < 40; second++) {
        await write(`joe ${10 + second}\n`);
        await textAfter(1);
      }
      assert.match(await textAfter(0), /^joe [1-4][0-9]\n$/, "shorter ones, again and again");
    }
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("alias files and expressions follow their changes too, and keep their last good version", async () => {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-table-"));
  try {
    for (const [syntax, good, better, broken, said] of [
      ["aliases", "joe: jane\n", "joe: jim\n", "joe: jim\njane\n", /aliases:2: expected a name/],
      ["regexp", "/joe/ jane\n", "/joe/ jim\n", "/joe/ jim\n/(/ x\n", /regexp:2: error parsing regexp/],
    ] as const) {
      const file = join(directory, syntax);
      const clock = virtualClock(0);
      const findings: TableFinding[] = [];
      const tell = (finding: TableFinding): void => void findings.push(finding);
      await writeFile(file, good);
      const table = createTables(
        { t: { kind: "file", file, syntax } },
        (name, path) => watchedFile(name, path, clock, tell),
        tell,
      ).get("t");
      assert.ok(table);
      const settled = async (): Promise<string | undefined> => {
        for (let turn = 0; turn < 5; turn++) {
          await clock.advance(1001);
          await table.lookup("joe");
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
        const answer = await table.lookup("joe");
        return answer.kind === "found" ? answer.value : answer.kind;
      };
      assert.equal(await settled(), "jane");
      await writeFile(file, better);
      assert.equal(await settled(), "jim");
      await writeFile(file, broken);
      assert.equal(await settled(), "jim");
      assert.match(findings[0]?.text ?? "", said);
      assert.match(findings[0]?.text ?? "", /the version before stays in force/);
      assert.match(table.health?.().text ?? "", /the version before is in force/);
      await writeFile(file, good);
      assert.equal(await settled(), "jane");
      assert.equal(findings.length, 1);
    }
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
  assert.partialDeepStrictEqual(await file.current(), { ok: true, text: "a b\n", version: 0 });
});

test("a pipe, a device, a directory and a file beyond all bounds in a table's place are told at once, and the version before stays", async () => {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-table-"));
  try {
    const path = join(directory, "users");
    execFileSync("mkfifo", [join(directory, "pipe")]);
    await symlink("/dev/zero", join(directory, "zero"));
    await symlink("/dev/tty", join(directory, "tty"));
    await writeFile(join(directory, "huge"), "");
    await truncate(join(directory, "huge"), 65 * 1024 * 1024);
    for (const [name, words] of [
      ["pipe", /pipe is no regular file/],
      ["zero", /zero is no regular file/],
      ["tty", /tty is no regular file|ENXIO|ENOENT/],
      ["huge", /huge is larger than 64 MiB/],
      [".", /EISDIR/],
    ] as const)
      await assert.rejects(readTableFile(join(directory, name)), words);

    const clock = virtualClock(0);
    const findings: string[] = [];
    const file = watchedFile("users", path, clock, ({ text }) => void findings.push(text), "joe 1\n");
    await rename(join(directory, "pipe"), path);
    const untilAt = Date.now() + 60_000;
    for (; findings.length === 0 && Date.now() < untilAt; await new Promise((resolve) => setTimeout(resolve, 5))) {
      await clock.advance(1001);
      assert.deepEqual(await file.current(), { ok: true, text: "joe 1\n", version: 0, changedAt: undefined });
    }
    assert.match(findings.join("\n"), /is no regular file; the version before stays in force/);
    // What takes its place is taken: nothing hangs at the pipe.
    await writeFile(join(directory, "new"), "joe 2\n");
    await rename(join(directory, "new"), path);
    for (let text = ""; text !== "joe 2\n" && Date.now() < untilAt;) {
      await clock.advance(1001);
      const now = await file.current();
      text = now.ok ? now.text : "";
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const now = await file.current();
    assert.equal(now.ok && now.text, "joe 2\n");
  } finally {
    await rm(directory, { recursive: true });
  }
});
