import assert from "node:assert/strict";
import { checkSpf } from "../../../src/protocol/authentication/spf.ts";
import { parseSpfRecord } from "../../../src/protocol/authentication/spf-record.ts";
import { parseDmarcRecord } from "../../../src/protocol/authentication/dmarc-record.ts";
import { readDkimKey } from "../../../src/protocol/authentication/dkim-key.ts";
import { createKeyFinder } from "../../../src/protocol/authentication/key-finder.ts";
import { rawFields } from "../../../src/protocol/authentication/raw-fields.ts";
import {
  claimsToBeOf,
  formatResults,
  sealedResults,
  withoutComments,
} from "../../../src/protocol/authentication/results-field.ts";
import { parseTagList } from "../../../src/protocol/authentication/tag-list.ts";
import { verifyMessage } from "../../../src/protocol/authentication/verify-message.ts";
import { zoneResolver } from "../../../src/testing/dns-zone.ts";
import type { FuzzTarget } from "../fuzz-target.ts";

const KEY = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const SIGNATURE =
  "DKIM-Signature: v=1; a=ed25519-sha256; d=b.example; s=s; c=relaxed/simple; h=from; l=2; bh=AAAA; b=AAAA; i=@b.example; t=1\r\n";
const ARC =
  "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=b.example; s=s; b=AAAA\r\nARC-Message-Signature: i=1; a=rsa-sha256; d=b.example; s=s; h=from; bh=AAAA; b=AAAA\r\nARC-Authentication-Results: i=1; mx; spf=pass\r\n";

/**
 * Whatever a sender signs, claims or publishes: each record by itself, a message with these header fields against a zone whose every
 * name has this text, and Authentication-Results. No signature without a key that is right passes; SPF asks at most so many questions.
 */
export const target: FuzzTarget = {
  maxBytes: 1500,
  longBytes: 32_768,
  seeds: [
    "v=spf1 a mx:b.example include:c.example ip4:192.0.2.0/24 ip6:2001:db8::/32 exists:%{i}._spf.%{d2} ~all redirect=%{h}",
    "v=spf1 ptr a/24//64 exp=e.%{d1r-} -all",
    "v=DMARC1; p=reject; sp=quarantine; pct=50; adkim=s; aspf=r; rua=mailto:a@b.example!10m,mailto:c@d; fo=1:d:s",
    KEY,
    `${SIGNATURE}From: a@b.example\r\n`,
    `${ARC}From: a@b.example\r\n`,
    'Authentication-Results: mx.test (c) 1; dkim=pass header.d=b.example; spf=fail (x \\) y) reason="z"\r\n',
  ],
  tokens: [
    "v=spf1 ",
    " include:",
    " exists:%{",
    "}",
    " redirect=",
    "%{l1r+}",
    "; p=",
    "; d=",
    ";",
    "=",
    "i=1; ",
    "i=2; ",
    SIGNATURE,
    ARC,
    "mx.test",
    "(",
    ")",
    "\\",
    '"',
    "\r\n ",
    "all",
    "a:",
    "b.example",
  ],
  repeats: [
    ["v=spf1 ", "a:b.example ", ""],
    ["v=spf1 exists:", "%{i}", ""],
    ["Authentication-Results: ", "(", ""],
    ["DKIM-Signature: ", "a=b;", ""],
    ["DKIM-Signature: h=", "from:", ""],
    ["", ARC, ""],
  ],
  async run(bytes) {
    const text = bytes.toString("latin1");
    parseSpfRecord(text);
    parseDmarcRecord(text);
    readDkimKey(text);
    parseTagList(text);
    withoutComments(text);
    const zone = zoneResolver({});
    let asked = 0;
    const resolver = {
      ...zone,
      txt: () => {
        asked++;
        return Promise.resolve({ kind: "found", records: [text], ttlMs: 1, secure: false } as const);
      },
    };
    const spf = await checkSpf(
      {
        address: "192.0.2.9",
        domain: "b.example",
        sender: { local: "a", domain: "b.example" },
        helo: "c.example",
        receiver: "mx",
        nowSeconds: 1,
      },
      resolver,
    );
    assert.ok(asked <= 12, `${asked} questions`);
    assert.ok(spf.explanation === undefined || !/[^\x20-\x7e]/.test(spf.explanation));
    const fields = rawFields(text);
    const body = [Buffer.from("hi\r\n")];
    const judged = await verifyMessage(
      {
        fields,
        body: async function* () {
          yield* body;
        },
      },
      createKeyFinder(resolver)(),
      { nowSeconds: 1_700_000_000, acceptPartial: true, mostSignatures: 8 },
    );
    assert.ok(!judged.dkim.some((result) => result.result === "pass"));
    assert.notEqual(judged.arc.result, "pass");
    for (const field of fields.slice(0, 20)) claimsToBeOf(field, "mx.test");
    const sealed = sealedResults(fields, "mx.test");
    assert.ok(
      sealed === undefined || !/\n(?![ \t])|\r(?!\n)/.test(sealed) || /\n(?![ \t])|\r(?!\n)/.test(text),
      sealed,
    );
    const line = formatResults("mx.test", [
      { method: "spf", result: "fail", reason: text, comment: text, properties: [["smtp.mailfrom", text]] },
    ]);
    assert.ok(!/[^\x20-\x7e\r\n\t]|\r\n(?![ \t])/.test(line.trimEnd()), JSON.stringify(line));
  },
};
