import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { canKnowPeers, descriptorOf, peerCredentials, peerGroups } from "./peer-credentials.io.ts";

async function seenByServer(
  listenAt: string | number,
): Promise<number | undefined | ReturnType<typeof peerCredentials>> {
  const server = createServer();
  server.listen(listenAt);
  await once(server, "listening");
  const address = server.address();
  const client =
    typeof address === "string" ? connect(address) : connect((address as { port: number }).port, "127.0.0.1");
  // Node's typing of once is any[]; a server's connection event carries the socket.
  const [socket] = (await once(server, "connection")) as [Socket];
  const descriptor = descriptorOf(socket);
  const credentials = descriptor === undefined ? undefined : peerCredentials(descriptor);
  client.destroy();
  socket.destroy();
  server.close();
  return credentials;
}

test("the peer of a unix socket is known by its process, user and group", async () => {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-peer-"));
  const seen = await seenByServer(join(directory, "socket"));
  rmSync(directory, { recursive: true });
  assert.deepEqual(seen, { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
});

test("the peer's groups are those that its process had", async () => {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-peer-"));
  const server = createServer();
  server.listen(join(directory, "socket"));
  await once(server, "listening");
  const client = connect(join(directory, "socket"));
  const [socket] = (await once(server, "connection")) as [Socket];
  const groups = peerGroups(descriptorOf(socket) ?? -1);
  client.destroy();
  socket.destroy();
  server.close();
  rmSync(directory, { recursive: true });
  // getgroups() of Node adds the effective group, which need not be among them.
  const own = process.getgroups?.() ?? [];
  assert.deepEqual(new Set([...groups, process.getegid?.()]), new Set(own));
  assert.ok(canKnowPeers());
  assert.deepEqual(peerGroups(0x7fff_ff00), []);
});

test("the peer of a TCP socket is not known", async () => {
  assert.equal(await seenByServer(0), undefined);
});

test("a descriptor that is no socket, or not open, gives no peer", () => {
  assert.equal(peerCredentials(0x7fff_ff00), undefined);
});
