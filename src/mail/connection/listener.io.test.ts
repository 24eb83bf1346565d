import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import { PosthornError } from "../../foundation/error.ts";
import type { DnsAnswer, Resolver } from "../../protocol/dns/resolver.ts";
import { rawClient } from "../../testing/reception.ts";
import { testCertificate, testListener, tlsClient, type TestListener } from "../../testing/test-listener.ts";
import { listenerSettings } from "./settings.ts";
import { sessionSettings } from "../session/settings.ts";

const LAST = /^(?:\d{3} .*)\r\n$/m;
const PROXIED = { proxyFrom: ["loopback"] };

function proxied(server: TestListener, from: string, more = ""): ReturnType<TestListener["connect"]> {
  const client = server.connect();
  client.send(`PROXY TCP4 ${from} 198.51.100.1 4000 25\r\n${more}`);
  return client;
}

function resolverThat(parts: Partial<Resolver>): Resolver {
  const none = (): Promise<DnsAnswer<never>> =>
    Promise.resolve({ kind: "none", because: "no-such-name", ttlMs: 1, secure: false });
  return { mx: none, ipv4: none, ipv6: none, ptr: none, txt: none, ...parts };
}

test("the client that a PROXY header names is the client in every way", async () => {
  await using server = await testListener({ ...PROXIED, limits: { connectionsPerAddress: 1 } });
  const client = proxied(server, "192.0.2.7");
  await client.expect(/^220/);
  await client.say("EHLO x\r\n", LAST);
  assert.match(await proxied(server, "192.0.2.7").rest(), /^421 4\.7\.0/);
  await proxied(server, "192.0.2.8").expect(/^220/);
  await client.say("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n", /^354/m);
  await client.say("hi\r\n.\r\n", /queued/);
  assert.equal(server.queue.commits[0]?.message.origin.address, "192.0.2.7");
  await server.logged(/^connect from unknown\[192\.0\.2\.7\]$/);
  await server.logged(/Connection concurrency per address limit exceeded: from unknown\[192\.0\.2\.7\]/);
});

test("a client of the network that has gone before it was taken is no user of this host", async () => {
  await using server = await testListener();
  // Such a socket has no address any more, and can still have been written to.
  const [ours, theirs] = duplexPair();
  ours.write("EHLO x\r\n");
  server.listener.accept(theirs as unknown as Socket);
  for (let at = 0; at < 500 && server.listener.open > 0; at++) await new Promise((go) => setTimeout(go, 10));
  assert.equal(server.listener.open, 0);
  assert.deepEqual(
    server.log.lines.filter((line) => line.includes("local")),
    [],
  );
});

test("a PROXY header of version 2 that comes byte by byte is read, and the dialogue goes on", async () => {
  await using server = await testListener(PROXIED);
  const client = server.connect();
  const header = Buffer.from("0d0a0d0a000d0a515549540a2111000cc0000207c633640113880019", "hex");
  for (const byte of header) {
    client.socket.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await client.expect(/^220/);
  await server.logged(/^connect from unknown\[192\.0\.2\.7\]/);
});

test("an IPv4 client that came to a proxy's IPv6 socket is that IPv4 client", async () => {
  const asked: string[] = [];
  const resolver = resolverThat({
    ptr: (address) => {
      asked.push(address);
      return Promise.resolve({ kind: "none", because: "no-such-name", ttlMs: 1, secure: false });
    },
  });
  await using server = await testListener(PROXIED, { world: { resolver } });
  const client = server.connect();
  const mapped = (address: string): string => `00000000000000000000ffff${address}`;
  const header = `0d0a0d0a000d0a515549540a21210024${mapped("c0000207")}${mapped("c6336401")}13880019`;
  client.socket.write(Buffer.from(header, "hex"));
  await client.expect(/^220/);
  await server.logged(/^connect from unknown\[192\.0\.2\.7\]/);
  assert.deepEqual(asked, ["192.0.2.7"]);
});

test("a proxy without a proper header is cut, at once or when its time is over", async () => {
  await using server = await testListener({ ...PROXIED, proxyTimeout: "200ms" });
  const wrong = server.connect();
  wrong.send("EHLO x\r\n");
  assert.equal(await wrong.rest(), "");
  const silent = server.connect();
  assert.equal(await silent.rest(), "");
  await server.logged(/^warning: proxy 127\.0\.0\.1 for service test: no PROXY header in time/);
  for (let at = 0; at < 6000 && server.listener.open > 0; at++) await new Promise((go) => setTimeout(go, 10));
  assert.equal(server.listener.open, 0);
});

test("a PROXY header from somebody who is no proxy is just a bad command", async () => {
  await using server = await testListener({ proxyFrom: ["192.0.2.0/24"] });
  const client = server.connect();
  await client.expect(/^220/);
  assert.match(await client.say("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", LAST), /^500/);
});

test("connections beyond the limit in all are refused, and places that are free again are given", async () => {
  await using server = await testListener({ limits: { connections: 3 } });
  const clients = [server.connect(), server.connect(), server.connect()];
  for (const client of clients) await client.expect(/^220/);
  assert.match(await server.connect().rest(), /^421 4\.7\.0/);
  clients[0]?.socket.end("QUIT\r\n");
  await server.logged(/^disconnect from/);
  await server.connect().expect(/^220/);
});

test("rates of connections, messages and recipients are held per client", async () => {
  await using server = await testListener({
    ...PROXIED,
    limits: { connectionRate: 2, messageRate: 1, recipientRate: 1, commandRate: 6 },
  });
  const client = proxied(server, "192.0.2.7");
  await client.expect(/^220/);
  await client.say("EHLO x\r\n", LAST);
  await client.say("MAIL FROM:<a@b.example>\r\n", /^250/);
  await client.say("RCPT TO:<c@d.example>\r\n", /^250/);
  assert.match(await client.say("RCPT TO:<c@d.example>\r\n", LAST), /^450 4\.7\.1/);
  await client.say("RSET\r\n", /^250/);
  assert.match(await client.say("MAIL FROM:<a@b.example>\r\n", LAST), /^450 4\.7\.1/);
  assert.match(await client.say("NOOP\r\n", LAST), /^421 4\.7\.0/);
  await proxied(server, "192.0.2.7").expect(/^220/);
  assert.match(await proxied(server, "192.0.2.7").rest(), /^421/);
  await server.logged(/^warning: Connection rate limit exceeded: from unknown\[192\.0\.2\.7\] for service test/);
});

test("a name that the DNS confirms is the client's; one that does not come in time is not waited for", async () => {
  const resolver = resolverThat({
    ptr: (address) =>
      address === "192.0.2.8"
        ? new Promise(() => {})
        : Promise.resolve({ kind: "found", records: ["mail.example"], ttlMs: 1, secure: false }),
    ipv4: () => Promise.resolve({ kind: "found", records: ["192.0.2.7"], ttlMs: 1, secure: false }),
  });
  await using server = await testListener({ ...PROXIED, reverseDnsTimeout: "100ms" }, { world: { resolver } });
  await proxied(server, "192.0.2.7").expect(/^220/);
  await server.logged(/^connect from mail\.example\[192\.0\.2\.7\]$/);
  await proxied(server, "192.0.2.8").expect(/^220/);
  await server.logged(/^connect from unknown\[192\.0\.2\.8\]$/);
});

test("who speaks before the greeting is refused", async () => {
  const resolver = resolverThat({ ptr: () => new Promise(() => {}) });
  await using server = await testListener({ ...PROXIED, reverseDnsTimeout: "100ms" }, { world: { resolver } });
  const client = proxied(server, "192.0.2.7", "EHLO x\r\n");
  assert.match(await client.rest(), /^554 5\.5\.0/);
  const polite = proxied(server, "192.0.2.7");
  await polite.expect(/^220/);
  await polite.say("EHLO x\r\n", LAST);
});

test("implicit TLS speaks from the first byte, and what is not TLS is cut", async () => {
  const tls = await testCertificate();
  await using server = await testListener({ tls: "implicit", protocol: "submission" }, { world: { tls: () => tls } });
  const client = await tlsClient(server.port);
  await client.expect(/^220/);
  const offer = await client.say("EHLO x\r\n", LAST);
  assert.match(offer, /AUTH PLAIN LOGIN/);
  assert.doesNotMatch(offer, /STARTTLS/);
  await client.say("QUIT\r\n", /^221/);
  const plain = server.connect();
  plain.send("EHLO x\r\n");
  await plain.rest();
  await server.logged(/^SSL_accept error from/);
});

test("STARTTLS is offered only when there is a certificate to show", async () => {
  await using without = await testListener();
  assert.doesNotMatch(await (await without.hello()).say("EHLO y\r\n", LAST), /STARTTLS/);
  const tls = await testCertificate();
  await using withOne = await testListener({}, { world: { tls: () => tls } });
  const client = withOne.connect();
  await client.expect(/^220/);
  assert.match(await client.say("EHLO y\r\n", LAST), /STARTTLS/);
});

test("LMTP on a unix socket, with the file mode asked for, and a dead socket in the way is replaced", async () => {
  const directory = mkdtempSync(join(tmpdir(), "posthorn-listener-"));
  const path = join(directory, "lmtp");
  try {
    {
      await using server = await testListener({ path, protocol: "lmtp", pathMode: "0600" });
      assert.equal(statSync(path).mode & 0o777, 0o600);
      const client = rawClient(path);
      await client.expect(/^220 mx\.test LMTP/);
      await client.say("LHLO x\r\n", LAST);
      await client.say("MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n", /^354/m);
      await client.say("hi\r\n.\r\n", /^250 2\.0\.0 <c@d\.example>/);
      assert.equal(server.queue.commits[0]?.message.origin.address, undefined);
      await assert.rejects(
        testListener({ path, protocol: "lmtp" }),
        (error) => error instanceof PosthornError && error.code === "PORT_UNAVAILABLE",
      );
    }
    writeFileSync(path, "mine");
    await assert.rejects(testListener({ path }), /another program listens|cannot listen/);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a port that is taken is told with the listener's name and what to do", async () => {
  await using server = await testListener();
  await assert.rejects(testListener({ port: server.port, address: "127.0.0.1" }), (error) => {
    assert.ok(error instanceof PosthornError);
    assert.match(error.message, /^listener test cannot listen on 127\.0\.0\.1:\d+: /);
    assert.match(error.advice, /another program/);
    return error.code === "PORT_UNAVAILABLE";
  });
});

test("a server that somebody else bound is taken over", async () => {
  const bound = createServer();
  await new Promise<void>((resolve) => bound.listen(0, "127.0.0.1", resolve));
  await using server = await testListener();
  await server.listener.close(0);
  await using other = await testListener({}, { inherited: { server: bound } });
  const client = rawClient(other.port);
  await client.expect(/^220/);
});

test("a stop ends idle sessions with 421, lets a transaction end, and takes no new connection", async () => {
  await using server = await testListener();
  const idle = await server.hello();
  const busy = await server.hello();
  await busy.say("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n", /^250 .*\r\n250/);
  const closed = server.listener.close(60_000);
  assert.match(await idle.rest(), /^421 4\.3\.2/);
  const late = server.connect();
  await assert.rejects(late.expect(/^220/));
  await busy.say("DATA\r\n", /^354/);
  assert.match(await busy.say("hi\r\n.\r\n", /^421/m), /^250 .*queued as .*\r\n421 4\.3\.2/);
  await closed;
  assert.equal(server.queue.commits.length, 1);
  assert.equal(server.listener.open, 0);
});

test("a transaction that does not end is cut when the stop's time is over", async () => {
  await using server = await testListener();
  const client = await server.hello();
  await client.say("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n", /^354/m);
  client.send("half");
  await new Promise((resolve) => setTimeout(resolve, 20));
  await server.listener.close(50);
  await client.rest();
  assert.equal(server.queue.openWriters, 0);
});

test("new settings are for new connections; running sessions keep theirs", async () => {
  await using server = await testListener();
  const before = await server.hello();
  server.listener.reconfigure({
    settings: listenerSettings.parse({ name: "test", port: 0, vrfy: "refuse", session: { messageSize: "64KiB" } }),
    session: sessionSettings.parse({}),
    hostname: "new.test",
  });
  assert.match(await before.say("VRFY a@b.example\r\n", LAST), /^252/);
  const after = server.connect();
  await after.expect(/^220 new\.test/);
  assert.match(await after.say("EHLO x\r\n", LAST), /SIZE 65536\r\n/);
  assert.match(await after.say("VRFY a@b.example\r\n", LAST), /^502/);
});

test("XCLIENT is for the networks that the listener trusts", async () => {
  await using server = await testListener({ xclientFrom: ["loopback"] });
  const client = await server.hello();
  await client.say("XCLIENT NAME=spike.example ADDR=192.0.2.99\r\n", /^220/);
  await client.say("EHLO x\r\n", LAST);
  await client.say("QUIT\r\n", /^221/);
  await server.logged(/^disconnect from spike\.example\[192\.0\.2\.99\]/);
});

test("settings without a place, or with two, are refused", () => {
  assert.equal(listenerSettings.safeParse({ name: "x" }).success, false);
  assert.equal(listenerSettings.safeParse({ name: "x", port: 25, path: "/x" }).success, false);
  assert.equal(listenerSettings.safeParse({ name: "x", port: 25 }).success, true);
  assert.equal(listenerSettings.safeParse({ name: "x", port: 25, session: { hops: 1 } }).success, false);
});
