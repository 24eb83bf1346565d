import assert from "node:assert/strict";
import { test } from "node:test";
import { cipherGap } from "./cipher-list.ts";

const NEW = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256";

test("suites of TLS 1.3 alone leave nothing for older versions, which is said", () => {
  for (const [ciphers, oldest, newest, gap] of [
    [NEW, "TLSv1.2", undefined, /none for TLSv1\.2: add ciphers/],
    [`:${NEW}:!TLS_CHACHA20_POLY1305_SHA256`, "TLSv1", "TLSv1.3", /none for TLSv1 to TLSv1\.2:/],
    [NEW, "TLSv1.2", "TLSv1.2", /none for TLSv1\.2:/],
    [NEW, "TLSv1.3", undefined, undefined],
    [`${NEW}:ECDHE-RSA-AES128-GCM-SHA256`, "TLSv1.2", undefined, undefined],
    ["HIGH:!aNULL", "TLSv1.2", undefined, undefined],
    ["HIGH", "TLSv1.3", undefined, undefined],
  ] as const) {
    const told = cipherGap(ciphers, oldest, newest);
    if (gap === undefined) assert.equal(told, undefined, ciphers);
    else assert.match(told ?? "", gap, ciphers);
  }
});
