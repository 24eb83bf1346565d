import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import { systemClock } from "../../../foundation/clock.io.ts";
import { seededRandom } from "../../../foundation/random.ts";
import { openBackend } from "../open-backend.io.ts";
import { tablesSettings } from "../settings.ts";
import { isBackendSource } from "../backend-source.ts";
import { testAuthority } from "../../../testing/test-authority.ts";
import { trustIn } from "../../../testing/trust.ts";

const authority = await testAuthority("The system's");

/** A server, or somebody between, who knows no encryption. `answer` says what it replies to what came so far. */
async function plainServer(
  greeting: Uint8Array | undefined,
  answer: (heard: Buffer) => Uint8Array | undefined,
): Promise<{ readonly port: number; heard(): Buffer } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  let heard = Buffer.alloc(0);
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    if (greeting !== undefined) socket.write(greeting);
    socket.on("data", (bytes) => {
      heard = Buffer.concat([heard, bytes]);
      const reply = answer(heard);
      if (reply !== undefined) socket.write(reply);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    heard: () => heard,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

async function askedOnce(kind: string, options: object): Promise<string> {
  const { table } = tablesSettings.parse({
    table: { [kind]: { connectTimeout: "1s", queryTimeout: "1s", tls: "verify", ...options } },
  });
  assert.ok(table !== undefined && isBackendSource(table));
  const backend = await openBackend("table", table, {
    clock: systemClock,
    random: seededRandom(1),
    trust: trustIn(authority.certificatePem),
    onFinding: () => {},
    secrets: { table: "sesame" },
  });
  const answer = await backend.get("joe", { service: "alias" });
  await backend.close();
  return answer.kind === "failed" ? answer.text : answer.kind;
}

const sql = { database: "mail", user: "posthorn", queries: { alias: "select a from t where k = :key" } };

test("a PostgreSQL server that refuses encryption hears no name and no password", async () => {
  await using server = await plainServer(undefined, () => Buffer.from("N"));
  assert.match(await askedOnce("postgres", { ...sql, hosts: `localhost:${server.port}` }), /does not support SSL/);
  assert.equal(server.heard().length, 8);
});

test("a MySQL server that refuses encryption hears no name and no password", async () => {
  // Protocol 10 with all that clients want but encryption.
  const payload = Buffer.concat([
    Buffer.from("\n8.0.0\0\x01\0\0\0abcdefgh\0", "latin1"),
    Buffer.from([0xff, 0xf7, 0x2d, 2, 0, 0xff, 0x00, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    Buffer.from("ijklmnopqrst\0mysql_native_password\0", "latin1"),
  ]);
  const greeting = Buffer.concat([Buffer.from([payload.length, 0, 0, 0]), payload]);
  await using server = await plainServer(greeting, () => undefined);
  assert.match(await askedOnce("mysql", { ...sql, hosts: `localhost:${server.port}` }), /secure connection/);
  assert.equal(server.heard().length, 0);
});

test("a directory that refuses StartTLS hears no name and no password", async () => {
  // protocolError to whatever was asked first; its number is the fifth byte.
  await using server = await plainServer(undefined, (heard) =>
    Buffer.from([0x30, 12, 2, 1, heard[4] ?? 0, 0x78, 7, 10, 1, 2, 4, 0, 4, 0]),
  );
  const text = await askedOnce("ldap", {
    hosts: `localhost:${server.port}`,
    bindDn: "cn=posthorn",
    password: "sesame",
    base: "dc=example",
    searches: { alias: { filter: "(mail=%{key})", attributes: ["uid"] } },
  });
  assert.match(text, /^ldap localhost:\d+: /);
  assert.match(server.heard().toString("latin1"), /1\.3\.6\.1\.4\.1\.1466\.20037/);
  assert.doesNotMatch(server.heard().toString("latin1"), /sesame|posthorn/);
  assert.ok(server.heard().length < 64);
});

test("a Redis server without encryption hears no password", async () => {
  await using server = await plainServer(undefined, () => Buffer.from("-ERR what\r\n"));
  const text = await askedOnce("redis", { hosts: `localhost:${server.port}`, commands: { alias: "GET %{key}" } });
  assert.match(text, /^redis localhost:\d+: /);
  assert.doesNotMatch(server.heard().toString("latin1"), /sesame|AUTH/);
});
