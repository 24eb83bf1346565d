/** What users of this host see of the queue: their own mail, told apart by who the system says they are. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT, startServer, type TestServer } from "../server.ts";

/** Nobody's in any passwd, so that these tests are about nobody who is there. */
const JOE = 60_131;
const EVE = 60_132;

/** As the test command has it: emitted JavaScript is loaded in a fraction of the time that the sources take. */
const emitted = process.env["POSTHORN_SPLIT_FROM"] === "emitted" ? { POSTHORN_EMITTED: "1" } : {};

interface Told {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs one of the programs that people know, as one of the users of this host. */
function runAs(server: TestServer, uid: number, program: string, argv: readonly string[], input = ""): Told {
  const command = ["--reuid", String(uid), "--regid", String(uid), "--clear-groups", process.execPath];
  const file = ["--file", join(server.folder, "posthorn.yaml")];
  const { status, stdout, stderr } = spawnSync(
    "setpriv",
    [...command, join(server.folder, program), ...argv, ...file],
    { input, encoding: "utf8", cwd: "/", timeout: 60_000, env: { ...process.env, ...emitted } },
  );
  return { status, out: stdout, err: stderr };
}

test("a user of this host sees the own mail in the queue, and of anybody else's nothing", async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip("needs root");
    return;
  }
  await using server = await startServer({
    settings: `actions: { out: { relay: { to: "smtp://127.0.0.1:9" } } }
rules: [{ match: { from: any }, action: out }]`,
  });
  // Links, as installations have them.
  for (const program of ["sendmail", "mailq", "newaliases", "posthorn"])
    symlinkSync(join(ROOT, "bin", "posthorn.js"), join(server.folder, program));

  const mail = "Subject: hello\n\nhello\n";
  for (const [uid, ...to] of [
    [JOE, "ann@b.example", "bob@b.example"],
    [EVE, "cid@b.example"],
  ] as const) {
    // Whatever sender is claimed: it is the system that says whose mail this is.
    const { status, err } = runAs(server, uid, "sendmail", ["-f", "joe@posthorn.test", ...to], mail);
    assert.equal(status, 0, err);
  }
  const [, eves = ""] = await server.waitForOutput(new RegExp(`(\\w{11}): client=.*sasl_username=uid-${EVE}`));
  await server.waitForOutput(/to=<bob@b\.example>.*status=deferred/);

  const joes = runAs(server, JOE, "mailq", []);
  assert.equal(joes.status, 0, joes.err);
  assert.match(joes.out, /^-Queue ID-/);
  assert.match(joes.out, /\(connect to 127\.0\.0\.1.*refused.*\)\n +ann@b\.example\n/i);
  assert.deepEqual(joes.out.match(/\w+@b\.example/g), ["ann@b.example", "bob@b.example"]);
  assert.match(joes.out, /in 1 Request\.\n$/);
  const shown = runAs(server, EVE, "posthorn", ["queue", "show", eves]);
  assert.match(shown.out, /recipient {2}cid@b\.example/, shown.err);
  const others = runAs(server, JOE, "posthorn", ["queue", "show", eves]);
  assert.deepEqual([others.status, others.out], [1, ""]);
  assert.match(others.err, /is not in the queue/);
  const status = runAs(server, EVE, "posthorn", ["status"]);
  assert.deepEqual([status.status, status.out], [77, ""]);
  assert.match(status.err, /this user sees own mail only, not status/);

  const aliases = join(server.folder, "aliases");
  writeFileSync(aliases, "team: joe, eve\n", { mode: 0o644 });
  const denied = runAs(server, JOE, "newaliases", [aliases]);
  assert.equal(denied.status, 77, denied.err);
  assert.match(denied.err, /this user may not write into .*, which belongs to uid 0, gid 0\n/);
});
