import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { problemLine } from "../../service/config/config.ts";
import { checkPrograms } from "./programs.ts";
import { loadSettings } from "../settings/load-settings.ts";

test("a program of the settings that is not there, or is none, is a warning at its place; a good one is not started", async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-check-programs-"));
  try {
    const file = join(folder, "posthorn.yaml");
    writeFileSync(join(folder, "text"), "no program\n", { mode: 0o644 });
    writeFileSync(join(folder, "good"), `#!/bin/sh\ntouch ${folder}/started\n`, { mode: 0o755 });
    writeFileSync(
      file,
      `state: ${folder}
filters: { f: { process: [/nonexistent/filter] } }
filtered-by: [f]
queue: { store: { process: { command: [/nonexistent/program] } } }
tables:
  good: { process: { command: [${folder}/good] } }
  found: { process: { command: [cat] } }
  text: { process: { command: [${folder}/text, x] } }
  folder: { process: { command: [${folder}] } }
`,
    );
    const loaded = await loadSettings({ file, directory: folder, clock: systemClock, isKeptElsewhere: () => true });
    assert.ok(loaded.ok);
    const lines = checkPrograms(loaded.value).map(problemLine);
    assert.equal(lines.length, 4, lines.join("\n"));
    assert.match(lines[0] ?? "", /:8:\d+: warning: tables\.text\.process\.command: .*text cannot be started: EACCES/);
    assert.match(lines[1] ?? "", /:9:\d+: warning: tables\.folder\.process\.command: .* is no file/);
    assert.match(lines[2] ?? "", /:4:\d+: warning: queue\.store\.process\.command: \/nonexistent.* does not exist/);
    assert.match(lines[3] ?? "", /:2:\d+: warning: filters\.f\.process: \/nonexistent\/filter does not exist/);
    assert.throws(() => rmSync(join(folder, "started")));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
