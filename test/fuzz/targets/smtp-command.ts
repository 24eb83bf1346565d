import assert from "node:assert/strict";
import { formatMail, formatRcpt, parseCommand } from "../../../src/protocol/smtp/command.ts";
import type { FuzzTarget } from "../fuzz-target.ts";

/** Command lines: a MAIL or RCPT that was understood is written so that it is understood the same, and is one line. */
export const target: FuzzTarget = {
  seeds: [
    "MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=QQ314159 SMTPUTF8 REQUIRETLS",
    "RCPT TO:<c@d.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+20b@c",
    "MAIL FROM:<> AUTH=<> HOLDFOR=100 BY=120;R MT-PRIORITY=3",
    "BDAT 100 LAST",
    "AUTH PLAIN AGEAYg==",
    "XCLIENT NAME=a+20b ADDR=192.0.2.1 PROTO=ESMTP",
    "XFORWARD NAME=a ADDR=IPV6:2001:db8::1 SOURCE=REMOTE",
    "EHLO [IPv6:::1]",
    "ETRN #queue",
  ],
  tokens: [
    "MAIL FROM:",
    "RCPT TO:",
    "<a@b>",
    " SIZE=",
    " ORCPT=rfc822;",
    " ENVID=",
    "+3D",
    "=",
    ";",
    " NOTIFY=",
    "NEVER",
    "\t",
    "+",
    "\xc3\xa4",
  ],
  run(bytes) {
    const parsed = parseCommand(bytes);
    if (!parsed.ok) {
      assert.ok(parsed.problem.at >= 0 && parsed.problem.at <= bytes.length, `at ${parsed.problem.at}`);
      return;
    }
    const command = parsed.value;
    if (command.verb !== "MAIL" && command.verb !== "RCPT") return;
    const line =
      command.verb === "MAIL"
        ? formatMail(command.from, command.parameters)
        : formatRcpt(command.to, command.parameters, command.isInternational);
    assert.ok(!/[\x00-\x1f\x7f]/.test(line), JSON.stringify(line));
    const again = parseCommand(Buffer.from(line));
    assert.ok(again.ok, `${line}: ${again.ok ? "" : again.problem.expected}`);
    const written =
      again.value.verb === "MAIL"
        ? formatMail(again.value.from, again.value.parameters)
        : again.value.verb === "RCPT"
          ? formatRcpt(again.value.to, again.value.parameters, again.value.isInternational)
          : "";
    assert.equal(written, line);
  },
};
