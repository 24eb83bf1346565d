import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { foldersOf } from "../../src/process/folders.ts";
import { loadSettings } from "../../src/process/settings/load-settings.ts";
import { grantsOf } from "../../src/process/split/role-grants.ts";
import { LAYOUTS, ROOT, startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

function statusOf(pid: number, field: string): string {
  return new RegExp(`^${field}:\\s*(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? "";
}

test("split, started by root: every worker but the keeper is nobody, without rights or groups of root's, and no key is in its reach", async (t) => {
  if (process.getuid?.() !== 0) {
    t.skip("needs root");
    return;
  }
  await using server = await startServer({ layout: "split" });
  // Work has been done, by everybody.
  assert.match(
    await sendMail(server.ports.smtp, { from: "a@b.test", to: "ada@localhost", content: "Subject: x\n\nx" }),
    /^250 /,
  );
  await server.waitForMails("ada", 1);
  const key = join(server.folder, "data", "tls", "self-signed.key");
  assert.equal(statSync(key).uid, 0);
  assert.equal(statSync(key).mode & 0o077, 0, "the key is for root's eyes only");

  const passwd = readFileSync("/etc/passwd", "utf8");
  const [uid = "", gid = ""] = /^nobody:[^:]*:(\d+):(\d+):/m.exec(passwd)?.slice(1) ?? [];
  const workers = server.workers();
  const roles = [...workers.keys()].map((name) => name.replace(/-\d+$/, ""));
  assert.deepEqual([...new Set(roles)].sort(), ["delivery", "egress", "ingress", "keeper", "log", "scheduler"]);
  for (const [name, pid] of workers) {
    // The one that reads keys; what else of the disk it can reach is seen below.
    if (name.startsWith("keeper-")) continue;
    assert.equal(statusOf(pid, "Uid"), [uid, uid, uid, uid].join("\t"), name);
    assert.equal(statusOf(pid, "Gid"), [gid, gid, gid, gid].join("\t"), name);
    assert.equal(Number(`0x${statusOf(pid, "CapEff")}`), 0, `${name} has capabilities`);
    const groups = statusOf(pid, "Groups").trim().split(/\s+/).filter(Boolean);
    assert.ok(!groups.includes("0"), `${name} is in root's group: ${groups.join(" ")}`);
    const asWorker = spawnSync("cat", [key], { uid: Number(uid), gid: Number(gid), encoding: "utf8" });
    assert.notEqual(asWorker.status, 0, "the worker's user could read the key");
  }
  // What the network reaches has Node's permission model on top: even as root it could read neither the key nor mail.
  const file = join(server.folder, "posthorn.yaml");
  const loaded = await loadSettings({ file, directory: server.folder, clock: systemClock });
  assert.ok(loaded.ok);
  const reading = (path: string): string =>
    `try { fs.readFileSync(${JSON.stringify(path)}); console.log("read it") } catch (e) { console.log(e.code) }`;
  for (const role of ["ingress", "egress", "keeper"] as const) {
    const grants = grantsOf(role, loaded.value, foldersOf(join(server.folder, "data")));
    const keyReading = spawnSync(process.execPath, [...grants, "-e", reading(key)], { encoding: "utf8" });
    assert.equal(keyReading.stdout.trim(), role === "keeper" ? "read it" : "ERR_ACCESS_DENIED", `${role} and the key`);
    for (const path of ["/etc/passwd", join(server.folder, "data", "mail", "ada", "Maildir", "new"), file]) {
      const tried = spawnSync(process.execPath, [...grants, "-e", reading(path)], { encoding: "utf8" });
      assert.equal(tried.stdout.trim(), "ERR_ACCESS_DENIED", `${role} and ${path}: ${tried.stdout}${tried.stderr}`);
    }
    const program = spawnSync(process.execPath, [...grants, "-e", reading(join(ROOT, "package.json"))], {
      encoding: "utf8",
    });
    assert.equal(program.stdout.trim(), "read it", `${role} and its own program`);
  }
  assert.equal(await server.stop(), 0);
});

for (const layout of LAYOUTS)
  test(`${layout}, started by root: a command that gets the mail of the server's own mailboxes is told whose it is, and has nothing of root's`, async (t) => {
    if (process.getuid?.() !== 0) {
      t.skip("needs root");
      return;
    }
    const command =
      "grep -E '^(Uid|Gid|CapPrm):' /proc/self/status | tr '\\t\\n' ' '; echo $(id -G) {user} $HOME; exit 75";
    await using server = await startServer({
      layout,
      settings: `actions: { deliver: { deliver: command, command: ${JSON.stringify(command)} } }\n`,
    });
    assert.match(
      await sendMail(server.ports.smtp, { from: "a@b.test", to: "ada@localhost", content: "Subject: x\n\nx" }),
      /^250 /,
    );
    const [, told = ""] = await server.waitForOutput(/temporary failure\. Command output: ([^)]*)\)/);
    const passwd = readFileSync("/etc/passwd", "utf8");
    const [uid = "", gid = ""] = /^nobody:[^:]*:(\d+):(\d+):/m.exec(passwd)?.slice(1) ?? [];
    const four = (id: string): string => Array(4).fill(id).join(" ");
    assert.equal(
      told.replace(/\s+/g, " ").trim(),
      `Uid: ${four(uid)} Gid: ${four(gid)} CapPrm: ${"0".repeat(16)} ${gid} ada /`,
    );
  });
