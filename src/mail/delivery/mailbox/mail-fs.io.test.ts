import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { mailFs } from "./mail-fs.io.ts";
import { waitingMailFs } from "./waiting-mail-fs.io.ts";

const ALL = { "one that asks Node's threads": mailFs, "one that waits": waitingMailFs };

for (const [title, fs] of Object.entries(ALL)) {
  const within = (what: string, work: (at: (name: string) => string) => Promise<void>): void => {
    test(`${title}: ${what}`, async () => {
      const folder = mkdtempSync(join(tmpdir(), "posthorn-mail-fs-"));
      try {
        await work((name) => join(folder, name));
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  };

  within("a file is made once, written anywhere, read, cut and synced", async (at) => {
    const file = await fs.create(at("a"), 0o600);
    await file.writeAt(0, Buffer.from("hello world"));
    await file.writeAt(6, Buffer.from("there"));
    await file.sync();
    assert.equal((await file.readAt(0, 100)).toString(), "hello there");
    await file.truncate(5);
    assert.equal((await file.status()).sizeBytes, 5);
    await file.close();
    assert.equal(readFileSync(at("a"), "utf8"), "hello");
    assert.equal(statSync(at("a")).mode & 0o777, 0o600);
    await assert.rejects(fs.create(at("a"), 0o600), { code: "EEXIST" });
    const again = await fs.open(at("a"));
    assert.equal((await again?.readAt(1, 2))?.toString(), "el");
    await again?.close();
  });

  within("what is not there is an answer", async (at) => {
    assert.equal(await fs.open(at("none")), undefined);
    assert.equal(await fs.read(at("none"), 10), undefined);
    assert.equal(await fs.append(at("none"), Buffer.from("x")), false);
    assert.equal(await fs.unlink(at("none")), false);
    assert.equal(await fs.status(at("none")), undefined);
    assert.deepEqual(await fs.list(at("none")), []);
    await assert.rejects(fs.create(at("none/a"), 0o600), { code: "ENOENT" });
    await assert.rejects(fs.rename(at("none"), at("b")), { code: "ENOENT" });
    await assert.rejects(fs.syncDirectory(at("none")), { code: "ENOENT" });
  });

  within("links are not followed, and pipes are not waited for", async (at) => {
    writeFileSync(at("secret"), "s");
    symlinkSync(at("secret"), at("link"));
    await assert.rejects(fs.open(at("link")), { code: "ELOOP" });
    await assert.rejects(fs.read(at("link"), 10), { code: "ELOOP" });
    await assert.rejects(fs.append(at("link"), Buffer.from("x")), { code: "ELOOP" });
    assert.equal((await fs.status(at("link")))?.kind, "symlink");
    assert.equal(spawnSync("mkfifo", [at("pipe")]).status, 0);
    const pipe = await fs.read(at("pipe"), 10);
    assert.deepEqual([pipe?.status.kind, pipe?.bytes.length], ["other", 0]);
  });

  within("directories, names and the end of a file", async (at) => {
    assert.equal(await fs.makeDirectory(at("d"), 0o700), true);
    assert.equal(await fs.makeDirectory(at("d"), 0o700), false);
    await fs.syncDirectory(at("d"));
    mkdirSync(at("d/e"));
    writeFileSync(at("d/f"), "1");
    assert.deepEqual([...(await fs.list(at("d")))].toSorted(), ["e", "f"]);
    assert.equal(await fs.append(at("d/f"), Buffer.from("2")), true);
    await fs.link(at("d/f"), at("d/g"));
    await assert.rejects(fs.link(at("d/f"), at("d/g")), { code: "EEXIST" });
    assert.equal((await fs.status(at("d/f")))?.links, 2);
    await fs.rename(at("d/g"), at("d/h"));
    const read = await fs.read(at("d/h"), 1);
    assert.deepEqual([read?.bytes.toString(), read?.status.sizeBytes], ["1", 2]);
    assert.equal(read?.status.identity, (await fs.status(at("d/f")))?.identity);
    assert.equal(await fs.unlink(at("d/h")), true);
  });
}
