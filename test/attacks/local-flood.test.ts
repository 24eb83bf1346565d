/**
 * A user of this host who opens the sockets that are for everybody, over and over, and goes without reading what is said: it ends no
 * process, leaves nothing open behind, and keeps no other client out.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { treeOf } from "../processes.ts";
import { LAYOUTS, startServer, type TestServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/** Nobody's in any passwd. */
const EVE = 60_102;
const FLOOD_MS = 6000;
/** Long enough to be told something that is then not read. */
const OPEN_MS = 2000;

/** Takes all the places that a user has, opens more again and again, and closes each of those after a while. */
const FLOOD = `
const { connect } = require("node:net");
const until = Date.now() + ${FLOOD_MS};
const open = (forMs) => {
  const socket = connect(process.argv[1]);
  socket.pause();
  socket.on("error", () => {});
  setTimeout(() => socket.destroy(), forMs);
};
const more = () => {
  if (Date.now() > until) return;
  for (let count = 0; count < 4; count++) open(${OPEN_MS});
  setTimeout(more, 40);
};
for (let count = 0; count < 30; count++) open(${FLOOD_MS});
setTimeout(more, 500);
`;

async function flood(path: string): Promise<void> {
  const child = spawn(process.execPath, ["-e", FLOOD, path], { uid: EVE, gid: EVE, cwd: "/", stdio: "ignore" });
  await once(child, "exit");
}

function pidsOf(server: TestServer): readonly number[] {
  return treeOf(server.process.pid ?? 0).map(({ pid }) => pid);
}

const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

for (const layout of LAYOUTS)
  test(`${layout}: who floods the sockets for users of this host harms nobody`, { timeout: 240_000 }, async (t) => {
    if (process.getuid?.() !== 0) {
      t.skip("needs root, to be another user");
      return;
    }
    await using server = await startServer({
      layout,
      readyWithinMs: 120_000,
      wholeSettings: `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 1, egress: 1 }
listeners: [{ name: smtp, address: 127.0.0.1, port: {smtp} }]
local: { domains: [posthorn.test] }
`,
    });
    const run = join(server.folder, "data", "run");
    const before = new Map(pidsOf(server).map((pid) => [pid, descriptorsOf(pid)]));
    assert.equal(before.size > 1, layout === "split");
    const flooded = Promise.all([flood(join(run, "submit.sock")), flood(join(run, "query.sock"))]);
    for (let at = 0; at < 2; at++) {
      await wait(FLOOD_MS / 3);
      const content = `Subject: ${at}\n\nx`;
      assert.match(await sendMail(server.ports.smtp, { from: "a@b.test", to: "ann@posthorn.test", content }), /^250/);
    }
    assert.equal((await server.posthorn("status")).status, 0);
    await flooded;
    await server.waitForMails("ann", 2);
    assert.deepEqual(pidsOf(server), [...before.keys()], "nobody has ended, nobody was started again");
    // What is told to those that are turned away takes two seconds at most.
    const untilAt = performance.now() + 30_000;
    const grown = (): readonly string[] =>
      [...before].flatMap(([pid, count]) => {
        const now = descriptorsOf(pid);
        return now > count + 25 ? [`${pid}: ${count}, now ${now}`] : [];
      });
    while (grown().length > 0 && performance.now() < untilAt) await wait(200);
    assert.deepEqual(grown(), [], "descriptors");
    assert.equal(await server.stop(), 0);
  });
