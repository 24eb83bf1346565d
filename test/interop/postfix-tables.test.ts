import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { cdbBackend } from "../../src/service/table/cdb/cdb.io.ts";
import { makeCdb } from "../../src/service/table/cdb/make-cdb.io.ts";
import { hasPeer, inPeer } from "../peers/running.ts";

const run = promisify(execFile);

test("Postfix asks indexed files that makemap made, and makes such as we ask", async (t) => {
  if (!hasPeer("postfix-cdb", t)) return;
  const directory = await mkdtemp(join(tmpdir(), "posthorn-postfix-cdb-"));
  try {
    const virtual = join(directory, "virtual");
    const aliases = join(directory, "aliases");
    await writeFile(virtual, "Joe@example.org jane, jim\n@example.org root\n");
    await writeFile(aliases, "Postmaster: root\nroot: joe,\n  jane\n");
    const postfix = async (...command: string[]): Promise<string> => {
      const [program, argv] = inPeer("postfix-cdb", command);
      return (await run(program, [...argv])).stdout.trim();
    };
    const ours = async (file: string, key: string): Promise<string> => {
      const backend = cdbBackend("t", { file }, { clock: systemClock, onFinding: () => {} });
      const answer = await backend.get(key, { service: "alias" });
      await backend.close();
      return answer.kind === "found" ? answer.value : answer.kind;
    };
    await postfix("postmap", `cdb:${virtual}`);
    await postfix("postalias", `cdb:${aliases}`);
    assert.equal(await ours(`${virtual}.cdb`, "joe@example.org"), "jane, jim");
    assert.equal(await ours(`${virtual}.cdb`, "@example.org"), "root");
    assert.equal(await ours(`${virtual}.cdb`, "nobody@example.org"), "none");
    assert.equal(await ours(`${aliases}.cdb`, "root"), "joe, jane");

    assert.ok((await makeCdb(virtual, "file")).ok);
    assert.ok((await makeCdb(aliases, "aliases")).ok);
    assert.equal(await postfix("postmap", "-q", "joe@example.org", `cdb:${virtual}`), "jane, jim");
    assert.equal(await postfix("postmap", "-q", "@example.org", `cdb:${virtual}`), "root");
    assert.equal(await postfix("postalias", "-q", "root", `cdb:${aliases}`), "joe, jane");
    await assert.rejects(postfix("postalias", "-q", "nobody", `cdb:${aliases}`), { code: 1 });
  } finally {
    await rm(directory, { recursive: true });
  }
});
