import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { checkHooks } from "./hooks.ts";
import { loadSettings } from "../settings/load-settings.ts";

test("a module of hooks that cannot be used is an error at its place, and one that can is none", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-check-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "good.ts"), "export default { onConnect: () => undefined };");
  writeFileSync(join(folder, "bad.ts"), "export default { onConect: () => undefined };");
  const file = join(folder, "posthorn.yaml");
  writeFileSync(
    file,
    "filters:\n  good: { module: ./good.ts }\n  bad: { module: ./bad.ts }\n  gone: { module: { file: ./gone.ts, worker: true } }\nfiltered-by: [good, bad, gone]\n",
  );
  const loaded = await loadSettings({ file, directory: folder, clock: systemClock });
  assert.ok(loaded.ok);
  const problems = await checkHooks(loaded.value, systemClock);
  assert.deepEqual(
    problems.map(({ place, severity }) => [place?.line, severity]),
    [
      [3, "error"],
      [4, "error"],
    ],
  );
  assert.match(problems[0]?.text ?? "", /has onConect, and no hook is called so; did you mean onConnect\?/);
  assert.match(problems[1]?.text ?? "", /gone\.ts cannot be loaded: there is no such file/);
});

test("what a module of hooks lets slip while it is loaded is a warning of the check, and an exit an error", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-check-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  // In a process of its own: the test's would hear of it, too.
  writeFileSync(join(folder, "slips.ts"), 'Promise.reject(new Error("lost"));\nexport default { onConnect() {} };');
  writeFileSync(join(folder, "exits.ts"), "process.exit(3);\nexport default { onConnect() {} };");
  const own = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  const main = join(folder, "main.mjs");
  writeFileSync(
    main,
    `import { checkHooks } from ${own("./hooks.ts")};
     import { systemClock } from ${own("../../foundation/clock.io.ts")};
     const filters = Object.fromEntries(["slips", "exits"].map((name) => [name, { module: { file: ${JSON.stringify(folder)} + "/" + name + ".ts" } }]));
     const problems = await checkHooks({ settings: { filters }, origins: { file: "p.yaml", places: {} } }, systemClock);
     for (const { severity, text } of problems) console.log(severity + " " + text);`,
  );
  const { stdout, status } = spawnSync(process.execPath, [main], { encoding: "utf8", timeout: 30_000 });
  assert.match(
    stdout,
    /^warning .*slips\.ts fails where nobody waits for it: lost \(slips\.ts:1:16\)\nerror .*exits\.ts cannot be/,
  );
  assert.equal(status, 0);
});
