import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../foundation/clock.io.ts";
import type { Clock } from "../../foundation/clock.ts";
import { ownModule } from "../../foundation/own-module.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { problemLine } from "./config.ts";
import { runCode } from "./run-code.io.ts";

/** What is said about a file of this code, or the data that it gave. */
async function said(files: Readonly<Record<string, string>>, clock: Clock = systemClock): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-code-"));
  try {
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
    const path = join(directory, "c.config.ts");
    const library = ownModule("process/library").href;
    const read = await runCode({ path, file: "c.config.ts", library, libraryName: "posthorn" }, clock);
    const lines = read.problems.map((problem) => problemLine(problem).replaceAll(`${directory}/`, ""));
    return read.root === undefined ? lines.join("\n") : JSON.stringify(read.root);
  } finally {
    await rm(directory, { recursive: true });
  }
}

test("a settings file ends no server: what exits, or fails where nobody waits for it, is told", async () => {
  assert.match(
    await said({ "c.config.ts": "process.exit(3);" }),
    /^c\.config\.ts: called process\.exit\(3\); it has to/,
  );
  for (const stray of ["Promise.reject(new Error('lost'));", "queueMicrotask(() => { throw new Error('lost'); });"])
    assert.match(await said({ "c.config.ts": `\n${stray}\nexport default {};` }), /^c\.config\.ts:2:\d+: lost$/);
  assert.equal(
    await said({ "c.config.ts": "await new Promise(() => {}); export default {};" }),
    "c.config.ts: awaits something that never comes",
  );
});

test("a settings file that runs in a circle is ended at its deadline, and nobody else waits for it", async () => {
  const clock = virtualClock(0);
  const answer = said({ "c.config.ts": "for (;;);" }, clock);
  const isOver = answer.then(() => true);
  while (!(await Promise.race([isOver, new Promise<false>((resolve) => setTimeout(resolve, 20, false))])))
    await clock.advance(1000);
  assert.match(await answer, /^c\.config\.ts: running the settings file took longer than 30000 ms: it waits/);
});

test("what a settings file has begun ends with it", async () => {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-begun-"));
  const trace = join(directory, "trace");
  await writeFile(trace, "");
  const code = `import { appendFileSync } from "node:fs"; setInterval(() => appendFileSync(${JSON.stringify(trace)}, "x"), 5);`;
  assert.match(await said({ "c.config.ts": `${code} export default { hostname: "a" };` }), /"value":"a"/);
  await new Promise((resolve) => setTimeout(resolve, 200));
  const { size } = await stat(trace);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal((await stat(trace)).size, size);
  await rm(directory, { recursive: true });
});

test("where code of a settings file is wrong is told: its line, that of an import, that of an imported file", async () => {
  const [helper, importing] = [
    "export const host = process.env.NOWHERE.trim();",
    'import { host } from "./host.ts";\n',
  ];
  for (const [line, files] of [
    [/^c\.config\.ts:2:7: mine$/, { "c.config.ts": '\nthrow new Error("mine");' }],
    [/^c\.config\.ts:2:22: Cannot find module .*host\.ts/, { "c.config.ts": `\n${importing}export default {};` }],
    [
      /^c\.config\.ts: Cannot read properties of undefined \(reading 'trim'\) \(host\.ts:1:\d+\)$/,
      { "c.config.ts": `${importing}export default { host };`, "host.ts": helper },
    ],
    [
      /^c\.config\.ts: .* \(host\.ts:2:\d+\)$/,
      { "c.config.ts": `${importing}export default {};`, "host.ts": "\nexport [" },
    ],
    [/^c\.config\.ts: threw "text", which is no Error/, { "c.config.ts": 'throw "text";' }],
    // It goes on without the first.
    [
      /^c\.config\.ts:3:14: Cannot find module .*gone\.ts' imported from c\.config\.ts$/,
      { "c.config.ts": 'await import("./perhaps.ts").catch(() => {});\n\nawait import("./gone.ts");' },
    ],
    [
      /^c\.config\.ts: Cannot find module .*gone\.ts' imported from host\.ts \(host\.ts:2:8\)$/,
      { "c.config.ts": importing, "host.ts": '\nimport "./gone.ts";' },
    ],
    // Nobody waits for it.
    [
      /^c\.config\.ts: Cannot find module .*gone\.ts' imported from c\.config\.ts$/,
      { "c.config.ts": 'import("./gone.ts"); export default {};' },
    ],
  ] as const)
    assert.match(await said(files), line);
});

test("a file that was imported is read afresh each time", async () => {
  const files = { "c.config.ts": 'import { host } from "./host.js";\nexport default { host };', "package.json": "{}" };
  const of = (host: string): Promise<string> => said({ ...files, "host.js": `exports.host = "${host}";` });
  assert.match(await of("one"), /"one"/);
  assert.match(await of("two"), /"two"/);
});
