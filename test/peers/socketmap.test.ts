import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { systemRandom } from "../../src/foundation/random.io.ts";
import { socketmapSettings } from "../../src/service/table/socketmap/settings.ts";
import { socketmapBackend } from "../../src/service/table/socketmap/socketmap.io.ts";
import type { TableAnswer } from "../../src/service/table/table.ts";
import { hasPeer, inPeer } from "./running.ts";
import { freePort, ROOT } from "../server.ts";
import { trustIn } from "../../src/testing/trust.ts";

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-socketmap-"));
  chmodSync(folder, 0o755);
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("our client understands postfix-mta-sts-resolver, a socketmap server of others", async (t) => {
  if (!hasPeer("mtasts", t)) return;
  await inFolder(async (folder) => {
    const port = await freePort();
    const cache = join(folder, "cache.db");
    // What it would have learnt from the network: a policy that is as fresh as can be.
    const database = new DatabaseSync(cache);
    database.exec("create table sts_policy_cache (domain text, ts integer, pol_id text, pol_body text)");
    const policy = { version: "STSv1", mode: "enforce", max_age: 86_400, mx: ["mx.example.org"] };
    database
      .prepare("insert into sts_policy_cache values (?, ?, ?, ?)")
      .run("example.org", Math.floor(Date.now() / 1000), "1", JSON.stringify(policy));
    database.close();
    writeFileSync(
      join(folder, "daemon.yml"),
      `host: 127.0.0.1\nport: ${port}\ncache_grace: 3600\ncache: { type: sqlite, options: { filename: ${cache} } }\n`,
    );
    const [program, args] = inPeer("mtasts", ["mta-sts-daemon", "-c", join(folder, "daemon.yml")]);
    const daemon = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], detached: true });
    let says = "";
    daemon.stderr.on("data", (bytes: Buffer) => (says += bytes.toString()));
    const backend = socketmapBackend(
      "sts",
      socketmapSettings.parse({ hosts: `127.0.0.1:${port}`, firstPause: "20ms", longestPause: "100ms" }),
      { clock: systemClock, random: systemRandom, trust: trustIn(), onFinding: () => {} },
    );
    try {
      const ask = (key: string): Promise<TableAnswer> => backend.get(key, { service: "tls-policy" });
      let first = await ask("example.org");
      for (let tries = 0; tries < 100 && first.kind === "failed"; tries++) {
        await wait(50);
        first = await ask("example.org");
      }
      assert.deepEqual(
        first,
        {
          kind: "found",
          value: "secure match=mx.example.org servername=hostname",
          where: `socketmap 127.0.0.1:${port}`,
        },
        says,
      );
      // It never looks for these elsewhere.
      assert.deepEqual(await ask(".example.org"), { kind: "none" });
      assert.deepEqual(await ask("192.0.2.1"), { kind: "none" });
      const many = await Promise.all(Array.from({ length: 50 }, () => ask("example.org")));
      assert.deepEqual([...new Set(many.map(({ kind }) => kind))], ["found"]);
    } finally {
      await backend.close();
      process.kill(-(daemon.pid ?? 0), "SIGKILL");
      await once(daemon, "close");
    }
  });
});

test("postfix understands the example server of the manual, over both kinds of sockets", async (t) => {
  if (!hasPeer("postfix", t)) return;
  await inFolder(async (folder) => {
    const etc = join(folder, "etc");
    mkdirSync(etc);
    writeFileSync(
      join(etc, "main.cf"),
      "compatibility_level = 3.6\ninet_protocols = ipv4\nmyhostname = postfix.test\n",
    );
    writeFileSync(join(folder, "people"), "aliases\tpostmaster\tjoe, jane\naliases\ta b\twith a space\n");
    const port = await freePort();
    const unix = join(folder, "socket");
    const servers = await Promise.all(
      [unix, `127.0.0.1:${port}`].map(async (place) => {
        const program = join(ROOT, "docs", "examples", "socketmap-server.py");
        const server = spawn(program, [place, join(folder, "people")], { stdio: ["ignore", "pipe", "inherit"] });
        await once(server.stdout, "data");
        return server;
      }),
    );
    const query = async (key: string, map: string): Promise<{ status: number; said: string }> => {
      const [program, args] = inPeer("postfix", ["postmap", "-c", etc, "-q", key, map]);
      try {
        const { stdout } = await promisify(execFile)(program, args, { timeout: 10_000 });
        return { status: 0, said: stdout };
      } catch (thrown) {
        const { code, stderr } = thrown as { code?: number; stderr?: string };
        return { status: code ?? -1, said: stderr ?? "" };
      }
    };
    try {
      for (const place of [`unix:${unix}`, `inet:127.0.0.1:${port}`]) {
        const found = await query("postmaster", `socketmap:${place}:aliases`);
        assert.deepEqual(found, { status: 0, said: "joe, jane\n" }, place);
        assert.equal((await query("a b", `socketmap:${place}:aliases`)).said, "with a space\n");
        // Status 1 and no word: not there, and nothing wrong.
        assert.deepEqual(await query("nobody", `socketmap:${place}:aliases`), { status: 1, said: "" });
      }
      rmSync(join(folder, "people"));
      const failed = await query("postmaster", `socketmap:unix:${unix}:aliases`);
      assert.notEqual(failed.status, 0);
      assert.match(failed.said, /No such file/);
    } finally {
      for (const server of servers) server.kill("SIGKILL");
      await Promise.all(servers.map((server) => once(server, "close")));
    }
  });
});
