import assert from "node:assert/strict";
import { createHash, pbkdf2Sync } from "node:crypto";
import { once } from "node:events";
import { test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { systemClock } from "../../foundation/clock.io.ts";
import { makeClient } from "../../protocol/sasl/make-client.ts";
import { SCRAM_HASHES } from "../../protocol/sasl/scram.ts";
import { throttledLogins } from "../../service/account/throttled-logins.ts";
import { throttleSettings } from "../../service/account/throttle-settings.ts";
import { onePerson } from "../../testing/one-person.ts";
import { testCertificate, testListener, type TestListener } from "../../testing/test-listener.ts";

const tls = await testCertificate();

function listener(): Promise<TestListener> {
  const logins = throttledLogins({
    clock: systemClock,
    authenticator: onePerson("pencil"),
    throttle: throttleSettings.parse({}),
    secret: Buffer.alloc(32),
  });
  return testListener(
    { tls: "implicit", protocol: "submission", authMechanisms: ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"] },
    { world: { tls: () => tls, logins } },
  );
}

interface Client {
  readonly socket: TLSSocket;
  readonly say: (line: string) => Promise<string>;
}

async function client(
  server: TestListener,
  options: { version: "TLSv1.2" | "TLSv1.3"; session?: Buffer | undefined },
): Promise<Client> {
  const socket = connect({
    port: server.port,
    host: "127.0.0.1",
    servername: "mx.test",
    rejectUnauthorized: false,
    minVersion: options.version,
    maxVersion: options.version,
    session: options.session,
  });
  const reply = async (): Promise<string> => {
    let text = "";
    while (!/^\d{3} .*\r\n$/m.test(text)) text += String((await once(socket, "data"))[0]);
    return text;
  };
  await reply();
  return {
    socket,
    say: (line) => {
      socket.write(`${line}\r\n`);
      return reply();
    },
  };
}

/** The reply that ends a login tied to `value`. */
async function login({ say }: Client, kind: string, value: Buffer): Promise<string> {
  assert.match(await say("EHLO me.example"), /AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256\r\n/);
  const sasl = makeClient("SCRAM-SHA-256-PLUS", { user: "ann", password: "pencil" }, () => ({
    nonce: "a-nonce-of-the-client",
    derive: async (text, salt, iterations, hash) =>
      pbkdf2Sync(text, salt, iterations, SCRAM_HASHES[hash].bytes, SCRAM_HASHES[hash].digest),
    binding: { kind, value },
  }));
  let reply = await say(`AUTH SCRAM-SHA-256-PLUS ${sasl.initial?.toString("base64")}`);
  while (reply.startsWith("334 ")) {
    const response = await sasl.respond(Buffer.from(reply.slice(4), "base64"));
    assert.ok(response.ok);
    reply = await say(response.value.toString("base64"));
  }
  return reply;
}

function endPoint({ socket }: Client): Buffer {
  return createHash("sha256")
    .update(socket.getPeerX509Certificate()?.raw ?? "")
    .digest();
}

test("a login is tied to TLS 1.3 by its exporter or the certificate, and not by tls-unique", async () => {
  await using server = await listener();
  const one = await client(server, { version: "TLSv1.3" });
  const exported = one.socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));
  assert.match(await login(one, "tls-exporter", exported), /^235 /);
  const two = await client(server, { version: "TLSv1.3" });
  assert.match(await login(two, "tls-server-end-point", endPoint(two)), /^235 /);
  const three = await client(server, { version: "TLSv1.3" });
  assert.match(await login(three, "tls-exporter", exported), /^535 .*\(channel-bindings-dont-match\)/);
  assert.match(
    await login(three, "tls-unique", three.socket.getFinished() ?? Buffer.alloc(12)),
    /^535 .*\(unsupported-channel-binding-type\)/,
  );
  for (const { socket } of [one, two, three]) socket.destroy();
});

test("a login is tied to TLS 1.2 by tls-unique, unless the session was resumed, and by no exporter", async () => {
  await using server = await listener();
  const one = await client(server, { version: "TLSv1.2" });
  assert.match(await login(one, "tls-unique", one.socket.getFinished() ?? Buffer.alloc(0)), /^235 /);
  const session = one.socket.getSession();
  const two = await client(server, { version: "TLSv1.2", session });
  assert.equal(two.socket.isSessionReused(), true);
  assert.match(
    await login(two, "tls-unique", two.socket.getPeerFinished() ?? Buffer.alloc(0)),
    /^535 .*\(unsupported-channel-binding-type\)/,
  );
  const exported = two.socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));
  assert.match(await login(two, "tls-exporter", exported), /^535 .*\(unsupported-channel-binding-type\)/);
  const three = await client(server, { version: "TLSv1.2" });
  assert.match(await login(three, "tls-server-end-point", endPoint(three)), /^235 /);
  for (const { socket } of [one, two, three]) socket.destroy();
});
