import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import type { Cause, Failure } from "./failure.ts";
import { failureText } from "./failure-text.ts";

test("a reply is told with the host and the command it answered", () => {
  const text = failureText({
    lasting: "permanent",
    status: "5.1.1",
    cause: { kind: "reply", during: "RCPT" },
    reply: reply(550, "5.1.1", "No such user"),
    host: "mx.example[192.0.2.1]:25",
  });
  assert.equal(text, "host mx.example[192.0.2.1]:25 said: 550 5.1.1 No such user (in reply to RCPT)");
});

test("a failure of the DNS names the server that was asked, to the operator and to nobody else", () => {
  const textOf = (reason: "servfail" | "timeout", text: string, reader?: "sender"): string => {
    const finding = { reason, name: "b.example", type: "MX", server: "192.0.2.53:53", text };
    return failureText({ lasting: "temporary", status: "4.4.3", cause: { kind: "dns", finding } }, reader);
  };
  const about = "name service error for name=b.example type=MX:";
  assert.equal(textOf("servfail", "SERVFAIL"), `${about} servfail: SERVFAIL from 192.0.2.53:53`);
  assert.equal(
    textOf("timeout", "no answer within 5000 ms"),
    `${about} timeout: no answer within 5000 ms (192.0.2.53:53 was asked)`,
  );
  assert.equal(textOf("servfail", "SERVFAIL", "sender"), `${about} servfail: SERVFAIL`);
});

test("a connection that failed names the host and the system's reason", () => {
  const text = failureText({
    lasting: "temporary",
    status: "4.4.1",
    cause: { kind: "connect", reason: "refused", text: "Connection refused" },
    host: "mx.example[192.0.2.1]:25",
  });
  assert.equal(text, "connect to mx.example[192.0.2.1]:25: Connection refused");
});

test("a reply that came before a hang-up is not lost from the text", () => {
  const text = failureText({
    lasting: "temporary",
    status: "4.4.2",
    cause: { kind: "lost", reason: "closed", during: "end of DATA" },
    reply: reply(421, undefined, "bye"),
    host: "mx.example[192.0.2.1]:25",
  });
  assert.match(text, /lost connection with mx\.example\[192\.0\.2\.1\]:25 during end of DATA; it had said: 421 bye/);
});

test("how long it was tried is told in units that fit", () => {
  const told = (afterMs: number): string =>
    failureText({ lasting: "permanent", status: "5.4.7", cause: { kind: "expired", afterMs } });
  assert.equal(told(4 * 86_400_000 + 1234), "delivery time expired after 4d");
  assert.equal(told(61_000), "delivery time expired after 1m");
});

test("a sender reads what kind of trouble it is, and nothing of our files, tables, users, settings and programs", () => {
  const secret = "/home/alice/.forward: hash:/etc/posthorn/people says bob";
  const causes: readonly (readonly [Cause, string])[] = [
    [{ kind: "mailbox", reason: "permission", text: secret }, "mailbox: permission denied"],
    [{ kind: "command", text: secret }, "command: it failed"],
    [{ kind: "command", text: secret, told: "user unknown" }, "command: user unknown"],
    [{ kind: "alias", reason: "not-now", text: secret }, "alias: where it leads to could not be found out"],
    [{ kind: "alias", reason: "refused", text: secret, told: "we have moved" }, "alias: we have moved"],
    [{ kind: "settings", text: secret }, "settings: they keep this server from delivering it"],
    [{ kind: "internal", text: secret }, "internal: this server failed to do its part"],
    [
      { kind: "connect", reason: "source", text: secret },
      "connect: this server may not use the address it was to connect from",
    ],
    [
      { kind: "auth", reason: "no-mechanism", text: secret },
      "authentication with the next host: no mechanism in common",
    ],
  ];
  for (const [cause, expected] of causes) {
    const failure: Failure = { lasting: "permanent", status: "5.0.0", cause };
    assert.equal(failureText(failure, "sender"), expected);
    assert.ok(failureText(failure).includes(secret), cause.kind);
  }
});
