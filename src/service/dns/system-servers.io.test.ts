import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { virtualClock } from "../../simulator/clock.ts";
import { createResolver } from "./resolver.io.ts";
import { serverText } from "./servers.ts";
import { dnsSettings } from "./settings.ts";
import { systemServers } from "./system-servers.io.ts";

function setUp(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "posthorn-resolv-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "resolv.conf");
  const clock = virtualClock(0);
  const servers = systemServers(clock, path);
  return { path, clock, servers, texts: () => servers().servers.map(serverText) };
}

test("what DHCP writes into resolv.conf while the server runs holds within a second", async (t) => {
  const { path, clock, servers, texts } = setUp(t);
  assert.deepEqual(texts(), ["127.0.0.1:53"]);
  assert.match(servers().says ?? "", /resolv\.conf names no DNS server/);
  writeFileSync(path, "search example.org\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\n");
  assert.deepEqual(texts(), ["127.0.0.1:53"], "not looked at before each question");
  await clock.advance(1000);
  assert.deepEqual(texts(), ["192.0.2.1:53", "[fe80::1%eth0]:53"]);
  assert.equal(servers().says, undefined);
  writeFileSync(`${path}.new`, "nameserver 192.0.2.2\n");
  renameSync(`${path}.new`, path);
  await clock.advance(1000);
  assert.deepEqual(texts(), ["192.0.2.2:53"]);
  const known = servers();
  await clock.advance(1000);
  assert.equal(servers(), known, "the same file is the same list");
  writeFileSync(path, "# nobody\n");
  await clock.advance(1000);
  assert.deepEqual(texts(), ["127.0.0.1:53"]);
});

test("a resolv.conf that cannot be read is told by each lookup, until it can", async (t) => {
  const { path, clock, texts } = setUp(t);
  mkdirSync(path);
  await using resolver = createResolver({ clock, settings: dnsSettings.parse({}), resolvConf: path });
  const result = await resolver.mx("a.example");
  assert.ok(result.kind === "failed");
  assert.match(result.finding.text, /resolv\.conf cannot be read \(EISDIR.*dns\.servers/);
  assert.deepEqual(texts(), []);
  rmSync(path, { recursive: true });
  writeFileSync(path, "nameserver 192.0.2.1\n");
  await clock.advance(1000);
  assert.deepEqual(texts(), ["192.0.2.1:53"]);
});
