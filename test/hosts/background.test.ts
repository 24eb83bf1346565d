/**
 * posthornd as a service starts it: into the background, with a pid file and syslog(3). /dev/log is ours, in a mount
 * namespace: one that listens, and one that never reads.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { freePort, LAYOUTS, ROOT, startServer, type Layout } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

const DAEMON = join(ROOT, "bin", "posthornd.js");
const isRoot = process.getuid?.() === 0;
const canMount = spawnSync("unshare", ["-m", "true"]).status === 0;
const hasPython = spawnSync("python3", ["--version"]).status === 0;
const skip = !isRoot
  ? "needs root"
  : !canMount
    ? "unshare(1) is missing or not allowed"
    : !hasPython && "needs python3";

const SYSTEM_LOG = `
import os, socket, sys, time
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
log.bind("/dev/log")
os.chmod("/dev/log", 0o666)
open("ready", "w").close()
if sys.argv[1] == "deaf": time.sleep(120)
with open("received", "wb", 0) as out:
    while True: out.write(log.recv(65536) + b"\\n")
`;
const START = `
mkdir dev && touch dev/null && mount --bind /dev/null dev/null && mount --rbind dev /dev || exit 90
python3 -c "$SYSTEM_LOG" "$KIND" </dev/null >/dev/null 2>&1 & echo $! >log.pid
for n in 1 2 3 4 5 6 7 8 9 10; do test -e ready && break; sleep 0.3; done
exec "$NODE" "$DAEMON" -f posthorn.yaml`;

interface Background extends AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly pid: number;
  heard(): string;
  /** Until it holds, or a failure after `withinMs`. */
  until(holds: () => boolean, what: string, withinMs?: number): Promise<void>;
}

async function startInBackground(layout: Layout, kind: "listening" | "deaf"): Promise<Background> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-background-"));
  chmodSync(folder, 0o755);
  const port = await freePort();
  writeFileSync(
    join(folder, "posthorn.yaml"),
    `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 1, egress: 1 }
listeners: [{ name: smtp, address: 127.0.0.1, port: ${port} }]
`,
  );
  const run = spawnSync("unshare", ["-m", "sh", "-c", START], {
    cwd: folder,
    encoding: "utf8",
    timeout: 120_000,
    env: { ...process.env, NODE: process.execPath, DAEMON, SYSTEM_LOG, KIND: kind },
  });
  assert.equal(`${run.stdout}${run.stderr}`, "");
  assert.equal(run.status, 0);
  const pidFile = join(folder, "data", "run", "posthornd.pid");
  const pid = Number(readFileSync(pidFile, "utf8"));
  const until = async (holds: () => boolean, what: string, withinMs = 60_000): Promise<void> => {
    const endAt = Date.now() + withinMs;
    while (!holds()) {
      if (Date.now() > endAt) throw new Error(`${what}: not within ${withinMs} ms`);
      await wait(50);
    }
  };
  return {
    folder,
    port,
    pid,
    heard: () => (existsSync(join(folder, "received")) ? readFileSync(join(folder, "received"), "latin1") : ""),
    until,
    async [Symbol.asyncDispose]() {
      for (const group of [-pid, Number(readFileSync(join(folder, "log.pid"), "utf8"))]) {
        try {
          process.kill(group, "SIGKILL");
        } catch {
          // It has ended already.
        }
      }
      await wait(200);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function mailsOf(folder: string): number {
  const fresh = join(folder, "data", "mail", "ada", "Maildir", "new");
  return existsSync(fresh) ? readdirSync(fresh).length : 0;
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

for (const layout of LAYOUTS) {
  test(
    `${layout}: in the background the server has a pid file and no terminal, and logs to syslog's mail facility`,
    {
      skip,
    },
    async () => {
      await using server = await startInBackground(layout, "listening");
      // A session of its own: nothing of whoever started it reaches it.
      const stat = readFileSync(`/proc/${server.pid}/stat`, "latin1");
      const [, , , session] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      assert.equal(Number(session), server.pid);
      const reply = await sendMail(server.port, { from: "a@b.test", to: "ada@localhost", content: "Subject: x\n\nhi" });
      assert.match(reply, /^250 /);
      await server.until(() => /status=sent/.test(server.heard()), "status=sent in the system's log");
      assert.equal(mailsOf(server.folder), 1);
      // Facility mail (2), level info (6).
      for (const line of [
        /^<22>.{15} posthorn\/master\[\d+\]: daemon started/m,
        /^<22>.{15} posthorn\/local\[\d+\]: .*to=<ada/m,
      ])
        assert.match(server.heard(), line);

      // Level debug (7), whatever -v said at the start: a trace was asked for.
      const settings = join(server.folder, "posthorn.yaml");
      const traced = spawnSync(
        process.execPath,
        [join(ROOT, "bin", "posthorn.js"), "trace", "on", "scheduler", "--detach", "--file", settings],
        { encoding: "utf8", timeout: 120_000 },
      );
      assert.equal(traced.status, 0, traced.stderr);
      await sendMail(server.port, { from: "a@b.test", to: "ada@localhost", content: "Subject: y\n\nhi" });
      const traceLine = /^<23>.{15} posthorn\/qmgr\[\d+\]: trace scheduler: /m;
      await server.until(() => traceLine.test(server.heard()), "a line of the trace in the system's log");

      const second = spawnSync(process.execPath, [DAEMON, "-f", join(server.folder, "posthorn.yaml")], {
        encoding: "utf8",
        timeout: 120_000,
      });
      assert.notEqual(second.status, 0);
      assert.match(second.stderr, new RegExp(`posthornd\\.pid names process ${server.pid}, which is running`));

      process.kill(server.pid, "SIGTERM");
      await server.until(() => !runs(server.pid), "the end of the server");
      assert.ok(!existsSync(join(server.folder, "data", "run", "posthornd.pid")));
      assert.match(server.heard(), /posthorn\/master\[\d+\]: stopped after/);
    },
  );

  test(`${layout}: a system log that never reads delays no mail, and not the end`, { skip }, async () => {
    await using server = await startInBackground(layout, "deaf");
    for (let batch = 0; batch < 5; batch++) {
      const replies = await Promise.all(
        Array.from({ length: 10 }, () =>
          sendMail(server.port, { from: "a@b.test", to: "ada@localhost", content: "Subject: x\n\nhi" }),
        ),
      );
      for (const reply of replies) assert.match(reply, /^250 /);
    }
    await server.until(() => mailsOf(server.folder) === 50, "50 mails");
    process.kill(server.pid, "SIGTERM");
    await server.until(() => !runs(server.pid), "the end of the server");
    assert.ok(!existsSync(join(server.folder, "data", "run", "posthornd.pid")));
  });

  test(`${layout}: a standard output that nobody reads delays no mail, and not the end`, async () => {
    await using server = await startServer({ layout, verbose: true });
    server.process.stdout?.removeAllListeners("data").pause();
    for (let batch = 0; batch < 10; batch++) {
      const replies = await Promise.all(
        Array.from({ length: 25 }, () =>
          sendMail(server.ports.smtp, { from: "a@b.test", to: "ada@localhost", content: "Subject: x\n\nhi" }),
        ),
      );
      for (const reply of replies) assert.match(reply, /^250 /);
    }
    await server.waitForMails("ada", 250);
    const ended = once(server.process, "exit");
    server.process.kill("SIGTERM");
    const [status] = (await Promise.race([ended, wait(20_000, ["still there"], { ref: false })])) as [unknown];
    assert.equal(status, 0);
  });
}

test("settings that are wrong keep the server out of the background, and the exit status says so", async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-background-"));
  try {
    writeFileSync(
      join(folder, "posthorn.yaml"),
      "hostname: mx.posthorn.test\nlisteners:\n  - { name: smtp, prot: 25 }\n",
    );
    for (const argv of [[], ["-d"], ["-n"]]) {
      const child = spawn(process.execPath, [DAEMON, ...argv, "-f", "posthorn.yaml"], {
        cwd: folder,
        timeout: 120_000,
      });
      let said = "";
      child.stderr.on("data", (bytes: Buffer) => {
        said += bytes.toString();
      });
      const [status] = (await once(child, "close")) as [number | null];
      assert.equal(status, 78, argv.join());
      assert.match(said, /posthorn\.yaml:3:\d+: .*prot.*port/, argv.join());
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("a port that is taken is told by the one who starts, though the server is in the background", async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-background-"));
  await using other = await startServer({ layout: "single" });
  try {
    writeFileSync(
      join(folder, "posthorn.yaml"),
      `hostname: mx.posthorn.test\nstate: ./data\nprocesses: { layout: single }\nlog: { to: "file:./log" }\nlisteners: [{ name: smtp, address: 127.0.0.1, port: ${other.ports.smtp} }]\n`,
    );
    const run = spawnSync(process.execPath, [DAEMON, "-f", "posthorn.yaml"], {
      cwd: folder,
      encoding: "utf8",
      timeout: 120_000,
    });
    assert.match(run.stderr, /listener smtp cannot listen on 127\.0\.0\.1:\d+/);
    assert.notEqual(run.status, 0);
    assert.ok(!existsSync(join(folder, "data", "run", "posthornd.pid")));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
