import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { problemLine } from "../../service/config/config.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { loadSettings } from "../settings/load-settings.ts";

/** What the check says of these settings. */
async function tells(yaml: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "posthorn-check-"));
  try {
    const file = join(folder, "posthorn.yaml");
    await writeFile(file, yaml);
    const loaded = await loadSettings({ file, directory: folder, clock: virtualClock(0), isKeptElsewhere: () => true });
    return (loaded.ok ? loaded.value.warnings : loaded.problem).map(problemLine).join("\n");
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("senders that no command can carry are refused where they are written", async () => {
  const text = await tells("actions:\n  out: { relay: {}, as: '<a@b>' }\n  in: { relay: {}, as: '@' }\n");
  assert.match(text, /posthorn\.yaml:2:\d+: actions\.out\.as: expected/);
  assert.match(text, /posthorn\.yaml:3:\d+: actions\.in\.as: expected/);
  assert.match(await tells("actions: { no: { reject: {}, as: a@b.example } }\n"), /what is refused has no sender/);
});

test("SRS that is asked for and is off, or can have no effect, is told", async () => {
  assert.match(
    await tells("actions: { out: { relay: {}, srs: true } }\n"),
    /warning: actions\.out\.srs: has no effect: SRS is off/,
  );
  assert.match(
    await tells("srs: {}\nactions: { box: { deliver: maildir, srs: true } }\n"),
    /warning: actions\.box\.srs: has no effect: only mail that is relayed/,
  );
  assert.match(
    await tells("srs: {}\nactions: { out: { relay: {}, srs: true, as: a@b.example } }\n"),
    /warning: actions\.out\.srs: as goes before srs/,
  );
  assert.equal(await tells("srs: {}\nactions: { out: { relay: {}, srs: false } }\n"), "");
});

test("a rule that refuses has no sender; a table of VERP senders must be there", async () => {
  assert.match(
    await tells("actions: { no: { reject: {} } }\nrules: [{ action: no, as: a@b.example }]\n"),
    /rules\[0\]\.as: what is refused has no sender/,
  );
  assert.match(await tells("verp: { senders: 'table:lists' }\n"), /verp\.senders: there is no table lists/);
  assert.match(await tells("verp: { delimiters: '@=' }\n"), /verp\.delimiters: expected two characters of - = \+/);
});

test("masquerading names listeners that exist, and domains that can be reached", async () => {
  assert.match(
    await tells("masquerade: { domains: [example.org], listeners: [submision] }\n"),
    /masquerade\.listeners\[0\]: there is no listener submision; did you mean submission\?/,
  );
  assert.match(
    await tells("masquerade: { domains: [example.org, dept.example.org] }\n"),
    /warning: masquerade\.domains\[1\]: is never reached: example\.org in front of it/,
  );
  assert.equal(await tells("masquerade: { domains: [dept.example.org, '!pc.example.org', example.org] }\n"), "");
});
