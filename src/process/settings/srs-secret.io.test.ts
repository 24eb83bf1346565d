import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { problemLine } from "../../service/config/config.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { loadSettings, type LoadedSettings } from "./load-settings.ts";
import type { Role } from "../split/roles.ts";
import { loadedFor } from "../split/role-settings.ts";
import { withSrsSecret } from "./srs-secret.ts";

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "posthorn-srs-"));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function load(folder: string, yaml: string): Promise<{ loaded?: LoadedSettings; lines: readonly string[] }> {
  await writeFile(join(folder, "posthorn.yaml"), yaml);
  const loaded = await loadSettings({
    file: join(folder, "posthorn.yaml"),
    directory: folder,
    clock: virtualClock(0),
    isKeptElsewhere: () => true,
  });
  const lines = (loaded.ok ? loaded.value.warnings : loaded.problem).map(problemLine);
  return loaded.ok ? { loaded: loaded.value, lines } : { lines };
}

test("a server without a secret makes one at its start, keeps it to itself and finds it again", () =>
  inFolder(async (folder) => {
    const yaml = `state: ${folder}\nsrs: {}\n`;
    const { loaded } = await load(folder, yaml);
    assert.deepEqual(loaded?.secrets.srs, [], "a check makes nothing");
    const started = withSrsSecret(loaded);
    const [secret] = started.secrets.srs ?? [];
    assert.match(secret ?? "", /^[\w-]{43}$/);
    const file = join(folder, "srs-secret");
    assert.equal(await readFile(file, "utf8"), `${secret}\n`);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.deepEqual((await load(folder, yaml)).loaded?.secrets.srs, [secret]);
    // Somebody else was faster: theirs counts.
    assert.deepEqual(withSrsSecret(loaded).secrets.srs, [secret]);
  }));

test("without SRS nothing is made", () =>
  inFolder(async (folder) => {
    const { loaded } = await load(folder, `state: ${folder}\n`);
    assert.ok(loaded !== undefined);
    assert.equal(withSrsSecret(loaded), loaded);
    assert.equal(loaded.secrets.srs, undefined);
  }));

test("files are read in their order; one that is missing or empty is an error, a short secret a warning", () =>
  inFolder(async (folder) => {
    await writeFile(join(folder, "new"), "0123456789abcdef\nmore\n");
    await writeFile(join(folder, "old"), "short\n");
    await writeFile(join(folder, "empty"), "\n");
    const { loaded, lines } = await load(folder, "srs: { secret-files: [new, old] }\n");
    assert.deepEqual(loaded?.secrets.srs, ["0123456789abcdef", "short"]);
    assert.match(lines.join("\n"), /warning: srs\.secret-files\[1\]: .*can be guessed/);
    const broken = await load(folder, "srs: { secret-files: [empty, gone] }\n");
    assert.match(broken.lines.join("\n"), /srs\.secret-files\[0\]: .*empty has an empty first line/);
    assert.match(broken.lines.join("\n"), /srs\.secret-files\[1\]: .*gone does not exist/);
  }));

test("only those who ask the rules get the secret", () =>
  inFolder(async (folder) => {
    await writeFile(join(folder, "secret"), "0123456789abcdef\n");
    const { loaded } = await load(folder, "srs: { secret-files: secret }\n");
    assert.ok(loaded !== undefined);
    const roles: readonly Role[] = ["log", "scheduler", "egress", "delivery", "ingress", "lookup", "keeper", "acme"];
    assert.deepEqual(
      roles.filter((role) => JSON.stringify(loadedFor(role, loaded)).includes("0123456789abcdef")),
      ["scheduler", "ingress"],
    );
  }));
