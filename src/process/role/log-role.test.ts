import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { recordOf } from "../../mail/log/record.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { roleTrouble } from "../events.ts";
import { foldersOf } from "../folders.ts";
import type { LoadedSettings } from "../settings/load-settings.ts";
import { posthornSettings } from "../settings/settings.ts";
import { startLog } from "./log-role.ts";

test("lines that a log of earlier settings could not write are counted in the new one", async () => {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-log-role-"));
  const clock = virtualClock(0);
  const loadedWith = (file: string): LoadedSettings => {
    const settings = posthornSettings.parse({
      hostname: "mail.example",
      log: { to: `file:${file}` },
      journal: { enabled: false },
    });
    // Nothing else of them is looked at here.
    return { settings } as unknown as LoadedSettings;
  };
  const before = join(directory, "missing", "log");
  const after = join(directory, "log");
  const log = startLog({
    loaded: loadedWith(before),
    folders: foldersOf(directory),
    clock,
    isVerbose: false,
    isForeground: true,
    mergeMs: 0,
    complain: () => {},
  });
  try {
    const from = { role: "log", pid: 1, startedAt: 0 };
    const line = recordOf(0, from, roleTrouble, { role: "log", problem: "something" });
    log.write([line, line, line]);
    await wait(50);
    log.reload(loadedWith(after));
    for (let turn = 0; turn < 100; turn++) {
      await clock.advance(100);
      await wait(5);
    }
    // The three, and that it failed.
    assert.match(readFileSync(after, "utf8"), /warning: log: \S+missing\/log: 4 events and 0 debug events lost/);
  } finally {
    await Promise.all([log.close(1000), clock.advance(1000)]);
    rmSync(directory, { recursive: true });
  }
});
