import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { freePort, ROOT, startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/** Runs `posthornd` to its end: what a shell or an init script sees. */
function posthornd(folder: string, ...argv: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [join(ROOT, "bin", "posthornd.js"), ...argv], {
    cwd: folder,
    encoding: "utf8",
    timeout: 60_000,
  });
}

function folderWith(t: TestContext, settings: string): { folder: string; file: string } {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-starting-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, "posthorn.yaml");
  writeFileSync(file, settings);
  return { folder, file };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const untilAt = Date.now() + 60_000; !holds(); await wait(25))
    if (Date.now() > untilAt) throw new Error(`not within 60 s: ${what}`);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const settingsOn = (port: number): string => `state: ./data
processes: { layout: single }
listeners: [ { name: smtp, address: 127.0.0.1, port: ${port} } ]
log: { to: file:./posthorn.log }
`;

test("in the background: the command returns when the server is up, its pid file names it, and a signal to that ends it", async (t) => {
  const port = await freePort();
  const { folder, file } = folderWith(t, settingsOn(port));
  const started = posthornd(folder, "-f", file);
  assert.equal(started.status, 0, started.stderr);
  assert.equal(started.stdout + started.stderr, "");
  const pidFile = join(folder, "data", "run", "posthornd.pid");
  const pid = Number(readFileSync(pidFile, "utf8"));
  try {
    // It is up: no waiting here.
    assert.match(await sendMail(port, { from: "a@b.test", to: "ada@localhost", content: "Subject: x\n\nx" }), /^250 /);
    await until("the log says so", () => /daemon started/.test(readFileSync(join(folder, "posthorn.log"), "utf8")));
    const second = posthornd(folder, "-d", "-f", file);
    assert.equal(second.status, 78);
    assert.match(second.stderr, new RegExp(`process ${pid}\\b`), "it says whose the state is");
    assert.match(second.stderr, /stop that server first/);
    process.kill(pid, "SIGTERM");
    await until("it ended", () => !isRunning(pid));
    assert.ok(!existsSync(pidFile), "its pid file is gone");
  } finally {
    if (isRunning(pid)) process.kill(pid, "SIGKILL");
  }
});

test("a background start that fails says why, with a status, and leaves nothing running", async (t) => {
  const { folder, file } = folderWith(t, "");
  await using other = await startServer();
  writeFileSync(file, settingsOn(other.ports.smtp));
  const started = posthornd(folder, "-f", file);
  assert.notEqual(started.status, 0);
  assert.match(started.stderr, new RegExp(`127\\.0\\.0\\.1:${other.ports.smtp}.*EADDRINUSE`));
  assert.ok(!existsSync(join(folder, "data", "run", "posthornd.pid")));
});

test("a pid file whose number has passed to another program does not keep the server from starting", async (t) => {
  const port = await freePort();
  const { folder, file } = folderWith(t, settingsOn(port));
  assert.equal(posthornd(folder, "-f", file).status, 0);
  const pidFile = join(folder, "data", "run", "posthornd.pid");
  const first = Number(readFileSync(pidFile, "utf8"));
  process.kill(first, "SIGKILL");
  await until("it is dead", () => !isRunning(first));
  // As after a reboot: the number is somebody else's, who began later than the file was written.
  writeFileSync(pidFile, `${process.pid}\n`);
  utimesSync(pidFile, 1_000_000_000, 1_000_000_000);
  const again = posthornd(folder, "-f", file);
  assert.equal(again.status, 0, again.stderr);
  const pid = Number(readFileSync(pidFile, "utf8"));
  process.kill(pid, "SIGTERM");
  await until("it ended", () => !isRunning(pid));
});

test("posthornd -n: 0 for settings that can be used, 78 with the places of all problems otherwise, and nothing is started", (t) => {
  const { folder, file } = folderWith(t, "hostname: mx.example.org\n");
  const good = posthornd(folder, "-n", "-f", file);
  assert.equal(good.status, 0, good.stderr);
  assert.match(good.stdout, /posthorn\.yaml: OK/);
  writeFileSync(
    file,
    "hostnme: mx.example.org\nqueue:\n  inlineBodyUpTo: much\ncertificates: [ { cert: gone.pem, key: gone.key } ]\n",
  );
  const bad = posthornd(folder, "-n", "-f", file);
  assert.equal(bad.status, 78);
  assert.match(bad.stderr, /posthorn\.yaml:1:1: .*hostnme.*hostname/);
  assert.match(bad.stderr, /posthorn\.yaml:3:\d+: /);
  assert.match(bad.stderr, /posthorn\.yaml:4:\d+: /);
  const missing = posthornd(folder, "-n", "-f", join(folder, "other.yaml"));
  assert.notEqual(missing.status, 0);
  assert.match(missing.stderr, /other\.yaml/);
  assert.ok(!existsSync(join(folder, "data")));
});

test("with less free space than set, MAIL is answered 452, and what is queued is delivered all the same", async () => {
  const settings = "scheduler: { retry: { internal: 1s } }\n";
  await using server = await startServer({ settings });
  assert.equal((await server.posthorn("pause", "local", "--because", "a test")).status, 0);
  const mail = { from: "a@b.test", to: "ada@localhost", content: "Subject: queued\n\nx" };
  assert.match(await sendMail(server.ports.smtp, mail), /^250 /);
  server.rewrite({ settings: `${settings}queue: { minFreeBytes: 4000000GiB }\n` });
  assert.equal((await server.posthorn("reload")).status, 0);
  assert.match(await sendMail(server.ports.smtp, mail), /^452 4\.3\.1 /);
  assert.equal((await server.posthorn("resume", "local")).status, 0);
  await server.waitForMails("ada", 1);
  assert.equal(await server.stop(), 0);
});
