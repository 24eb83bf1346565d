import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { buildDsn } from "./dsn.ts";

const hasPython = spawnSync("python3", ["--version"]).status === 0;

const reader = `
import sys, json, email, email.policy
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.SMTP)
parts = list(m.iter_parts())
print(json.dumps({
  "type": m.get_content_type(), "report": m.get_param("report-type"), "from": str(m["From"]), "to": str(m["To"]),
  "defects": [str(d) for p in m.walk() for d in p.defects],
  "types": [p.get_content_type() for p in parts],
  "text": parts[0].get_content(),
  "groups": [[[k, str(v)] for k, v in g.items()] for g in parts[1].get_payload()] if parts[1].get_content_type() == "message/delivery-status" else parts[1].as_string(),
  "returned": str(parts[2].get_payload(0)["Subject"]) if parts[2].get_content_type() == "message/rfc822" else parts[2].get_payload(decode=True).decode(),
}))
`;

function readByPython(bytes: Buffer): Record<string, unknown> {
  const run = spawnSync("python3", ["-c", reader], { input: bytes, encoding: "utf8" });
  assert.equal(run.stderr, "");
  // The program above prints one object.
  return JSON.parse(run.stdout) as Record<string, unknown>;
}

const common = {
  hostname: "mail.example.org",
  to: "bob@example.net",
  subject: "Your message could not be delivered",
  at: 0,
  messageId: "<1@mail.example.org>",
  boundaryWord: "06A7Q2MK0W1",
} as const;

test(
  "python's email package reads a bounce as its parts, groups and the message",
  { skip: hasPython ? false : "python3 is missing" },
  () => {
    const { bytes } = buildDsn({
      ...common,
      text: ["line one", "", "Füße"],
      report: {
        reportingMta: "mail.example.org",
        recipients: [
          {
            finalRecipient: "alice@example.org",
            action: "failed",
            status: "5.1.1",
            diagnostic: { type: "smtp", text: `550 ${"long ".repeat(60)}end` },
          },
          { finalRecipient: "carol@example.org", action: "failed", status: "5.2.2" },
        ],
      },
      returned: { kind: "message", bytes: Buffer.from("Subject: lunch\r\n\r\nat noon?\r\n") },
    });
    assert.deepEqual(readByPython(bytes), {
      type: "multipart/report",
      report: "delivery-status",
      from: "Mail delivery system <MAILER-DAEMON@mail.example.org>",
      to: "bob@example.net",
      defects: [],
      types: ["text/plain", "message/delivery-status", "message/rfc822"],
      text: "line one\r\n\r\nFüße\r\n",
      groups: [
        [["Reporting-MTA", "dns; mail.example.org"]],
        [
          ["Final-Recipient", "rfc822; alice@example.org"],
          ["Action", "failed"],
          ["Status", "5.1.1"],
          ["Diagnostic-Code", `smtp; 550 ${"long ".repeat(60)}end`],
        ],
        [
          ["Final-Recipient", "rfc822; carol@example.org"],
          ["Action", "failed"],
          ["Status", "5.2.2"],
        ],
      ],
      returned: "lunch",
    });
  },
);

test(
  "python's email package gives a returned header back to the byte",
  { skip: hasPython ? false : "python3 is missing" },
  () => {
    const header = `Subject: Füße=\r\nX-Long: ${"x".repeat(1500)}\r\n`;
    const { bytes } = buildDsn({
      ...common,
      text: ["x"],
      report: { reportingMta: "m", recipients: [{ finalRecipient: "a@b", action: "delayed", status: "4.0.0" }] },
      returned: { kind: "header", bytes: Buffer.from(header) },
    });
    const read = readByPython(bytes);
    assert.deepEqual(read["defects"], []);
    assert.equal(read["returned"], header);
  },
);
