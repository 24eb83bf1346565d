import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { LAYOUTS, startServer } from "../server.ts";
import { sendMail } from "../smtp-client.ts";

/** A next host that thinks for a while after the final dot. */
async function slowHost(
  afterDotMs: number,
): Promise<AsyncDisposable & { port: number; taken: string[]; dots: number }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    let isData = false;
    let held = "";
    socket.write("220 slow.test ESMTP\r\n");
    socket.on("data", (bytes: Buffer) => {
      held += bytes.toString("latin1");
      for (let end = held.indexOf("\r\n"); end >= 0; end = held.indexOf("\r\n")) {
        const line = held.slice(0, end);
        held = held.slice(end + 2);
        if (isData) {
          if (line.startsWith("Subject: ")) host.taken.push(line);
          if (line !== ".") continue;
          isData = false;
          host.dots++;
          setTimeout(() => socket.write("250 2.0.0 at last\r\n"), afterDotMs);
        } else if (line === "DATA") {
          isData = true;
          socket.write("354 go on\r\n");
        } else if (line === "QUIT") socket.end("221 bye\r\n");
        else socket.write("250 ok\r\n");
      }
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has a numeric address");
  const host = {
    port: address.port,
    taken: [] as string[],
    dots: 0,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
  return host;
}

for (const layout of LAYOUTS)
  test(`${layout}: a stop waits for a delivery under way, and the mail is not delivered again after the next start`, async () => {
    await using host = await slowHost(1500);
    const settings = `actions: { out: { relay: { to: "smtp://127.0.0.1:${host.port}" } } }
rules: [ { match: { for: far.test }, action: out }, { match: { for: local }, action: deliver } ]
`;
    await using server = await startServer({ layout, settings });
    const reply = await sendMail(server.ports.smtp, {
      from: "a@b.test",
      to: "x@far.test",
      content: "Subject: slow\n\nx",
    });
    assert.match(reply, /^250 /);
    for (let waited = 0; host.dots === 0 && waited < 10_000; waited += 20) await wait(20);
    assert.equal(host.dots, 1);
    assert.equal(await server.stop(), 0);
    assert.match(server.output(), /to=<x@far\.test>, .*status=sent \(250 2\.0\.0 at last\)/);
    await using again = await startServer({ layout, folder: server.folder, ports: server.ports, settings });
    await sendMail(again.ports.smtp, { from: "a@b.test", to: "ada@localhost", content: "Subject: next\n\nx" });
    await again.waitForMails("ada", 1);
    assert.deepEqual(host.taken, ["Subject: slow"]);
    assert.equal(await again.stop(), 0);
  });

test("a command that outlives a stop is ended before its end, and its mail is delivered by the next start, once", async () => {
  const settings = `actions: { deliver: { deliver: command, command: 'echo begun >> "$HOME/begun"; sleep 60; echo done >> "$HOME/done"', user: server } }
`;
  await Promise.all(
    LAYOUTS.map(async (layout) => {
      const home = mkdtempSync(join(tmpdir(), "posthorn-outliving-"));
      chmodSync(home, 0o777);
      try {
        const told = settings.replaceAll("$HOME", home);
        await using server = await startServer({ layout, settings: told });
        await sendMail(server.ports.smtp, { from: "a@b.test", to: "ada@localhost", content: "Subject: x\n\nx" });
        for (let waited = 0; !existsSync(join(home, "begun")) && waited < 20_000; waited += 20) await wait(20);
        assert.equal(await server.stop(), 0);
        assert.match(server.output(), /status=deferred \(command: the server stopped before the command had ended/);
        const quick = told.replace("sleep 60; ", "");
        await using again = await startServer({ layout, folder: server.folder, ports: server.ports, settings: quick });
        await again.waitForOutput(/status=sent \(delivered to command/);
        assert.equal(await again.stop(), 0);
        assert.equal(readFileSync(join(home, "done"), "utf8"), "done\n");
      } finally {
        rmSync(home, { recursive: true });
      }
    }),
  );
});
