import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { domainTerms } from "../../mail/route/terms.ts";
import { locate, problemLine } from "../../service/config/config.ts";
import { loadSettings, type LoadedSettings } from "../settings/load-settings.ts";

async function load(
  yaml: string,
  files: Readonly<Record<string, string>> = {},
): Promise<readonly string[] | LoadedSettings> {
  const directory = await mkdtemp(join(tmpdir(), "posthorn-routes-"));
  try {
    const file = join(directory, "posthorn.yaml");
    for (const [name, text] of Object.entries({ ...files, "posthorn.yaml": yaml }))
      await writeFile(join(directory, name), text);
    const loaded = await loadSettings({ file, directory, clock: systemClock });
    const plain = (lines: readonly string[]): readonly string[] =>
      lines.map((line) => line.replaceAll(`${directory}/`, ""));
    return loaded.ok ? loaded.value : plain(loaded.problem.map(problemLine));
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function problemsOf(yaml: string, files?: Readonly<Record<string, string>>): Promise<readonly string[]> {
  const loaded = await load(yaml, files);
  assert.ok("length" in loaded, "it should have been refused");
  return loaded;
}

test("wrong patterns, limits, rates, pools and tables are refused with their place and the nearest name", async () => {
  const problems = await problemsOf(`route:
  shaping:
    "192.0.2.1": { connections: 2 }
    "foo.*.example": { connections: 2 }
    example.net: { connections-per-source: 1 }
`);
  assert.equal(problems.length, 3, problems.join("\n"));
  assert.match(
    problems[0] ?? "",
    /^posthorn\.yaml:3:5: route\.shaping\.192\.0\.2\.1: an address is a host's: expected mx:192\.0\.2\.1/,
  );
  assert.match(problems[1] ?? "", /^posthorn\.yaml:4:5: .*whole labels/);
  assert.match(problems[2] ?? "", /^posthorn\.yaml:5:20: .*goes with a pattern mx:/);
  const values = await problemsOf(`route:
  shaping:
    example.org: { rate: 100/fortnight }
    "mx:*.example.net": { conections: 2 }
`);
  assert.equal(values.length, 2, values.join("\n"));
  assert.match(values[0] ?? "", /^posthorn\.yaml:3:20: .*a rate such as 100\/min/);
  assert.match(values[1] ?? "", /^posthorn\.yaml:4:27: .*unknown name; did you mean connections/);
  const later = await problemsOf(`route:
  shaping:
    example.com: { sources: pool:bluk }
  pools:
    bulk: [127.0.0.2]
  shaping-table: table:shapping
actions:
  out: { relay: { sources: pool:none, source: 127.0.0.3 } }
tables:
  shaping: { list: [] }
`);
  assert.match(later.join("\n"), /posthorn\.yaml:8:\d+: .*expected either source or sources/);
  const last = await problemsOf(`route:
  shaping:
    example.com: { sources: pool:bluk }
  pools:
    bulk: [127.0.0.2]
  shaping-table: table:shapping
actions:
  out: { relay: { sources: pool:none } }
tables:
  shaping: { list: [] }
`);
  assert.deepEqual(last, [
    "posthorn.yaml:3:20: route.shaping.example.com.sources: there is no pool bluk in route.pools; did you mean bulk?",
    "posthorn.yaml:6:3: route.shaping-table: there is no table shapping; did you mean shaping?",
    "posthorn.yaml:8:19: actions.out.relay.sources: there is no pool none in route.pools; there are: bulk",
  ]);
});

test("a table's rules are merged with the settings', which come first, and say their line", async () => {
  const loaded = await load(
    `route:
  shaping:
    example.org: { connections: 3 }
  shaping-table: table:limits
tables:
  limits: { file: limits }
`,
    {
      limits:
        "# by destination\nexample.org   connections=9\n*.example.net rate=100/min together.connections=4\nmx:*.l.google.com  connections=20\n",
    },
  );
  assert.ok(!("length" in loaded));
  const { settings, origins } = loaded;
  assert.equal(domainTerms(settings.route, "example.org").domain.value, 3);
  const { rate, groups } = domainTerms(settings.route, "a.example.net");
  assert.deepEqual(rate?.value, { count: 100, perMs: 60_000 });
  assert.match(locate(origins, rate.path), /\/limits:3:1$/);
  assert.match(locate(origins, groups[0]?.connections?.path ?? []), /\/limits:3:1$/);
  assert.match(locate(origins, domainTerms(settings.route, "example.org").domain.path), /posthorn\.yaml:3:20$/);
  assert.equal(locate(origins, domainTerms(settings.route, "other.example").domain.path), "default");
});

test("a table's wrong lines are refused with their line", async () => {
  const yaml = "route: { shaping-table: table:limits }\ntables:\n  limits: { file: limits }\n";
  const problems = await problemsOf(yaml, {
    limits: "example.org conections=2\nmx:\n*.a.example rate=1/s\n*.A.example rate=2/s\n",
  });
  assert.deepEqual(
    [...new Set(problems.map((line) => line.split(": ")[0]))],
    ["limits:1:1", "limits:2:1", "limits:4:1"],
  );
  assert.match(problems[0] ?? "", /unknown name conections; did you mean connections/);
  assert.match(problems.at(-1) ?? "", /means the same as \*\.a\.example/);
  const inPlace = await problemsOf(
    "route: { shaping-table: table:limits }\ntables:\n  limits: { map: { a.example: fast } }\n",
  );
  assert.match(inPlace[0] ?? "", /^posthorn\.yaml:3:\d+: tables\.limits\.map\.a\.example: expected name=value/);
});

test("an address that is not this machine's is warned of; one with two sets of limits is refused", async () => {
  const loaded = await load("route:\n  sources:\n    - 127.0.0.9\n    - { address: 192.0.2.99, weight: 2 }\n");
  assert.ok(!("length" in loaded));
  assert.equal(loaded.warnings.length, 1);
  assert.match(
    loaded.warnings.map(problemLine)[0] ?? "",
    /posthorn\.yaml:4:7: warning: .*192\.0\.2\.99 is no address of this machine/,
  );
  const problems = await problemsOf(
    "route:\n  sources: [{ address: 127.0.0.9, rate: 5/s }]\n  pools: { a: [{ address: 127.0.0.9, rate: 6/s }] }\n",
  );
  assert.match(problems.join("\n"), /posthorn\.yaml:3:\d+: .*127\.0\.0\.9 has other limits at route\.sources\.0/);
});
