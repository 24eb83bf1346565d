import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { test } from "node:test";
import { startDnsServer } from "../dns-server.ts";
import { hangUp } from "../hang-up.ts";
import { startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

function socketsOf(pid: number | undefined): number {
  const isSocket = (descriptor: string): boolean => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${descriptor}`).startsWith("socket:");
    } catch {
      // It was closed meanwhile.
      return false;
    }
  };
  return readdirSync(`/proc/${pid}/fd`).filter(isSocket).length;
}

test("reloads leave no sockets of lookups behind", { skip: process.platform !== "linux" }, async () => {
  await using dns = await startDnsServer({});
  const settings = `dns: { servers: ["${dns.at}"] }
restrictions: [{ name: senders, sender: unknown-domain }]
rules: [{ match: { for: local }, action: deliver }]
`;
  await using server = await startServer({ layout: "single", settings });
  const lookUp = async (round: number): Promise<void> => {
    for (const name of ["a", "b", "c", "d", "e", "f"]) {
      const mail = { from: `joe@${name}${round}.test`, to: "x@mx.posthorn.test", content: "x" };
      assert.match(await sendMail(server.ports.smtp, mail), /^4/);
    }
  };
  await lookUp(0);
  const before = socketsOf(server.process.pid);
  for (let round = 1; round <= 4; round++) {
    await hangUp(server);
    await lookUp(round);
  }
  const after = socketsOf(server.process.pid);
  assert.ok(after <= before + 2, `${before} sockets before four reloads, ${after} after`);
});
