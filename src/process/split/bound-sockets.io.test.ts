import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { once } from "node:events";
import { test } from "node:test";
import { bindSocket, ipv6Bytes } from "./bound-sockets.ts";

test("a bound socket is one that a server can listen on by its descriptor", async () => {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  assert(address !== null && typeof address === "object");
  const port = address.port;
  probe.close();
  await once(probe, "close");

  const bound = bindSocket("in", { address: "127.0.0.1", port });
  const server = createServer((socket) => socket.end("hello")).listen({ fd: bound.fd });
  const client = connect(port, "127.0.0.1");
  const [greeting] = await once(client, "data");
  assert.equal(String(greeting), "hello");
  server.close();
});

test("a port in use is told with the listener, the place and what to do", async () => {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  const address = holder.address();
  assert(address !== null && typeof address === "object");
  assert.throws(() => bindSocket("mx", { address: "127.0.0.1", port: address.port }), {
    code: "PORT_UNAVAILABLE",
    message: `listener mx: cannot bind 127.0.0.1:${address.port}: EADDRINUSE`,
  });
  holder.close();
});

test("every writing of an IPv6 address gives its bytes", () => {
  assert.equal(ipv6Bytes("::1").toString("hex"), "00000000000000000000000000000001");
  assert.equal(ipv6Bytes("2001:db8::8:800:200c:417a").toString("hex"), "20010db80000000000080800200c417a");
  assert.equal(ipv6Bytes("::ffff:192.0.2.1").toString("hex"), "00000000000000000000ffffc0000201");
  assert.equal(ipv6Bytes("fe80::1%lo").toString("hex"), "fe800000000000000000000000000001");
});
