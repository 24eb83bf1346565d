import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { cpuWatch } from "../../testing/cpu-watch.ts";
import { HeaderScanner } from "./header-scanner.ts";
import { loopThrough, markReceived, ownTraces } from "./own-received.ts";
import { formatReceived } from "./received-field.ts";

const OWN = new Set(["mail.example.org"]);

function field(id: string, filters: readonly string[] = [], by = "mail.example.org"): string {
  const plain = formatReceived({
    helo: "mx.stranger.example",
    clientAddress: "203.0.113.9",
    by,
    protocol: "ESMTPS",
    id,
    tls: { version: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", verify: "NONE" },
    onlyRecipient: "joe@example.org",
    at: 0,
    offsetMinutes: 0,
  });
  return markReceived(plain, filters);
}

function valuesOf(header: string): readonly string[] {
  const scanner = new HeaderScanner({ maxHeaderBytes: 100_000, wanted: ["received"] });
  scanner.push(Buffer.from(`${header}\r\n`));
  return scanner.end().values.get("received") ?? [];
}

test("a field that is marked anew says only where the mail goes now", () => {
  const once = field("4XK1", ["content-filter:", "content-filter:rule:a-b"]);
  const twice = markReceived(once, ["proxy-filter:spampd"]);
  assert.equal(twice, field("4XK1", ["proxy-filter:spampd"]));
  assert.deepEqual(ownTraces(valuesOf(twice), OWN)[0]?.filters, ["proxy-filter:spampd"]);
});

test("a mail's own trace is read back from the header it was written to, the newest first", () => {
  const foreign = "Received: from x by filter.example (filter) with ESMTP id 1; Thu, 1 Jan 1970 00:00:00 +0000\r\n";
  const header = field("4XK2") + foreign + field("4XK1", ["content-filter:smtp", "content-filter:rule:a-b"]);
  assert.deepEqual(ownTraces(valuesOf(header), OWN), [
    { id: "4XK2", filters: [], protocol: "ESMTPS", clientAddress: "203.0.113.9" },
    {
      id: "4XK1",
      filters: ["content-filter:smtp", "content-filter:rule:a-b"],
      protocol: "ESMTPS",
      clientAddress: "203.0.113.9",
    },
  ]);
  assert.deepEqual(ownTraces(valuesOf(field("4XK1", ["content-filter:"], "other.example")), OWN), []);
});

test("a marked field is a Received field as any other: each line folded, the date last", () => {
  const marked = field("4XK1", ["proxy-filter:spampd"]);
  assert.match(marked, /\r\n\t\(proxy-filter:spampd\);\r\n\tThu, 1 Jan 1970 00:00:00 \+0000\r\n$/);
  assert.ok(
    marked
      .split("\r\n")
      .slice(1, -1)
      .every((line) => line.startsWith("\t")),
  );
});

test("mail is in a loop when nothing but filters saw it since it left for this one", () => {
  const left = { id: "1", filters: ["content-filter:smtp"], protocol: "ESMTP" };
  const other = { id: "2", filters: ["content-filter:second"], protocol: "ESMTP" };
  const back = { id: "3", filters: [], protocol: "ESMTP" };
  assert.equal(loopThrough([left], ["content-filter:smtp"]), "1");
  assert.equal(loopThrough([other, left], ["content-filter:smtp"]), "1", "round two filters");
  assert.equal(loopThrough([left], ["content-filter:second"]), undefined, "one filter after the other");
  assert.equal(loopThrough([back, left], ["content-filter:smtp"]), undefined, "it came back as it should, and returns");
  assert.equal(loopThrough([], ["content-filter:smtp"]), undefined);
});

test("header fields that somebody made up are read without a fault", () => {
  const odd = fc.array(
    fc.constantFrom(
      "by mail.example.org (Posthorn) with ",
      "ESMTP",
      " id ",
      "(",
      "content-filter:",
      ")",
      ";",
      "x",
      " ",
    ),
    {
      maxLength: 30,
    },
  );
  fc.assert(
    fc.property(odd, fc.string(), (parts, tail) => {
      for (const { id, filters } of ownTraces([parts.join("") + tail], OWN)) {
        assert.match(id, /^[A-Za-z0-9.-]+$/);
        assert.ok(filters.every((name) => /^(content|proxy)-filter:[\w.:-]*$/.test(name)));
      }
    }),
  );
});

test("a field that somebody made up to keep us busy does not", () => {
  const usedMs = cpuWatch();
  const head = "from x by mail.example.org (Posthorn) with ESMTP id X";
  for (const tail of ["content-filter:".repeat(500), "(content-filter:".repeat(500), "content-filter:a ".repeat(500)])
    ownTraces([`${head} (${tail}!`], OWN);
  assert.ok(usedMs() < 2000);
});
