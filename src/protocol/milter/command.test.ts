import assert from "node:assert/strict";
import { test } from "node:test";
import { milterCommand } from "./command.ts";

/** Code and data, NUL as `|`. */
function text(packet: Buffer): string {
  assert.equal(packet.readUInt32BE(0), packet.length - 4);
  return packet.subarray(4).toString("latin1").replaceAll("\0", "|");
}

test("a client is its family, port and address", () => {
  assert.equal(
    text(milterCommand.connect("client.example", { family: "ip4", address: "192.0.2.7", port: 0x4142 })),
    "Cclient.example|4AB192.0.2.7|",
  );
  assert.equal(
    text(milterCommand.connect("localhost", { family: "unix", address: "/run/x", port: 0 })),
    "Clocalhost|L||/run/x|",
  );
  assert.equal(text(milterCommand.connect("unknown", { family: "unknown" })), "Cunknown|U");
});

test("addresses stand in angle brackets, with their parameters behind them", () => {
  assert.equal(text(milterCommand.mail("", ["BODY=8BITMIME", "SIZE=10"])), "M<>|BODY=8BITMIME|SIZE=10|");
  assert.equal(text(milterCommand.rcpt("a@example.org", [])), "R<a@example.org>|");
});

test("macros say which command they are for", () => {
  assert.equal(
    text(
      milterCommand.macros("C", [
        ["j", "mx.example.org"],
        ["{daemon_name}", "smtp"],
      ]),
    ),
    "DCj|mx.example.org|{daemon_name}|smtp|",
  );
});

test("a field is its name and its value", () => {
  assert.equal(text(milterCommand.header(Buffer.from("Subject"), Buffer.from("hi"))), "LSubject|hi|");
});
