import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { PosthornError } from "../error.ts";
import { tryFfi } from "./ffi.io.ts";

const skip = tryFfi() instanceof PosthornError ? "koffi is missing" : false;

function inNode(options: readonly string[], program: string): unknown {
  const run = spawnSync(process.execPath, [...options, "--input-type=module", "-e", program], { encoding: "utf8" });
  assert.equal(run.stderr, "");
  return JSON.parse(run.stdout);
}

const module = (name: string): string => JSON.stringify(new URL(name, import.meta.url));

test("functions of the C library can be called, and tell their errors by name", { skip }, () => {
  const ffi = tryFfi();
  if (ffi instanceof PosthornError) assert.fail(ffi.message);
  assert.equal(ffi.declare("int getpid()")(), process.pid);
  assert.equal(ffi.declare("int close(int fd)")(-1), -1);
  assert.equal(ffi.lastError(), "EBADF");
});

test("nothing native is loaded before it is needed", () => {
  const loaded = inNode(
    [],
    `await import(${module("file-lock.io.ts")}); await import(${module("exit.io.ts")}); await import(${module("peer-credentials.io.ts")});
     console.log(JSON.stringify(process.report.getReport().sharedObjects.some((name) => name.includes("koffi"))))`,
  );
  assert.equal(loaded, false);
});

test("where native code is not allowed, locks refuse with advice and a peer is unknown", () => {
  const told = inNode(
    ["--permission", "--allow-fs-read=*"],
    `const { tryLockFile } = await import(${module("file-lock.io.ts")});
     const { peerCredentials } = await import(${module("peer-credentials.io.ts")});
     const tell = (work) => { try { return work() ?? null } catch (thrown) { return [thrown.code, thrown.advice] } };
     console.log(JSON.stringify([tell(() => tryLockFile(0)), tell(() => peerCredentials(0))]))`,
  );
  const refusal = ["LIBRARY_UNAVAILABLE", "start Node with --allow-addons, which its permission model asks for"];
  assert.deepEqual(told, [refusal, null]);
});
