import assert from "node:assert/strict";
import { execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { mailboxSettings } from "../../mail/delivery/mailbox/settings.ts";
import { bodyFileName } from "../../mail/queue/body-names.ts";
import { mailFor } from "../../testing/local-mail.ts";
import { ALICE, skipUnlessRoot } from "../../testing/users-machine.ts";
import type { FilingStart, ToFiling } from "./filing-worker.ts";

test("one whose file server hangs ends with the delivery process all the same", { skip: skipUnlessRoot }, async () => {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-filing-"));
  chmodSync(directory, 0o755);
  // Opening a pipe waits for its other end: a thread that does not come back, as on a disk that does not answer.
  const queue = join(directory, "queue");
  mkdirSync(join(directory, "users"));
  const start: FilingStart = {
    kind: "start",
    rest: { uid: 0, gid: 0, groups: [] },
    settings: mailboxSettings.parse({}),
    queue,
    users: join(directory, "users"),
    hostname: "mail.example.org",
    extensionDelimiter: "+",
    mayInclude: false,
  };
  const entry = fileURLToPath(new URL("filing-main.ts", import.meta.url));
  const child = fork(entry, [], { serialization: "advanced", execArgv: ["--disable-warning=ExperimentalWarning"] });
  const said = (kind: string): Promise<void> =>
    new Promise((resolve) => child.on("message", (each: { kind: string }) => each.kind === kind && resolve()));
  try {
    const ready = said("ready");
    child.send(start);
    await ready;
    const mail = mailFor("deliver");
    const name = bodyFileName(mail.message.id);
    const path = join(queue, "bodies", name);
    mkdirSync(dirname(path), { recursive: true });
    execFileSync("mkfifo", [path]);
    const errand = {
      request: { ...mail, body: { kind: "file" as const, name, sizeBytes: 1 } },
      as: undefined,
      forward: [],
      user: "alice",
      place: { kind: "maildir" as const, path: join(directory, "Maildir"), extension: "" },
    };
    child.send({
      kind: "work",
      as: { uid: ALICE, gid: ALICE, groups: [] },
      errands: [{ id: 1, errand }],
    } satisfies ToFiling);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const gone = once(child, "exit", { signal: AbortSignal.timeout(60_000) });
    child.disconnect();
    assert.deepEqual(await gone, [0, null]);
  } finally {
    child.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  }
});
