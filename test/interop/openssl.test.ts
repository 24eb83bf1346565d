import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { requirePeer } from "../peers/peer.ts";
import { converse, run } from "../peers/running.ts";
import { startServer } from "../server.ts";

test("openssl s_client", async (t) => {
  const openssl = requirePeer("openssl", t);
  if (openssl === undefined) return;
  await using server = await startServer();
  const dial = (port: number, options: readonly string[]): readonly string[] => [
    "s_client",
    "-connect",
    `127.0.0.1:${port}`,
    "-servername",
    "mx.posthorn.test",
    "-quiet",
    "-verify_return_error",
    "-CAfile",
    join(server.folder, "data", "tls", "self-signed.pem"),
    "-verify_hostname",
    "mx.posthorn.test",
    ...options,
  ];
  for (const [name, port, start] of [
    ["STARTTLS on the public listener", server.ports.smtp, ["-starttls", "smtp"]],
    ["STARTTLS on submission", server.ports.submission, ["-starttls", "smtp"]],
    ["implicit TLS", server.ports.smtps, []],
  ] as const)
    for (const version of ["-tls1_2", "-tls1_3"])
      await t.test(`${name} with ${version}, the certificate verified`, async () => {
        const { status, output } = await converse(openssl, dial(port, [...start, version]), [
          // After STARTTLS the last line of the first EHLO's answer is shown, else the greeting.
          [/^2[25]0 .*\r?\n/m, "EHLO openssl.test"],
          [/^250 .*\r?\n/m, "NOOP"],
          [/^250 2\.0\.0 .*\r?\n/m, "QUIT"],
        ]);
        assert.equal(status, 0, output);
        assert.match(output, /^250-8BITMIME\r?$/m);
        assert.match(output, /^221 2\.0\.0 /m);
      });

  await t.test("versions before TLS 1.2 are refused", async () => {
    for (const version of ["-tls1", "-tls1_1"]) {
      const { status } = await run(openssl, dial(server.ports.smtps, [version, "-cipher", "ALL:@SECLEVEL=0"]));
      assert.notEqual(status, 0, version);
    }
    await server.waitForOutput(/SSL_accept error from \S+\[127\.0\.0\.1\]: .*\(version-mismatch\)/);
  });
});
