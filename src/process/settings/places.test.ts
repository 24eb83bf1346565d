import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import { listenersIn, loadSettings } from "./load-settings.ts";
import { placesIn, type PlacesSettings } from "./places.ts";
import { readSource } from "./settings-file.ts";

const clock = virtualClock(Date.now());

test("a client finds the running server though the settings are wrong elsewhere, or name what it may not read", async () => {
  const written = `state: ./here
control: { query: { path: ./query.sock } }
certificates: [{ certificate: ./missing.pem, key: ./missing.key }]
session: { nonsense: 1 }
`;
  const directory = await mkdtemp(join(tmpdir(), "posthorn-settings-"));
  try {
    const options = { file: join(directory, "posthorn.yaml"), directory, clock };
    const source = async () => {
      const read = await readSource(options);
      assert.ok(read.ok);
      return read.value;
    };
    const places = async (): Promise<PlacesSettings> => {
      const found = placesIn(await source());
      assert.ok(found.ok);
      return found.value;
    };
    await writeFile(options.file, written);
    assert.ok(!(await loadSettings(options)).ok);
    const first = await places();
    assert.equal(first.state, join(directory, "here"));
    assert.equal(first.control.query.path, join(directory, "query.sock"));
    assert.equal(first.hostname, hostname().toLowerCase());
    assert.equal(listenersIn(await source()).length, 3);

    await writeFile(
      options.file,
      `${written}listeners: [{ name: smtp, prot: 25 }]\nlocal: { domains: 7, nonsense: 1 }\n`,
    );
    const second = await places();
    assert.equal(second.state, join(directory, "here"));
    assert.equal(second.local.domains, undefined);
    assert.deepEqual(listenersIn(await source()), []);

    for (const name of ["local-submission", "localSubmission"]) {
      await writeFile(options.file, `${name}: { enabled: false, path: ./submit }\n`);
      const { localSubmission } = await places();
      assert.deepEqual([localSubmission.enabled, localSubmission.path], [false, join(directory, "submit")], name);
    }

    await writeFile(options.file, "state: [1, 2]\n");
    assert.ok(!placesIn(await source()).ok);
    await writeFile(options.file, "- no settings\n");
    assert.ok(!placesIn(await source()).ok);
    assert.deepEqual(listenersIn(await source()), []);
  } finally {
    await rm(directory, { recursive: true });
  }
});
