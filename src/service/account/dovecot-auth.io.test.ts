import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { systemClock } from "../../foundation/clock.io.ts";
import { dovecotAuthenticator } from "./dovecot-auth.io.ts";

const GREETING = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n";

/** A server that does with each question what the list says, in its order. */
async function scripted(deeds: readonly ("ok" | "drop" | "silence")[], greeting = GREETING) {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-auth-"));
  const path = join(folder, "auth");
  const sockets: Socket[] = [];
  let next = 0;
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.write(greeting);
    socket.on("data", (bytes: Buffer) => {
      for (const [, id] of bytes.toString().matchAll(/^AUTH\t(\d+)/gm)) {
        const deed = deeds[next++];
        if (deed === "ok") socket.write(`OK\t${id}\tuser=joe\n`);
        if (deed === "drop") socket.destroy();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    accounts: dovecotAuthenticator({ kind: "dovecot", socket: { path }, service: "smtp", timeout: 300 }, systemClock),
    connections: () => sockets.length,
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

test("a connection that is lost fails what waits for it, and the next question has another", async () => {
  using server = await scripted(["ok", "drop", "ok"]);
  assert.equal((await server.accounts.checkPassword("joe", "x")).kind, "right");
  assert.equal((await server.accounts.checkPassword("joe", "x")).kind, "failed");
  assert.equal((await server.accounts.checkPassword("joe", "x")).kind, "right");
  assert.equal(server.connections(), 2);
  server.accounts.close();
});

test("a server that is silent is a failure in time, and asked anew over another connection", async () => {
  using server = await scripted(["silence", "ok"]);
  const answer = await server.accounts.checkPassword("joe", "x");
  assert.equal(answer.kind, "failed");
  assert.equal((await server.accounts.checkPassword("joe", "x")).kind, "right");
  server.accounts.close();
});

test("a connection that hangs is left though there is always somebody who waits for it", async () => {
  using server = await scripted(["silence", "silence", "silence", "silence", "ok"]);
  const answers: Promise<{ readonly kind: string }>[] = [];
  // Every 100 ms somebody, and each waits 300 ms: never is nobody there.
  for (let n = 0; n < 8; n++) {
    answers.push(server.accounts.checkPassword("joe", "x"));
    await wait(100);
  }
  assert.ok((await Promise.all(answers)).some(({ kind }) => kind === "right"));
  assert.ok(server.connections() > 1);
  server.accounts.close();
});

test("a server that does not take plain passwords, or speaks another protocol, is a failure", async () => {
  for (const greeting of [GREETING.replace("PLAIN", "GSSAPI"), GREETING.replace("VERSION\t1", "VERSION\t9")]) {
    using server = await scripted([], greeting);
    assert.equal((await server.accounts.checkPassword("joe", "x")).kind, "failed", greeting);
    server.accounts.close();
  }
});
