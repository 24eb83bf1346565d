/**
 * A key in a token. Wants OpenSSL's PKCS#11 provider in this process, and a token:
 *
 *     OPENSSL_CONF=provider.cnf POSTHORN_PKCS11_KEY="pkcs11:token=t;object=mx;type=private" \
 *       POSTHORN_PKCS11_CERTIFICATE=mx.pem node --test test/interop/pkcs11.test.ts
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { systemClock } from "../../src/foundation/clock.io.ts";
import { tlsServer } from "../../src/service/tls/server.io.ts";
import { loadPair } from "../../src/service/tls/keeper/source.io.ts";
import { testProfile } from "../../src/testing/tls-profile.ts";

const { POSTHORN_PKCS11_KEY: key, POSTHORN_PKCS11_CERTIFICATE: certificate } = process.env;

test("a server shows a certificate whose key is in a token, in both versions of TLS", async (t) => {
  if (key === undefined || certificate === undefined) {
    t.skip("no PKCS#11 provider and token: set OPENSSL_CONF, POSTHORN_PKCS11_KEY and POSTHORN_PKCS11_CERTIFICATE");
    return;
  }
  const loaded = await loadPair({ certificate, key });
  assert.ok(loaded.ok);
  const profile = testProfile([loaded.value.pair]);
  const engine = tlsServer({ profile: () => profile, clock: systemClock });
  const server = createServer({ allowHalfOpen: true }, (raw) => {
    void engine.accept(raw, { deadlineMs: 10_000 }).then((handshaken) => {
      assert.ok(handshaken.ok);
      handshaken.connection.socket.end("hello");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  // A TCP server says where it listens.
  const { port } = server.address() as AddressInfo;
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    for (let at = 0; at < 20; at++) {
      const socket = connectTls({
        socket: connect(port, "127.0.0.1"),
        minVersion: version,
        maxVersion: version,
        rejectUnauthorized: false,
      });
      const [greeting] = (await once(socket, "data")) as [Buffer];
      assert.equal(greeting.toString(), "hello");
      socket.destroy();
    }
  }
  server.close();
});
