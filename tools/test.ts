/**
 * The test command. Tests of pure files share one process and take seconds; everything that touches the world runs in
 * a process a file. Options:
 *   --require-peers    a missing peer (postfix, swaks, strace, ...) is a failure instead of a skip
 *   --only SUITE,...   some of: pure, io, end-to-end, crash, interop, tls, fuzz, install; hosts, attacks, faults and peers, which else are left out
 *   --match TEXT       only files whose path contains TEXT
 *   --seed N|random    the seed of properties, else always the same: a change is judged by itself, not by luck
 *   --runs TIMES       each property runs so many times its usual runs; with --seed random that looks for new failures
 */
import { spawnSync } from "node:child_process";
import { randomInt } from "node:crypto";
import { globSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { scriptArguments } from "./script-arguments.ts";

const ROOT = resolve(import.meta.dirname, "..");
const { values } = scriptArguments({
  options: {
    "require-peers": { type: "boolean", default: false },
    only: { type: "string" },
    match: { type: "string" },
    seed: { type: "string", default: "1982" },
    runs: { type: "string", default: "1" },
  },
});

const seed = values.seed === "random" ? randomInt(2 ** 31) : Number(values.seed);
const runs = Number(values.runs);
if (!Number.isInteger(seed) || !(runs > 0)) {
  process.stderr.write("test: --seed takes a whole number or random, --runs a number above 0\n");
  process.exit(2);
}

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

/** A suite that stands still (a server that a test left behind, for one) is ended then, so that what failed is told. */
const LONGEST_SUITE_MS = 25 * 60_000;

const LONG_MS = 240_000;
const glob = (pattern: string): string[] => globSync(pattern, { cwd: ROOT }).sort();
const inSources = glob("src/**/*.test.ts");
const suites: readonly Suite[] = [
  {
    name: "pure",
    files: [
      ...inSources.filter((file) => !file.endsWith(".io.test.ts")),
      ...glob("tools/**/*.test.ts"),
      ...glob("bench/**/*.test.ts"),
    ],
    isolation: "none",
    concurrency: 1,
    inDefault: true,
    timeoutMs: 60_000,
  },
  {
    name: "io",
    files: inSources.filter((file) => file.endsWith(".io.test.ts")),
    isolation: "process",
    concurrency: 3,
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
    name: "fuzz",
    files: glob("test/fuzz/**/*.test.ts"),
    isolation: "none",
    concurrency: 1,
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
    // Whole servers of which each test starts several: the ordinary command has no time for them.
    name: "hosts",
    files: glob("test/hosts/**/*.test.ts"),
    isolation: "process",
    concurrency: 2,
    startsServers: true,
    inDefault: false,
    timeoutMs: LONG_MS,
  },
  {
    // Known attacks on whole servers, as docs/security.md lists them.
    name: "attacks",
    files: glob("test/attacks/**/*.test.ts"),
    isolation: "process",
    concurrency: 2,
    startsServers: true,
    inDefault: false,
    timeoutMs: LONG_MS,
  },
  {
    // Whole servers for minutes, several beside each other.
    name: "faults",
    files: glob("test/faults/**/*.test.ts"),
    isolation: "process",
    concurrency: 1,
    startsServers: true,
    inDefault: false,
    timeoutMs: 2 * LONG_MS,
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

const only = values.only?.split(",");
const unknown = only?.find((name) => !suites.some((suite) => suite.name === name));
if (unknown !== undefined) {
  process.stderr.write(`test: unknown suite ${unknown}; there are ${suites.map((suite) => suite.name).join(", ")}\n`);
  process.exit(2);
}

/** Installed servers run emitted JavaScript, those in a clone the sources: split ones stand for the first, single ones for the second. */
let emitted: Readonly<Record<string, string>> | undefined;
function emit(): Readonly<Record<string, string>> {
  const build = join(ROOT, "tools", "build.ts");
  const built = spawnSync(process.execPath, [build, "--javascript"], { cwd: ROOT, stdio: "inherit" });
  if (built.status === 0) return { POSTHORN_SPLIT_FROM: "emitted" };
  process.stdout.write("test: the program cannot be built; split servers run from the sources too\n");
  return {};
}

process.stdout.write(`test: properties with seed ${seed}${runs === 1 ? "" : `, ${runs} times their runs`}\n`);
let ran = 0;
let failed = 0;
for (const suite of suites) {
  if (only === undefined ? !suite.inDefault : !only.includes(suite.name)) continue;
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
      // The runner hands this on to the process of each file.
      `--import=${pathToFileURL(join(ROOT, "tools", "property-seed.ts")).href}`,
      "--test",
      `--test-isolation=${suite.isolation}`,
      ...(suite.isolation === "process" ? [`--test-concurrency=${suite.concurrency}`] : []),
      `--test-timeout=${suite.timeoutMs * Math.max(1, runs)}`,
      `--test-reporter=${join(ROOT, "tools", "test-reporter.ts")}`,
      "--test-reporter-destination=stdout",
      ...files,
    ],
    {
      cwd: ROOT,
      stdio: "inherit",
      timeout: LONGEST_SUITE_MS * Math.max(1, runs),
      env: {
        ...process.env,
        ...emitted,
        ...(values["require-peers"] ? { POSTHORN_REQUIRE_PEERS: "1" } : {}),
        POSTHORN_SEED: String(seed),
        POSTHORN_RUNS: String(runs),
      },
    },
  );
  process.stdout.write(`── ${suite.name}: ${((performance.now() - startedAt) / 1000).toFixed(1)} s\n`);
  if (run.error !== undefined)
    process.stdout.write(
      `FAILED: ${suite.name} was ended after ${LONGEST_SUITE_MS / 60_000} minutes: it stood still\n`,
    );
  if (run.status !== 0) failed++;
}
if (ran === 0) process.stderr.write("test: no file's path matches, so nothing was tested\n");
process.exitCode = failed === 0 && ran > 0 ? 0 : 1;
