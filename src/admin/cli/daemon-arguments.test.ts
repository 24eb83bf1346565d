import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDaemonArguments, type DaemonArguments } from "./daemon-arguments.ts";

const run = (isForeground: boolean, isVerbose: boolean, settingsFile?: string): DaemonArguments => ({
  do: "run",
  isForeground,
  isVerbose,
  settingsFile,
});

test("foreground and verbose are two things, and -dv is both", () => {
  for (const [argv, expected] of [
    [[], run(false, false)],
    [["-d"], run(true, false)],
    [["-v"], run(false, true)],
    [["-dv"], run(true, true)],
    [["-d", "-v"], run(true, true)],
    [["--foreground", "--verbose"], run(true, true)],
    [["-d", "-f", "x.yaml"], run(true, false, "x.yaml")],
    [["-dvf", "x.yaml"], run(true, true, "x.yaml")],
    [["-n"], { do: "check", settingsFile: undefined }],
    [["-n", "-f", "x.yaml"], { do: "check", settingsFile: "x.yaml" }],
    [["--help"], { do: "help" }],
    [["-h"], { do: "help" }],
    [["--version"], { do: "version" }],
  ] as const)
    assert.deepEqual(parseDaemonArguments(argv), { ok: true, value: expected }, argv.join(" "));
});

test("what is wrong is told with what to do", () => {
  for (const [argv, words] of [
    [["--forground"], /unknown option --forground; did you mean --foreground\?/],
    [["-x"], /-x/],
    [["-f"], /argument missing|-f/],
    [["settings.yaml"], /settings\.yaml/],
  ] as const) {
    const result = parseDaemonArguments(argv);
    assert.ok(!result.ok, argv.join(" "));
    assert.match(result.problem, words);
    assert.match(result.problem, /posthornd --help says how to use it\n$/);
    assert.doesNotMatch(result.problem, /\n\s+at /);
  }
});
