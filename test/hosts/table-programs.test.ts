import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { treeOf } from "../processes.ts";
import { freePort, ROOT, startServer } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";

const example = (name: string): string => join(ROOT, "docs", "examples", name);

test("a split server asks programs and socketmaps; while one is away clients are told to come again", async () => {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-table-programs-"));
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, "program"), "alias\troot\tjoe\n");
  writeFileSync(join(folder, "map"), "domains\tvirtual.test\t\npeople\tsales@virtual.test\tjoe\n");
  const port = await freePort();
  const map = spawn(example("socketmap-server.py"), [`127.0.0.1:${port}`, join(folder, "map")], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(map.stdout, "data");
  try {
    await using server = await startServer({
      layout: "split",
      settings: `
local:
  domains: [example.test]
  users: [joe]
  aliases: table:aliases
  virtual: [{ domains: "table:domains", aliases: "table:people" }]
tables:
  aliases: { process: { command: [${example("table-program.py")}, ${join(folder, "program")}] } }
  domains: { socketmap: { hosts: "127.0.0.1:${port}" } }
  people: { socketmap: { hosts: "127.0.0.1:${port}" } }
`,
    });
    const reply = async (recipient: string): Promise<string> => {
      const client = await smtpConnect(server.ports.smtp);
      await client.reply();
      await client.say("EHLO client.test");
      await client.say("MAIL FROM:<a@client.test>");
      const answer = await client.say(`RCPT TO:<${recipient}>`);
      client.close();
      return answer;
    };
    const eventually = async (recipient: string, expected: RegExp): Promise<void> => {
      for (let tries = 0, answer = ""; !expected.test(answer); tries++) {
        assert.ok(tries < 100, `${recipient}: ${answer}\n${server.output().slice(-3000)}`);
        answer = await reply(recipient);
        await wait(50);
      }
    };
    for (const [recipient, expected] of [
      ["root@example.test", /^250 /],
      ["nobody@example.test", /^550 5\.1\.1/],
      ["sales@virtual.test", /^250 /],
      ["nobody@virtual.test", /^550 /],
    ] as const)
      assert.match(await reply(recipient), expected, recipient);

    const program = treeOf(server.process.pid ?? 0).find(({ pid }) =>
      readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("table-program.py"),
    );
    assert.ok(program !== undefined);
    process.kill(program.pid, "SIGKILL");
    await server.waitForOutput(/aliases.*table-program\.py was ended by SIGKILL; it is started again in/);
    assert.match(await reply("root@example.test"), /^451 /);
    await eventually("root@example.test", /^250 /);

    map.kill("SIGKILL");
    await once(map, "close");
    await eventually("sales@virtual.test", /^451 /);
    const { stdout } = await server.posthorn("show", "tables", "--json");
    assert.match(stdout, /"table":"aliases","kind":"process"/);
    assert.match(stdout, /"kind":"socketmap"/);
    assert.equal(await server.stop(), 0);
  } finally {
    map.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
});
