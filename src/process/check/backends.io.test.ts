import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { seededRandom } from "../../foundation/random.ts";
import { problemLine } from "../../service/config/config.ts";
import { checkBackends } from "./backends.ts";
import { loadSettings } from "../settings/load-settings.ts";

test("a database that cannot be reached is a warning, at the setting that names it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "posthorn-check-"));
  try {
    const file = join(folder, "posthorn.yaml");
    await writeFile(
      file,
      `state: ${folder}
tables:
  users:
    postgres:
      hosts: 127.0.0.1:1
      database: mail
      user: posthorn
      password: secret
      queries:
        alias: select target from alias where address = :key
  names: { map: { a: b } }
`,
    );
    const loaded = await loadSettings({ file, directory: folder, clock: systemClock, isKeptElsewhere: () => true });
    assert.ok(loaded.ok);
    assert.deepEqual(loaded.value.secrets.tables, { users: "secret" });
    assert.doesNotMatch(JSON.stringify(loaded.value.settings), /secret/);
    const problems = await checkBackends(loaded.value, { clock: systemClock, random: seededRandom(1) });
    assert.equal(problems.length, 1);
    const line = problems.map(problemLine).join();
    assert.ok(line.startsWith(`${file}:5:`), line);
    assert.match(line, /warning: tables\.users\.postgres\.hosts: postgres 127\.0\.0\.1:1: connect ECONNREFUSED/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
