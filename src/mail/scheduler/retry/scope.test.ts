import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { reply } from "../../../protocol/smtp/reply.ts";
import type { Cause, Failure } from "../../envelope/failure.ts";
import { mayBeGreylisting, scopeOf } from "./scope.ts";

function said(during: string, code: number, status: string | undefined, text = ""): Failure {
  return {
    lasting: code < 500 ? "temporary" : "permanent",
    status: status ?? `${String(code)[0]}.0.0`,
    cause: { kind: "reply", during },
    reply: reply(code, status, text),
  };
}
const of = (...what: Parameters<typeof said>) => scopeOf(said(...what), "recipient");
const because = (cause: Cause): Failure => ({ lasting: "temporary", status: "4.4.1", cause });

const STAGES = [
  "greeting",
  "EHLO",
  "HELO",
  "STARTTLS",
  "AUTH",
  "RSET",
  "MAIL",
  "RCPT",
  "DATA",
  "BDAT",
  "end of DATA",
  "idle",
];

test("421 rests the route whenever it is said, and never speaks of just a recipient", () => {
  for (const during of STAGES) assert.equal(of(during, 421, "4.4.2", "closing connection"), "route", during);
  fc.assert(
    fc.property(
      fc.constantFrom(...STAGES),
      fc.constantFrom(undefined, "4.3.2", "4.7.0", "4.2.1", "4.5.3"),
      fc.string(),
      (during, status, text) => {
        const scope = of(during, 421, status, text);
        assert.ok(scope === "route" || scope === "host", scope);
      },
    ),
  );
  const lost: Failure = {
    ...because({ kind: "lost", reason: "closed", during: "RCPT" }),
    reply: reply(421, undefined, "bye"),
  };
  assert.equal(scopeOf(lost, "address"), "route");
});

test("a system that takes no mail, is full or congested is the host by all its addresses", () => {
  for (const status of ["4.3.2", "4.3.1", "4.4.5"])
    for (const during of STAGES) assert.equal(of(during, 451, status, "not now"), "host", `${status} at ${during}`);
  assert.equal(of("MAIL", 452, undefined, "Insufficient system storage"), "host");
  assert.equal(of("greeting", 521, undefined, "does not accept mail"), "host");
  assert.equal(of("greeting", 421, "4.3.2", "shutting down"), "host");
});

test("a domain that takes no mail is the recipient's matter", () => {
  assert.equal(of("RCPT", 556, "5.1.10", "no mail here"), "recipient");
});

test("words about our address are a verdict on it; a session that is refused rests that route in any words", () => {
  for (const [during, code, status, text] of [
    ["RCPT", 554, "5.7.1", "Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org"],
    ["RCPT", 450, "4.7.1", "Client host [192.0.2.1] blocked using zen.example"],
    ["DATA", 554, "5.7.1", "Service unavailable; Client host [192.0.2.1] blocked using zen.example"],
    ["RCPT", 554, "5.7.1", "<unknown[192.0.2.1]>: Client host rejected: Access denied"],
    ["RCPT", 450, "4.7.25", "Client host rejected: cannot find your hostname, [192.0.2.1]"],
    ["RCPT", 550, "5.7.1", "Service unavailable; your IP is blacklisted"],
    [
      "MAIL",
      550,
      "5.7.1",
      "Unfortunately, messages from [192.0.2.1] weren't sent. Part of their network is on our block list (S3140).",
    ],
    ["MAIL", 451, "4.7.650", "The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation"],
    [
      "MAIL",
      553,
      "5.7.1",
      "[BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list",
    ],
    ["MAIL", 550, "5.7.606", "Access denied, banned sending IP [192.0.2.1]"],
    ["MAIL", 554, undefined, "resimta.example 192.0.2.1 block for spam"],
    ["RCPT", 550, undefined, "rejected because 2001:db8::25:1 is in a black list at zen.example"],
    ["RCPT", 450, "4.7.1", "Error: too much mail from 192.0.2.1"],
    ["RCPT", 450, undefined, "too many connections from your host"],
    ["end of DATA", 450, "4.7.28", "[192.0.2.1] Unusual rate of unsolicited mail originating from your IP address"],
    ["end of DATA", 451, "4.7.1", "Your IP has a poor reputation, try later"],
  ] as const)
    assert.equal(of(during, code, status, text), "verdict", `${code} ${text}`);
  for (const [during, code, status, text] of [
    ["end of DATA", 421, "4.7.0", "[192.0.2.1] unusual rate of unsolicited mail originating from your IP address"],
    ["MAIL", 421, "4.7.0", "[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume"],
    ["greeting", 554, "5.7.1", "blocked"],
    ["greeting", 554, undefined, "IP=192.0.2.1 - A problem occurred"],
    ["greeting", 554, undefined, "No SMTP service here"],
    ["EHLO", 450, undefined, "go away"],
  ] as const)
    assert.equal(of(during, code, status, text), "route", `${code} ${text}`);
});

test("words about the content, the sender or the recipient say nothing of our address", () => {
  for (const [during, code, status, text] of [
    ["end of DATA", 554, "5.7.1", "Message contains a blocked attachment"],
    ["end of DATA", 451, "4.7.1", "Message contains a blocked attachment"],
    ["end of DATA", 554, "5.7.1", "Service unavailable; message has URL on Spamhaus DBL: evil.example"],
    ["end of DATA", 550, "5.7.1", "Your message was rejected: sender domain has a poor reputation"],
    ["end of DATA", 550, "5.7.1", "[192.0.2.1] This message is likely unsolicited mail and has been blocked"],
    ["end of DATA", 550, undefined, "message looks like unsolicited mail"],
    ["end of DATA", 550, undefined, "virus Foo.Volume-1 found"],
    ["end of DATA", 552, undefined, "message exceeds your host limit"],
    [
      "end of DATA",
      550,
      "5.7.26",
      "Your message was blocked: Unauthenticated email is not accepted due to domain's DMARC policy",
    ],
    ["end of DATA", 554, "5.3.2", "Message was not accepted by the filter"],
    ["end of DATA", 552, "5.3.1", "Over the quota"],
    ["RCPT", 550, "5.7.1", "Recipient has blocked you"],
    ["RCPT", 550, "5.7.1", "Sender blocked by the recipient"],
    ["RCPT", 450, "4.7.1", "<anna@example.org>: rate limited, the volume of mail is too high"],
    ["RCPT", 550, "5.7.23", "Recipient address rejected: SPF fail, 192.0.2.1 is not allowed to send for x.example"],
    ["RCPT", 550, "5.7.1", "<jane@elsewhere.example> mail.example [192.0.2.1]: Relay access denied"],
  ] as const)
    assert.equal(of(during, code, status, text), "recipient", `${code} ${text}`);
  assert.equal(of("MAIL", 450, "4.7.0", "poor reputation, try later"), "sender");
  assert.equal(of("MAIL", 451, "4.7.1", "rate limited, slow down"), "sender");
  assert.equal(of("MAIL", 554, "5.7.1", "Sender address [x.example] blocked using dbl.example"), "sender");
});

test("what is said of a mailbox is about the recipient", () => {
  for (const [code, status, text] of [
    [450, "4.2.0", "mailbox busy"],
    [450, "4.2.1", "The user you are trying to contact is receiving mail at a rate that is too high"],
    [452, "4.2.2", "mailbox full"],
    [451, undefined, "local error"],
    [451, "4.3.0", "temporary lookup failure"],
    [550, "5.1.1", "no such user"],
    [550, "5.7.1", "the user does not want you"],
    [450, "4.7.1", "Greylisted, your IP address has to wait"],
    [454, "4.7.1", "Relay access denied"],
  ] as const)
    assert.equal(of("RCPT", code, status, text), "recipient", `${code} ${text}`);
  assert.equal(of("end of DATA", 554, "5.6.0", "bad content"), "recipient");
  assert.equal(of("DATA", 451, undefined, "Temporary failure, please try again later."), "recipient");
});

test("a refused sender is a matter of all its mail there, a refused size only of this one", () => {
  assert.equal(of("MAIL", 553, "5.1.7", "bad sender"), "sender");
  assert.equal(of("MAIL", 550, "5.7.1", "sender refused"), "sender");
  assert.equal(of("MAIL", 450, "4.1.8", "domain not found"), "sender");
  assert.equal(of("MAIL", 550, undefined, "no"), "sender");
  assert.equal(of("MAIL", 552, "5.3.4", "too big"), "recipient");
  assert.equal(of("MAIL", 552, undefined, "too big"), "recipient");
  assert.equal(of("MAIL", 451, "4.3.0", "try later"), "recipient");
});

test("too many recipients is nobody's failure", () => {
  assert.equal(of("RCPT", 452, "4.5.3", "too many recipients"), "overflow");
  assert.equal(of("RCPT", 452, undefined, "too many recipients"), "overflow");
  assert.equal(of("RCPT", 552, undefined, "too many recipients"), "overflow");
  assert.equal(of("RCPT", 452, "4.2.2", "full"), "recipient");
});

test("what was no reply has the scope that the delivery knows; a source that cannot set out is its own matter", () => {
  const connect = (reason: "refused" | "timeout" | "unreachable") => because({ kind: "connect", reason, text: "" });
  assert.equal(scopeOf(connect("refused"), "address"), "address");
  assert.equal(scopeOf(connect("timeout"), "address"), "address");
  assert.equal(scopeOf(connect("unreachable"), "address"), "route");
  assert.equal(scopeOf(because({ kind: "tls", reason: "not-offered", text: "" }), "host"), "host");
  assert.equal(scopeOf(because({ kind: "auth", reason: "refused", text: "" }), "relay"), "relay");
  assert.equal(scopeOf(because({ kind: "lost", reason: "closed", during: "DATA" }), "recipient"), "connection");
  assert.equal(scopeOf(because({ kind: "unsupported", extension: "SIZE" }), "recipient"), "recipient");
});

test("greylisting may be behind a temporary refusal of a recipient or of DATA, not behind a full mailbox or a refused content", () => {
  const may = (...what: Parameters<typeof said>) => mayBeGreylisting(said(...what));
  assert.ok(may("RCPT", 450, "4.2.0", "Greylisted"));
  assert.ok(may("RCPT", 451, undefined, "try later"));
  assert.ok(may("DATA", 451, undefined, "Temporary failure, please try again later."));
  assert.ok(may("end of DATA", 451, "4.7.1", "Greylisting in action, please come back in 00:05:00"));
  assert.ok(may("MAIL", 450, "4.7.1", "greylisted"));
  assert.ok(!may("RCPT", 452, "4.2.2", "mailbox full"));
  assert.ok(!may("RCPT", 550, "5.1.1", "no such user"));
  assert.ok(!may("RCPT", 452, "4.5.3", "too many recipients"));
  assert.ok(!may("RCPT", 421, "4.7.0", "try again later"));
  assert.ok(!may("RCPT", 450, "4.7.1", "your IP is blocked"));
  assert.ok(!may("end of DATA", 451, "4.3.0", "filter failed"));
});
