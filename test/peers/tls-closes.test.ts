import assert from "node:assert/strict";
import { test } from "node:test";
import { requirePeer } from "./peer.ts";
import { hasPeer } from "./running.ts";
import { allRuns, tableInManual, tableOf } from "./tls-closes.ts";

test("every peer hands its mail over by TLS, and both sides leave in good order", { timeout: 400_000 }, async (t) => {
  for (const program of ["openssl", "gnutls-cli", "gnutls-serv", "python3", "swaks", "curl"])
    if (requirePeer(program, t) === undefined) return;
  for (const peer of ["postfix", "exim4", "opensmtpd"]) if (!hasPeer(peer, t)) return;
  const runs = await allRuns();
  for (const { peer, role, way, version, seen, hasMail, complaints } of runs)
    await t.test(`${peer} as ${role}, ${way}, ${version ?? "as it likes"}`, () => {
      assert.deepEqual(complaints, []);
      assert.ok(hasMail, "the mail did not arrive");
      if (seen === undefined) return;
      assert.ok(version === undefined || seen.version === version, seen.version);
      assert.match(seen.cipher, /^TLS_\w+$/);
      assert.match(seen.group, /^(?:X25519(?:MLKEM768)?|secp\d+r1)$/);
      // Clients show no certificate here, and nobody knows the authority of these servers.
      const speaksThroughServer = role === "server" && seen.after === "QUIT";
      assert.equal(seen.verify, speaksThroughServer ? "FAIL" : "NONE");
      if (seen.peerEnd !== "reset") assert.equal(seen.ourEnd, "close_notify+fin");
      assert.equal(seen.moment, "over");
    });
  await t.test("the manual's table says what was seen", () => {
    assert.equal(tableOf(runs), tableInManual(), "node test/peers/tls-closes.ts --write writes it anew");
  });
});
