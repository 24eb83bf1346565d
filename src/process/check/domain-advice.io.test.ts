import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import { autoconfigFor } from "./domain-advice.ts";
import { loadSettings } from "../settings/load-settings.ts";

async function answerFor(of: "thunderbird" | "outlook" | "apple", settings: string) {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-advice-"));
  try {
    const file = join(folder, "posthorn.yaml");
    writeFileSync(file, settings);
    const loaded = await loadSettings({ file, directory: folder, clock: systemClock });
    assert.ok(loaded.ok);
    return autoconfigFor(loaded.value, { of, address: "ann@example.org" });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const LOCAL_ONLY = "listeners: [{ name: smtp, address: 127.0.0.1, port: 2525, protocol: smtp }]\n";

test("a document that would name no server is a problem with what to set", async () => {
  for (const kind of ["thunderbird", "outlook", "apple"] as const) {
    const answer = await answerFor(kind, LOCAL_ONLY);
    assert.ok("problem" in answer);
    assert.match(answer.problem, /no server.*autoconfig\.imap/);
  }
});

test("one with a server to read mail from, and none to send by, is told", async () => {
  const answer = await answerFor("thunderbird", `${LOCAL_ONLY}autoconfig: { imap: [{ host: imap.example.org }] }\n`);
  assert.ok("text" in answer);
  assert.match(answer.text, /<hostname>imap\.example\.org<\/hostname>/);
});
