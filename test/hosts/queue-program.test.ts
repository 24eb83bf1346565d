import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { treeOf } from "../processes.ts";
import { ROOT, startServer, type TestServer } from "../server.ts";
import { startSink } from "../sink.ts";
import { sendMail } from "../smtp-client.ts";

const EXAMPLE = join(ROOT, "docs", "examples", "queue-program.py");

/** Its file is in the queue's folder, which is whose the program runs as. */
const settings = (folder: string): string =>
  `queue: { store: { process: { command: [${EXAMPLE}, ${join(folder, "data", "queue", "program.db")}] } } }\n`;

function programOf(server: TestServer): number | undefined {
  return treeOf(server.process.pid ?? 0).find(({ pid }) =>
    readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(EXAMPLE),
  )?.pid;
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-queue-program-"));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("split: mail goes its way through a queue that a program keeps; when it is killed clients are told to come again", () =>
  inFolder(async (folder) => {
    await using server = await startServer({ layout: "split", folder, settings: settings(folder) });
    const send = (content: string): Promise<string> =>
      sendMail(server.ports.smtp, { from: "a@b.test", to: "ada@localhost", content });
    const large = "a line of a body that is kept in a file of its own\n".repeat(2000);
    assert.match(await send("Subject: small\n\nx"), /^250 /);
    assert.match(await send(`Subject: large\n\n${large}`), /^250 /);
    const mails = await server.waitForMails("ada", 2);
    assert.ok(mails.some((mail) => mail.replaceAll("\r", "").includes(large)));

    const program = programOf(server);
    assert.ok(program !== undefined);
    process.kill(program, "SIGKILL");
    const told: string[] = [];
    for (let reply = ""; !reply.startsWith("250 ") && told.length < 200; await wait(25)) {
      reply = await send("Subject: after\n\nx");
      if (!reply.startsWith("250 ")) told.push(reply);
    }
    for (const reply of told) assert.match(reply, /^451 4\.3\.0 /);
    assert.equal((await server.waitForMails("ada", 3)).length, 3);
    await server.waitForOutput(/queue \S+ recovered after/);
    assert.notEqual(programOf(server), program);
    assert.equal(await server.stop(), 0);
  }));

test("single: what a program keeps is listed, and delivered after a restart of the server", () =>
  inFolder(async (folder) => {
    await using sink = await startSink();
    const relayTo = (port: number): string => `${settings(folder)}
actions: { out: { relay: { to: "smtp://127.0.0.1:${port}" } } }
rules: [ { match: { for: local }, action: deliver }, { match: { from: local }, action: out } ]
`;
    let ports: TestServer["ports"];
    {
      await using server = await startServer({ folder, settings: relayTo(1) });
      ({ ports } = server);
      const to = ["x@far.test", "y@far.test"];
      assert.match(await sendMail(ports.smtp, { from: "a@b.test", to, content: "Subject: waits\n\nx" }), /^250 /);
      await server.waitForOutput(/status=deferred/);
      const { stdout } = await server.posthorn("queue", "list");
      assert.match(stdout, /x@far\.test/);
      assert.equal(await server.stop(), 0);
    }
    await using server = await startServer({ folder, ports, settings: relayTo(sink.port) });
    const { stdout, stderr } = await server.posthorn("queue", "retry", "--all");
    for (let tries = 0; tries < 400 && sink.taken.length === 0; tries++) await wait(25);
    assert.ok(
      sink.taken.some(({ content }) => content.includes("Subject: waits")),
      `${stdout}${stderr}${server.output().slice(-2000)}`,
    );
    assert.equal(await server.stop(), 0);
  }));
