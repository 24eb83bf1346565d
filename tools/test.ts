/**
 * The test command. Tests of pure files share one process and take seconds; everything that touches the world runs in
 * a process a file. Options:
 *   --require-peers    a missing peer (postfix, swaks, strace, ...) is a failure instead of a skip
 *   --only SUITE       one of: pure, io, end-to-end, crash, interop, tls, install, peers
 *   --match TEXT       only files whose path contains TEXT
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const ROOT = resolve(import.meta.dirname, "..");
const { values } = parseArgs({
  options: {
    "require-peers": { type: "boolean", default: false },
    only: { type: "string" },
    match: { type: "string" },
  },
});

interface Suite {
  readonly name: string;
  readonly files: readonly string[];
  readonly isolation: "none" | "process";
  /** Files at once. Suites that measure time or start whole servers run alone. */
  readonly concurrency: number;
  readonly inDefault: boolean;
  /** Starts split servers, whose processes load emitted JavaScript in half the time that the sources take. */
  readonly startsServers?: boolean;
  /** The longest that one test may take. */
  readonly timeoutMs: number;
}

const LONG_MS = 240_000;
const glob = (pattern: string): string[] => globSync(pattern, { cwd: ROOT }).sort();
const inSources = glob("src/**/*.test.ts");
const suites: readonly Suite[] = [
  {
    name: "pure",
    files: [...inSources.filter((file) => !file.endsWith(".io.test.ts")), ...glob("tools/**/*.test.ts")],
    isolation: "none",
    concurrency: 1,
    inDefault: true,
    timeoutMs: 20_000,
  },
  {
    name: "io",
    files: inSources.filter((file) => file.endsWith(".io.test.ts")),
    isolation: "process",
    concurrency: 2,
    inDefault: true,
    timeoutMs: LONG_MS,
  },
  {
    name: "end-to-end",
    files: glob("test/end-to-end/**/*.test.ts"),
    isolation: "process",
    concurrency: 3,
    startsServers: true,
    inDefault: true,
    timeoutMs: LONG_MS,
  },
  {
    name: "crash",
    files: glob("test/crash/**/*.test.ts"),
    isolation: "process",
    concurrency: 2,
    startsServers: true,
    inDefault: true,
    timeoutMs: LONG_MS,
  },
  {
    name: "interop",
    files: glob("test/interop/**/*.test.ts"),
    isolation: "process",
    concurrency: 2,
    startsServers: true,
    inDefault: true,
    timeoutMs: LONG_MS,
  },
  {
    name: "tls",
    files: glob("test/tls/**/*.test.ts"),
    isolation: "process",
    concurrency: 2,
    inDefault: true,
    timeoutMs: LONG_MS,
  },
  {
    name: "install",
    files: glob("test/install/**/*.test.ts"),
    isolation: "process",
    concurrency: 1,
    startsServers: true,
    inDefault: true,
    timeoutMs: LONG_MS,
  },
  {
    name: "peers",
    files: glob("test/peers/**/*.test.ts"),
    isolation: "process",
    concurrency: 1,
    startsServers: true,
    inDefault: false,
    timeoutMs: LONG_MS,
  },
];

if (values.only !== undefined && !suites.some((suite) => suite.name === values.only)) {
  process.stderr.write(
    `test: unknown suite ${values.only}; there are ${suites.map((suite) => suite.name).join(", ")}\n`,
  );
  process.exit(2);
}

/** Installed servers run emitted JavaScript, those in a clone the sources: split ones stand for the first, single ones for the second. */
let emitted: Readonly<Record<string, string>> | undefined;
function emit(): Readonly<Record<string, string>> {
  const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const built = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { cwd: ROOT, stdio: "inherit" });
  if (built.status === 0) return { POSTHORN_SPLIT_FROM: "emitted" };
  process.stdout.write("test: the program does not compile; split servers run from the sources too\n");
  return {};
}

let ran = 0;
let failed = 0;
for (const suite of suites) {
  if (values.only === undefined ? !suite.inDefault : suite.name !== values.only) continue;
  const files = suite.files.filter((file) => values.match === undefined || file.includes(values.match));
  if (files.length === 0) continue;
  ran += files.length;
  process.stdout.write(`\n── ${suite.name}: ${files.length} files\n`);
  const startedAt = performance.now();
  if (suite.startsServers === true) emitted ??= emit();
  const run = spawnSync(
    process.execPath,
    [
      "--disable-warning=ExperimentalWarning",
      "--test",
      `--test-isolation=${suite.isolation}`,
      ...(suite.isolation === "process" ? [`--test-concurrency=${suite.concurrency}`] : []),
      `--test-timeout=${suite.timeoutMs}`,
      `--test-reporter=${join(ROOT, "tools", "test-reporter.ts")}`,
      "--test-reporter-destination=stdout",
      ...files,
    ],
    {
      cwd: ROOT,
      stdio: "inherit",
      env: { ...process.env, ...emitted, ...(values["require-peers"] ? { POSTHORN_REQUIRE_PEERS: "1" } : {}) },
    },
  );
  process.stdout.write(`── ${suite.name}: ${((performance.now() - startedAt) / 1000).toFixed(1)} s\n`);
  if (run.status !== 0) failed++;
}
if (ran === 0) process.stderr.write("test: no file's path matches, so nothing was tested\n");
process.exitCode = failed === 0 && ran > 0 ? 0 : 1;
