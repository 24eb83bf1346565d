import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { testAuthority } from "../../../testing/test-authority.ts";
import { markOfAnchors, readAnchors, systemStores } from "./anchors.io.ts";
import { SYSTEM_ANCHORS } from "./keeper.ts";

const one = (await testAuthority("One CA")).certificatePem;
const two = (await testAuthority("Two CA")).certificatePem;

/** With these variables, in a folder of its own. */
async function inEnvironment(
  variables: (folder: string) => Readonly<Record<string, string>>,
  run: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-anchors-"));
  const before = { SSL_CERT_FILE: process.env["SSL_CERT_FILE"], SSL_CERT_DIR: process.env["SSL_CERT_DIR"] };
  const set = (values: Readonly<Record<string, string | undefined>>): void => {
    for (const name of Object.keys(before))
      if (values[name] === undefined) delete process.env[name];
      else process.env[name] = values[name];
  };
  try {
    set(variables(folder));
    await run(folder);
  } finally {
    set(before);
    rmSync(folder, { recursive: true });
  }
}

test("a file of authorities that the environment names is all that is trusted, also where there is none in it", async () => {
  await inEnvironment(
    (folder) => ({ SSL_CERT_FILE: join(folder, "ca.pem") }),
    async (folder) => {
      const file = join(folder, "ca.pem");
      const missing = await readAnchors(SYSTEM_ANCHORS);
      assert.deepEqual(missing.pems, []);
      assert.equal(missing.problem, `SSL_CERT_FILE in the server's environment: ${file} does not exist`);
      for (const text of ["", "\n", "# to come\n"]) {
        writeFileSync(file, text);
        const { pems, problem } = await readAnchors(SYSTEM_ANCHORS);
        assert.deepEqual(pems, []);
        assert.match(problem ?? "", /^SSL_CERT_FILE in .*\/ca\.pem holds no certificate in PEM form$/);
      }
      const mark = await markOfAnchors(SYSTEM_ANCHORS);
      writeFileSync(file, one);
      assert.notEqual(await markOfAnchors(SYSTEM_ANCHORS), mark);
      assert.deepEqual((await readAnchors(SYSTEM_ANCHORS)).pems, [one]);
      assert.deepEqual(systemStores(), [file]);
    },
  );
});

test("folders that the environment names are all that is trusted: what stands there under the hash of its name", async () => {
  await inEnvironment(
    (folder) => ({ SSL_CERT_DIR: `${join(folder, "certs")}:${join(folder, "more")}` }),
    async (folder) => {
      const certs = join(folder, "certs");
      assert.deepEqual((await readAnchors(SYSTEM_ANCHORS)).pems, []);
      mkdirSync(certs);
      writeFileSync(join(folder, "one.pem"), one);
      symlinkSync(join(folder, "one.pem"), join(certs, "one.pem"));
      const unnamed = await readAnchors(SYSTEM_ANCHORS);
      assert.deepEqual(unnamed.pems, []);
      assert.match(unnamed.problem ?? "", /^SSL_CERT_DIR in .*\/certs holds no certificate .* openssl rehash/);
      const mark = await markOfAnchors(SYSTEM_ANCHORS);
      symlinkSync(join(folder, "one.pem"), join(certs, "0123abcd.0"));
      // Of lists of what is revoked, with the same hash.
      writeFileSync(join(certs, "0123abcd.r0"), two);
      assert.notEqual(await markOfAnchors(SYSTEM_ANCHORS), mark);
      const half = await readAnchors(SYSTEM_ANCHORS);
      assert.deepEqual(half.pems, [one]);
      assert.match(half.problem ?? "", /^SSL_CERT_DIR in .*\/more does not exist$/);
      mkdirSync(join(folder, "more"));
      writeFileSync(join(folder, "more", "89abcdef.0"), two);
      const all = await readAnchors(SYSTEM_ANCHORS);
      assert.deepEqual([all.pems, all.problem], [[one, two], undefined]);
      assert.deepEqual(systemStores().slice(0, 2), [certs, join(certs, "*")]);
    },
  );
});

test("file and folders together are trusted together", async () => {
  await inEnvironment(
    (folder) => ({ SSL_CERT_FILE: join(folder, "ca.pem"), SSL_CERT_DIR: folder }),
    async (folder) => {
      writeFileSync(join(folder, "ca.pem"), one);
      writeFileSync(join(folder, "0123abcd.0"), one);
      writeFileSync(join(folder, "89abcdef.0"), two);
      const { pems, origin } = await readAnchors(SYSTEM_ANCHORS);
      assert.deepEqual(pems, [one, two]);
      assert.match(origin, /^SSL_CERT_FILE \(.*\/ca\.pem\) and SSL_CERT_DIR \(.*\)$/);
    },
  );
});

test("a variable without a value names nothing", async () => {
  await inEnvironment(
    () => ({ SSL_CERT_FILE: "", SSL_CERT_DIR: "" }),
    async () => {
      const { pems, problem } = await readAnchors(SYSTEM_ANCHORS);
      assert.ok(pems.length > 0);
      assert.equal(problem, undefined);
    },
  );
});
