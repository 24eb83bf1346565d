import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { posthornSettings } from "../settings/settings.ts";
import { hiddenTableFiles } from "./table-files.ts";

const isRoot = process.getuid?.() === 0;

test("a table file that the server's user may not read is told, and what it costs", { skip: !isRoot }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-hidden-"));
  try {
    chmodSync(folder, 0o755);
    const file = join(folder, "people");
    writeFileSync(file, "ann {PLAIN}secret\n");
    const told = async (user = "nobody"): Promise<readonly string[]> => {
      const settings = posthornSettings.parse({ user, tables: { people: { file }, other: { list: ["x"] } } });
      return (await hiddenTableFiles(settings)).map(({ path, text }) => `${path.join(".")}: ${text}`);
    };
    chmodSync(file, 0o600);
    const [said = "", ...more] = await told();
    assert.match(said, /^tables\.people\.file: .*people may not be read by nobody.*posthorn reload/);
    assert.deepEqual(more, []);
    // Whom the group's bits let in, an access control list may say.
    for (const mode of [0o644, 0o640]) {
      chmodSync(file, mode);
      assert.deepEqual(await told(), [], mode.toString(8));
    }
    chmodSync(file, 0o600);
    assert.deepEqual(await told("nobody-at-all"), []);
    chownSync(file, 65_534, 0);
    assert.deepEqual(await told(), []);
    chmodSync(folder, 0o700);
    assert.equal((await told()).length, 1);
    chmodSync(folder, 0o755);
    rmSync(file);
    assert.deepEqual(await told(), []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
