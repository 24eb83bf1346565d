import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { testAuthority } from "../../testing/test-authority.ts";
import { alpnAnswerer } from "./alpn-answerer.io.ts";
import { httpAnswerer } from "./http-answerer.io.ts";
import { boundVisitors } from "./visitors.io.ts";

/** Opens as many connections from an address as there may be, says half a word on each, and does not give up. */
async function sitIn(port: number, localAddress: string, says: string): Promise<Disposable> {
  let isOver = false;
  const open = new Set<Socket>();
  const sit = (): Socket => {
    const socket = connect({ port, host: "127.0.0.1", localAddress });
    open.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => {
      open.delete(socket);
      if (!isOver) setTimeout(sit, 5);
    });
    socket.write(says);
    return socket;
  };
  await Promise.all(Array.from({ length: 256 }, () => once(sit(), "connect")));
  return {
    [Symbol.dispose]() {
      isOver = true;
      for (const socket of open) socket.destroy();
    },
  };
}

test("a peer with as many slow connections as there may be does not keep an authority from its answer", async () => {
  const answerer = await httpAnswerer({ address: "127.0.0.1", port: 0 });
  await answerer.show({ name: "mx.example", token: "tok", keyAuthorization: "tok.key" });
  using _sitting = await sitIn(answerer.port, "127.0.0.9", "GET / HTTP/1.1\r\n");
  for (let question = 0; question < 10; question++) {
    const answer = await fetch(`http://127.0.0.1:${answerer.port}/.well-known/acme-challenge/tok`);
    assert.equal(await answer.text(), "tok.key");
  }
  await answerer.close();
});

test("nor does it over TLS", async () => {
  const answerer = await alpnAnswerer({ address: "127.0.0.1", port: 0 });
  const certificate = await (await testAuthority("a")).issue(["mx.example"]);
  await answerer.show({ name: "mx.example", token: "", keyAuthorization: "", certificate });
  using _sitting = await sitIn(answerer.port, "127.0.0.9", "\x16\x03");
  for (let question = 0; question < 10; question++) {
    const socket = connectTls({
      port: answerer.port,
      host: "127.0.0.1",
      servername: "mx.example",
      ALPNProtocols: ["acme-tls/1"],
      rejectUnauthorized: false,
    });
    await once(socket, "secureConnect");
    assert.equal(socket.alpnProtocol, "acme-tls/1");
    socket.destroy();
  }
  await answerer.close();
});

test("where there are too many, the oldest of those who have most goes", async () => {
  const server = createServer();
  boundVisitors(server, 4);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const gone: string[] = [];
  const come = async (name: string, localAddress: string): Promise<Socket> => {
    // The listening socket was opened above, with a port.
    const socket = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", localAddress });
    socket.on("error", () => {});
    socket.on("close", () => gone.push(name));
    socket.resume();
    await once(socket, "connect");
    await wait(20);
    return socket;
  };
  const all = [
    await come("a1", "127.0.0.2"),
    await come("b1", "127.0.0.3"),
    await come("b2", "127.0.0.3"),
    await come("c1", "127.0.0.4"),
  ];
  assert.deepEqual(gone, []);
  all.push(await come("d1", "127.0.0.5"));
  assert.deepEqual(gone, ["b1"]);
  all.push(await come("e1", "127.0.0.6"));
  assert.deepEqual(gone, ["b1", "a1"]);
  all.push(await come("e2", "127.0.0.6"));
  assert.deepEqual(gone, ["b1", "a1", "e1"]);
  for (const socket of all) socket.destroy();
  server.close();
});
