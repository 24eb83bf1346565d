/** The whole gate, in seconds: types, lint, format, dead code, layers, references in step, then the pure tests. */
import { spawnSync } from "node:child_process";
import { resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "..");
const SOURCES = ["src", "test", "tools", "bench", "bin"];
const steps: readonly (readonly string[])[] = [
  ["tsc", "--noEmit"],
  ["oxlint", "--type-aware", "--deny-warnings", ...SOURCES],
  ["oxfmt", "--check", ...SOURCES],
  ["knip"],
  ["node", "tools/check-layers.ts"],
  ["node", "tools/make-reference.ts", "--check"],
  ["node", "tools/test.ts", "--only", "pure"],
];

let failed = 0;
for (const [program = "", ...argv] of steps) {
  const startedAt = performance.now();
  const run = spawnSync(program === "node" ? process.execPath : resolve(ROOT, "node_modules", ".bin", program), argv, {
    cwd: ROOT,
    stdio: "inherit",
  });
  const took = ((performance.now() - startedAt) / 1000).toFixed(1);
  process.stdout.write(`${run.status === 0 ? "ok  " : "FAIL"} ${program} ${argv.join(" ")} (${took} s)\n`);
  if (run.status !== 0) failed++;
}
process.exitCode = failed === 0 ? 0 : 1;
