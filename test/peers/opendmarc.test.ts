/** Debian's opendmarc, which asks whatever name server stands at port 53: here one of ours, in a network of its own. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { startDnsServer, txt } from "../dns-server.ts";
import { inOwnNetwork } from "../own-network.ts";
import { startOpendkim, startOpendmarc } from "./milters.ts";
import { hasPeer } from "./running.ts";
import { throughFilters } from "./through-filters.ts";

inOwnNetwork(import.meta.filename, () => {
  test(
    "opendmarc judges by what opendkim found, and refuses what a domain wants refused",
    { timeout: 120_000 },
    async (t) => {
      if (!hasPeer("milters", t)) return;
      const { privateKey, publicKey } = generateKeyPairSync("rsa", {
        modulusLength: 2048,
        privateKeyEncoding: { type: "pkcs1", format: "pem" },
        publicKeyEncoding: { type: "spki", format: "der" },
      });
      await using dns = await startDnsServer(
        { "_dmarc.example.net": [txt("v=DMARC1; p=reject")], "_dmarc.example.com": [txt("v=DMARC1; p=none")] },
        [],
        53,
      );
      await using dkim = await startOpendkim({
        listens: "path",
        domain: "example.net",
        selector: "test",
        privateKey,
        publicKeys: { "test._domainkey.example.net": `v=DKIM1; k=rsa; p=${publicKey.toString("base64")}` },
      });
      await using dmarc = await startOpendmarc({ nameServer: "127.0.0.1" });
      const mail = (from: string): string =>
        `From: ${from}\nTo: bob@example.org\nSubject: x\nDate: Sat, 21 Nov 2026 12:00:00 +0000\nMessage-ID: <1@x>\n\ntext\n`;

      await using submission = await throughFilters(
        { dkim: { milter: { address: dkim.address, macros: { daemon_name: "ORIGINATING" } } } },
        { account: "alice", mechanism: "PLAIN" },
      );
      const signed = await submission.mail(mail("alice@example.net"));
      await using reception = await throughFilters({
        dkim: { milter: dkim.address },
        dmarc: { milter: dmarc.address },
      });
      const good = await reception.mail(signed.text);
      assert.equal(good.fate, "keep");
      assert.match(
        good.text,
        /^Authentication-Results: mx\.example\.org; dmarc=pass \(p=reject[^)]*\) header\.from=example\.net/,
      );
      assert.match(good.text, /\r\nAuthentication-Results: mx\.example\.org;\r\n\tdkim=pass/);

      const forged = await reception.mail(mail("alice@example.net"));
      assert.equal(forged.stage, "message");
      assert.match(forged.reply ?? "", /^550 5\.7\.1 rejected by DMARC policy for example\.net/);

      const lenient = await reception.mail(mail("carol@example.com"), { from: "carol@example.com" });
      assert.equal(lenient.fate, "keep");
      assert.match(lenient.text, /dmarc=fail \(p=none/);
      assert.ok(
        dns.questions.some((question) => question.endsWith(" _dmarc.example.net")),
        dns.questions.join("\n"),
      );
    },
  );
});
