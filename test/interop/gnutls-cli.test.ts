import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { requirePeer } from "../peers/peer.ts";
import { converse } from "../peers/running.ts";
import { startServer } from "../server.ts";

test("gnutls-cli", async (t) => {
  const gnutls = requirePeer("gnutls-cli", t);
  if (gnutls === undefined) return;
  await using server = await startServer();
  for (const [name, port, start] of [
    ["STARTTLS", server.ports.smtp, ["--starttls-proto=smtp"]],
    ["implicit TLS", server.ports.smtps, []],
  ] as const)
    for (const version of ["1.2", "1.3"])
      await t.test(`${name} with TLS ${version}, the certificate verified`, async () => {
        const { status, output } = await converse(
          gnutls,
          [
            ...start,
            "--port",
            String(port),
            "--x509cafile",
            join(server.folder, "data", "tls", "self-signed.pem"),
            "--verify-hostname",
            "mx.posthorn.test",
            "--sni-hostname",
            "mx.posthorn.test",
            "--priority",
            `NORMAL:-VERS-ALL:+VERS-TLS${version}`,
            "127.0.0.1",
          ],
          [
            [start.length === 0 ? /^220 .*\r?\n/m : /Simple Client Mode/, "EHLO gnutls.test"],
            [/^250 .*\r?\n/m, "QUIT"],
          ],
        );
        assert.equal(status, 0, output);
        assert.match(output, /Status: The certificate is trusted/);
        assert.match(output, new RegExp(`TLS${version}`));
        assert.match(output, /^221 2\.0\.0 /m);
      });
});
