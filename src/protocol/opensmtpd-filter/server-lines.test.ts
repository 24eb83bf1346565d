import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { FilterVersion, Report } from "./opensmtpd-filter.ts";
import { dataLinePrefix, handshakeLines, reportLine, requestLine } from "./server-lines.ts";

const AT = 1_576_146_008_006;
const SESSION = "7641df9771b4ed00";

function told(report: Report, version: FilterVersion = "0.7"): string {
  const line = reportLine(version, AT, SESSION, report);
  const head = `report|${version}|1576146008.006000|smtp-in|`;
  assert.ok(line.startsWith(head), line);
  return line.slice(head.length);
}

test("we introduce ourselves, and end with being ready", () => {
  assert.deepEqual(
    handshakeLines({ smtpdVersion: "7.8.0", version: "0.7", sessionTimeoutSeconds: 300, hostname: "mx.example.org" }),
    [
      "config|smtpd-version|7.8.0",
      "config|protocol|0.7",
      "config|smtp-session-timeout|300",
      "config|subsystem|smtp-in",
      "config|admd|mx.example.org",
      "config|ready",
    ],
  );
});

test("a connection is told with its name, whether that is confirmed, and both ends", () => {
  assert.equal(
    told({
      event: "link-connect",
      name: "mail.openbsd.org",
      confirmed: "pass",
      source: "199.185.178.25:33174",
      destination: "45.77.67.80:25",
    }),
    `link-connect|${SESSION}|mail.openbsd.org|pass|199.185.178.25:33174|45.77.67.80:25`,
  );
  assert.equal(
    told({ event: "link-connect", confirmed: "fail", source: "[2001:db8::1]:9", destination: "[::1]:25" }),
    `link-connect|${SESSION}|<unknown>|fail|[2001:db8::1]:9|[::1]:25`,
  );
});

test("events without fields end with their session", () => {
  assert.equal(told({ event: "link-disconnect" }), `link-disconnect|${SESSION}`);
  assert.equal(told({ event: "timeout" }), `timeout|${SESSION}`);
});

test("the result of an address stands where the version has it", () => {
  const mail: Report = { event: "tx-mail", transaction: "0000ab12", address: "a@example.net", result: "ok" };
  assert.equal(told(mail, "0.5"), `tx-mail|${SESSION}|0000ab12|a@example.net|ok`);
  assert.equal(told(mail, "0.6"), `tx-mail|${SESSION}|0000ab12|ok|a@example.net`);
  assert.equal(told(mail, "0.7"), `tx-mail|${SESSION}|0000ab12|ok|a@example.net`);
});

test("the result of a login stands where the version has it", () => {
  const login: Report = { event: "link-auth", user: "anna|x", result: "pass" };
  assert.equal(told(login, "0.6"), `link-auth|${SESSION}|anna|x|pass`);
  assert.equal(told(login, "0.7"), `link-auth|${SESSION}|pass|anna|x`);
});

test("a reset outside of a transaction has one field all the same", () => {
  assert.equal(told({ event: "tx-reset" }), `tx-reset|${SESSION}|00000000`);
});

test("a question ends with its parameter, or with the bar in front of it", () => {
  assert.equal(
    requestLine("0.7", AT, "connect", SESSION, "1ef1c203cc576e5d", "mail.openbsd.org", "199.185.178.25"),
    `filter|0.7|1576146008.006000|smtp-in|connect|${SESSION}|1ef1c203cc576e5d|mail.openbsd.org|199.185.178.25`,
  );
  assert.equal(
    requestLine("0.5", AT, "commit", SESSION, "1ef1c203cc576e5d"),
    `filter|0.5|1576146008.006000|smtp-in|commit|${SESSION}|1ef1c203cc576e5d|`,
  );
  assert.equal(
    `${dataLinePrefix("0.7", AT, SESSION, "1ef1c203cc576e5d")}..`,
    `filter|0.7|1576146008.006000|smtp-in|data-line|${SESSION}|1ef1c203cc576e5d|..`,
  );
});

test("whatever a client says, it is one line, of bytes, and no field more than it has", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
      const lines = [
        reportLine("0.7", AT, SESSION, { event: "link-identify", method: "EHLO", identity: text }),
        reportLine("0.7", AT, SESSION, {
          event: "link-connect",
          name: text,
          confirmed: "fail",
          source: text,
          destination: "d",
        }),
        requestLine("0.7", AT, "connect", SESSION, "0", text, "x"),
      ];
      for (const line of lines) {
        assert.doesNotMatch(line, /[\n\r\0]/);
        assert.doesNotMatch(line, /[^\u0000-\u00ff]/);
      }
      assert.equal(lines[1]?.split("|").length, 10);
      assert.equal(lines[2]?.split("|").length, 9);
    }),
  );
});
