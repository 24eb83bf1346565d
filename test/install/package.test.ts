/**
 * Posthorn as a package: packed, installed with the machine's own npm into an empty folder, and run under the Node that the
 * machine has, which may be too old to run it.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, describe, test, type TestContext } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { freePort, ROOT, type Layout } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/** Without the clone's own programs, so that `node` is the machine's. */
const PATH = (process.env["PATH"] ?? "")
  .split(delimiter)
  .filter((folder) => !folder.includes("node_modules"))
  .join(delimiter);
const env = { ...process.env, PATH, NO_UPDATE_NOTIFIER: "1" };
const machinesNode = spawnSync("node", ["--version"], { encoding: "utf8", env }).stdout?.trim() ?? "";
const isOld = Number(/^v(\d+)/.exec(machinesNode)?.[1]) < 24;
const UNREACHABLE =
  /ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ENOTCACHED|ERR_SOCKET_TIMEOUT/;

describe("the package", () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-install-"));
  const bin = (name: string): string => join(folder, "node_modules", ".bin", name);
  let missing = "";

  const npm = (...argv: string[]) => spawnSync("npm", argv, { cwd: folder, env, encoding: "utf8", timeout: 180_000 });
  const isMissing = (context: TestContext): boolean => {
    if (missing !== "") context.skip(missing);
    return missing !== "";
  };

  before(() => {
    chmodSync(folder, 0o755);
    if (machinesNode === "" || npm("--version").status !== 0) {
      missing = "this machine has no node or npm of its own";
      return;
    }
    const packed = npm("pack", ROOT, "--pack-destination", folder, "--loglevel=error");
    assert.equal(packed.status, 0, packed.stderr);
    const [tarball = ""] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
    const installed = npm("install", `./${tarball}`, "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error");
    if (installed.status !== 0 && UNREACHABLE.test(installed.stderr))
      missing = "the package registry cannot be reached";
    else assert.equal(installed.status, 0, installed.stderr);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test(`tells its version under the machine's Node (${machinesNode})`, (context) => {
    if (isMissing(context)) return;
    const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
    for (const program of ["posthorn", "posthornd"]) {
      // npx puts the installation's own programs in front; a path to the program does not.
      for (const [command, ...argv] of [["npx", program], [bin(program)]]) {
        const run = spawnSync(command ?? "", [...argv, "--version"], {
          cwd: folder,
          env,
          encoding: "utf8",
          timeout: 60_000,
        });
        assert.equal(run.stdout, `${program} ${version}\n`, run.stderr);
        assert.equal(run.status, 0);
      }
    }
  });

  const layouts: readonly Layout[] = process.getuid?.() === 0 ? ["single", "split"] : ["single"];
  for (const layout of layouts) {
    test(`${layout}: the installed server takes a mail from SMTP and from posthorn send, delivers both, and stops`, async (context) => {
      if (isMissing(context)) return;
      const port = await freePort();
      const settings = join(folder, `${layout}.yaml`);
      const state = `./data-${layout}`;
      writeFileSync(
        settings,
        `hostname: mx.posthorn.test
state: ${state}
user: nobody
processes: { layout: ${layout}, ingress: 1, egress: 1 }
listeners: [{ name: smtp, address: 127.0.0.1, port: ${port} }]
`,
      );
      const server = spawn(bin("posthornd"), ["-d", "-f", settings], { cwd: folder, env, detached: true });
      const ended = once(server, "exit");
      let output = "";
      for (const stream of [server.stdout, server.stderr])
        stream.on("data", (bytes: Buffer) => {
          output += bytes.toString();
        });
      try {
        const until = async (holds: () => boolean, what: string): Promise<void> => {
          const endAt = Date.now() + 60_000;
          while (!holds()) {
            assert.ok(Date.now() < endAt && server.exitCode === null, `${what}:\n${output}`);
            await wait(50);
          }
        };
        await until(() => output.includes("daemon started"), "the start");
        const reply = await sendMail(port, { from: "a@b.test", to: "ada@localhost", content: "Subject: one\n\n1" });
        assert.match(reply, /^250 /);
        const sent = spawnSync(bin("posthorn"), ["send", "--file", settings, "-f", "a@b.test", "ada@localhost"], {
          cwd: folder,
          env,
          encoding: "utf8",
          input: "Subject: two\n\n2\n",
          timeout: 60_000,
        });
        assert.equal(sent.status, 0, sent.stderr);
        const fresh = join(folder, state, "mail", "ada", "Maildir", "new");
        await until(() => existsSync(fresh) && readdirSync(fresh).length === 2, "two mails");
        server.kill("SIGTERM");
        const [status] = (await ended) as [number | null];
        assert.equal(status, 0, output);
      } finally {
        // An old Node is only the launcher: the server is another process of the same group.
        if (server.exitCode === null && server.pid !== undefined) process.kill(-server.pid, "SIGKILL");
      }
    });
  }

  test("without the pinned Node an old one says what to do", (context) => {
    if (isMissing(context)) return;
    if (!isOld) return context.skip(`the machine's Node is ${machinesNode}, new enough to run the server`);
    for (const name of readdirSync(join(folder, "node_modules")))
      if (name.startsWith("node-")) rmSync(join(folder, "node_modules", name), { recursive: true });
    const run = spawnSync("node", [bin("posthornd"), "-d"], { cwd: folder, env, encoding: "utf8", timeout: 30_000 });
    assert.equal(run.status, 78);
    assert.match(run.stderr, /^posthornd: needs Node 24 or newer, but this is Node \d+/);
    assert.match(run.stderr, /Install again without --omit=optional, or start it with a newer Node/);
  });
});
