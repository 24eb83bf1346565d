import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
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
