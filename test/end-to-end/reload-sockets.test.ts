import assert from "node:assert/strict";
import { once } from "node:events";
import { statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { descriptorOf } from "../../src/foundation/ffi/peer-credentials.io.ts";
import { hangUp } from "../hang-up.ts";
import { freePort, LAYOUTS, startServer, type Layout } from "../server.ts";
import { smtpConnect } from "../smtp-client.ts";

const whole = (layout: Layout, listeners: readonly string[]): string => `hostname: mx.posthorn.test
state: ./data
user: nobody
processes: { layout: ${layout}, ingress: 1, egress: 1 }
listeners:
${listeners.map((listener) => `  - { ${listener}, protocol: smtp }\n`).join("")}`;

async function greetingAt(path: string): Promise<string> {
  const socket = connect(path);
  const [greeting] = await once(socket, "data");
  socket.destroy();
  return String(greeting);
}

for (const layout of LAYOUTS)
  test(`${layout}: a listener on a path gets another name, and other people may use it, without a restart`, async () => {
    const smtp = "name: smtp, address: 127.0.0.1, port: {smtp}";
    await using server = await startServer({
      layout,
      wholeSettings: whole(layout, [smtp, "name: sock, path: ./in.sock, pathMode: '0666'"]),
    });
    const path = join(server.folder, "in.sock");
    for (const [listener, mode] of [
      ["name: renamed, path: ./in.sock, pathMode: '0666'", 0o666],
      ["name: renamed, path: ./in.sock, pathMode: '0600', backlog: 5", 0o600],
    ] as const) {
      server.rewrite({ wholeSettings: whole(layout, [smtp, listener]) });
      assert.match(await hangUp(server), /^reload -- /);
      assert.equal(statSync(path).mode & 0o777, mode);
      assert.match(await greetingAt(path), /^220 /);
    }
    assert.equal(await server.stop(), 0);
  });

for (const layout of LAYOUTS)
  test(`${layout}: a listener on systemd's socket may say another address, and get another name and its own back`, async () => {
    const port = await freePort();
    const systemd = createServer().listen(port, "127.0.0.1");
    await once(systemd, "listening");
    const fd = descriptorOf(systemd);
    assert.ok(fd !== undefined);
    const at = (address: string, name: string): string =>
      whole(layout, [`name: ${name}, address: ${address}, port: ${port}`]);
    await using server = await startServer({
      layout,
      wholeSettings: at("127.0.0.1", "smtp"),
      descriptors: [fd],
      env: { LISTEN_FDS: "1", LISTEN_FDNAMES: "smtp" },
      wrapper: ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"],
    });
    systemd.close();
    const greets = async (): Promise<void> => {
      const client = await smtpConnect(port);
      assert.match(await client.reply(), /^220 /);
      client.close();
    };
    await greets();
    for (const [address, name] of [
      ["0.0.0.0", "smtp"],
      ["127.0.0.1", "smtp"],
      ["127.0.0.1", "other"],
      ["127.0.0.1", "smtp"],
    ] as const) {
      server.rewrite({ wholeSettings: at(address, name) });
      assert.match(await hangUp(server), /^reload -- /, `${name} at ${address}`);
      for (let times = 0; times < 3; times++) await greets();
    }
    assert.equal(await server.stop(), 0);
  });
