import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { sweepUnfinished, writeWhole } from "./whole-file.io.ts";

async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "posthorn-whole-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

test("a file is there as a whole, with its mode, in the place of one before", async () => {
  await using place = await folder();
  const file = join(place.path, "key.pem");
  await writeWhole(file, "one", 0o600);
  await writeWhole(file, Buffer.from("two"), 0o600);
  assert.equal(await readFile(file, "utf8"), "two");
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  await writeWhole(file, (handle) => handle.writeFile("three"), 0o600);
  assert.equal(await readFile(file, "utf8"), "three");
  assert.deepEqual(await readdir(place.path), ["key.pem"]);
});

test("what cannot be written leaves nothing, wherever it fails", async () => {
  await using place = await folder();
  await mkdir(join(place.path, "taken"));
  await assert.rejects(writeWhole(join(place.path, "taken"), "a key", 0o600));
  await assert.rejects(
    writeWhole(join(place.path, "other"), () => Promise.reject(new Error("the disk is full")), 0o600),
    /disk is full/,
  );
  assert.deepEqual(await readdir(place.path), ["taken"]);
});

test("what a crash left is swept when nobody can be at it any more; other files never", async () => {
  await using place = await folder();
  const nowAt = Date.now();
  const names = [".9f8511b5-21f9-41dd-b99d-5df9b7bdcabe", ".d391c1b3-b70f-4957-a18d-906efbd31923", ".keep", "key.pem"];
  for (const name of names) await writeFile(join(place.path, name), "x");
  for (const name of names.slice(1)) await utimes(join(place.path, name), nowAt / 1000, nowAt / 1000 - 7200);
  await sweepUnfinished(place.path, nowAt);
  assert.deepEqual(new Set(await readdir(place.path)), new Set([names[0], ".keep", "key.pem"]));
  await sweepUnfinished(join(place.path, "missing"), nowAt);
});
