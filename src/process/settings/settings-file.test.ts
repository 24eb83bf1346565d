import assert from "node:assert/strict";
import { chmod, chown, lchown, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findSettingsFile } from "./settings-file.ts";

async function withSettings(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-settings-"));
  try {
    await writeFile(join(directory, "posthorn.config.ts"), "export default {};\n", { mode: 0o600 });
    await work(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

test("settings are found in the directory or the system's, by root only in the system's", async () => {
  await withSettings(async (directory) => {
    assert.equal(await findSettingsFile(directory, false), join(directory, "posthorn.config.ts"));
    await writeFile(join(directory, "posthorn.yaml"), "");
    assert.equal(await findSettingsFile(directory, false), join(directory, "posthorn.yaml"));
    const told: string[] = [];
    const found = await findSettingsFile(directory, true, (text) => told.push(text));
    assert.notEqual(found, join(directory, "posthorn.yaml"));
    // On a machine with settings there is nothing to tell.
    if (found === undefined)
      assert.match(told[0] ?? "", /posthorn\.yaml is passed over, and there are no settings in \/etc\/posthorn: .* -f/);
  });
});

test("settings that somebody else may have laid where one happens to be are passed over, and that is told", async () => {
  await withSettings(async (directory) => {
    const file = join(directory, "posthorn.config.ts");
    const told: string[] = [];
    const find = () => findSettingsFile(directory, false, (text) => told.push(text));
    await chmod(file, 0o666);
    assert.notEqual(await find(), file);
    assert.deepEqual(told.splice(0), [
      `${file} is passed over: everybody may write to it; name it with its option if it is meant`,
    ]);
    await chmod(file, 0o664);
    assert.equal(await find(), file);
    if (process.getuid?.() !== 0) return;
    await chown(file, 60_001, 60_001);
    assert.notEqual(await find(), file);
    assert.match(told.splice(0).join(), /it belongs to somebody else \(uid 60001\)/);
    // Nor one of ours that somebody else has put a link to.
    await chown(file, 0, 0);
    await symlink(file, join(directory, "posthorn.yaml"));
    await lchown(join(directory, "posthorn.yaml"), 60_001, 60_001);
    assert.equal(await find(), file);
    assert.match(told.join(), /posthorn\.yaml is passed over: it belongs to somebody else/);
  });
});
