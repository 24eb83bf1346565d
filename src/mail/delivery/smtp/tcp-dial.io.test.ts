import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { tcpDial } from "./tcp-dial.io.ts";

const signal = AbortSignal.timeout(5000);

test("an address that this machine does not have is our own fault, and no host's", async () => {
  const dialled = await tcpDial({ ip: "127.0.0.1", port: 9, sourceAddress: "192.0.2.77" }, signal);
  assert.ok(!dialled.ok);
  assert.equal(dialled.reason, "source");
  assert.match(dialled.text, /^from 192\.0\.2\.77: /);
});

test("a connection comes from the address it was to come from", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const seen = new Promise<string | undefined>((resolve) =>
    server.once("connection", (socket) => {
      resolve(socket.remoteAddress);
      socket.destroy();
    }),
  );
  const place = server.address();
  assert.ok(place !== null && typeof place === "object");
  const dialled = await tcpDial({ ip: "127.0.0.1", port: place.port, sourceAddress: "127.0.0.9" }, signal);
  assert.ok(dialled.ok);
  assert.equal(await seen, "127.0.0.9");
  dialled.stream.destroy();
  server.close();
});
