import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { systemClock } from "../../foundation/clock.io.ts";
import type { EventDeclaration, FieldDeclaration, FieldsOf } from "../../foundation/events.ts";
import { requirePeer } from "../../../test/peers/peer.ts";
import * as connection from "../connection/events.ts";
import * as scheduler from "../scheduler/events.ts";
import * as session from "../session/events.ts";
import { createLogWriter } from "./writer.io.ts";
import { catalogueOf, mailEvents } from "./log.ts";
import { recordOf, type EventRecord } from "./record.ts";
import { logSettings } from "./settings.ts";

const ingress = { role: "ingress", pid: 501, startedAt: 0 };
const queue = { role: "scheduler", pid: 502, startedAt: 0 };
const START = new Date(2026, 10, 21, 10, 0, 0).getTime();
const client = (name: string, ip: string): string => `${name}[${ip}]`;

/** A small day of mail, as the stages tell it: two clients at once, one refused recipient, one deferral, one bounce. */
function day(): readonly EventRecord[] {
  const records: EventRecord[] = [];
  const say = <Declared extends Record<string, FieldDeclaration>>(
    second: number,
    from: typeof ingress,
    event: EventDeclaration<Declared>,
    fields: FieldsOf<Declared>,
  ): void => void records.push(recordOf(START + second * 1000, from, event, fields));
  const anna = { session: "smtp-1", listener: "smtp", client: client("mx.a.example", "192.0.2.1") };
  const bert = { session: "submission-1", listener: "submission", client: client("unknown", "192.0.2.7") };
  const attempt = { origTo: undefined, delay: "1.5", delays: "0.1/0.2/0.4/0.8", attempt: 1, took: 800 };

  say(0, ingress, connection.connected, anna);
  say(1, ingress, connection.connected, bert);
  say(2, ingress, session.clientAccepted, { ...anna, message: "01ARZ3NDEKA" });
  say(2, ingress, session.rejected, {
    ...anna,
    message: "01ARZ3NDEKA",
    stage: "RCPT",
    reply: "550 5.1.1 <nobody@here.example>: Recipient address rejected: no such mailbox",
    from: "anna@a.example",
    to: "nobody@here.example",
    protocol: "ESMTP",
    helo: "mx.a.example",
  });
  say(3, ingress, session.messageIdSeen, { ...anna, message: "01ARZ3NDEKA", messageId: "<1@a.example>" });
  say(3, queue, scheduler.active, { message: "01ARZ3NDEKA", from: "anna@a.example", size: 1000, recipients: 2 });
  say(3, ingress, session.clientAccepted, { ...bert, message: "01ARZ3NDEKB", mechanism: "PLAIN", account: "bert" });
  say(4, queue, scheduler.active, { message: "01ARZ3NDEKB", from: "bert@here.example", size: 500, recipients: 2 });
  say(5, queue, scheduler.localAttempt, {
    ...attempt,
    message: "01ARZ3NDEKA",
    envelope: "01ARZ3NDEKA.1",
    to: "carl@here.example",
    origTo: "postmaster",
    relay: "maildir:/home/carl/Maildir",
    dsn: "2.0.0",
    status: "sent",
    reply: "delivered to maildir",
  });
  say(5, queue, scheduler.smtpAttempt, {
    ...attempt,
    message: "01ARZ3NDEKA",
    envelope: "01ARZ3NDEKA.2",
    to: "dora@d.example",
    relay: "mx.d.example[192.0.2.9]:25",
    dsn: "2.0.0",
    status: "sent",
    reply: "250 2.0.0 Ok: queued as X",
  });
  say(6, queue, scheduler.smtpAttempt, {
    ...attempt,
    message: "01ARZ3NDEKB",
    envelope: "01ARZ3NDEKB.1",
    to: "emil@e.example",
    relay: "none",
    dsn: "4.4.1",
    status: "deferred",
    reply: "connect to mx.e.example[192.0.2.10]:25: Connection refused",
  });
  say(7, queue, scheduler.smtpAttempt, {
    ...attempt,
    message: "01ARZ3NDEKB",
    envelope: "01ARZ3NDEKB.2",
    to: "fred@f.example",
    relay: "mx.f.example[192.0.2.11]:25",
    dsn: "5.1.1",
    status: "bounced",
    reply: "host mx.f.example[192.0.2.11] said: 550 5.1.1 no such user",
  });
  say(8, queue, scheduler.removed, { message: "01ARZ3NDEKA" });
  say(10, ingress, connection.disconnected, {
    ...anna,
    commands: "ehlo=1 mail=1 rcpt=2/3 data=1 quit=1",
    tookMs: 10_000,
  });
  say(12, ingress, session.authenticationFailed, {
    ...bert,
    mechanism: "PLAIN",
    user: "bert",
    reason: "wrong password",
  });
  say(21, ingress, connection.disconnected, { ...bert, commands: "ehlo=1 quit=1 commands=2", tookMs: 20_000 });
  return records;
}

async function summaryOf(t: TestContext, settings: object): Promise<string | undefined> {
  const pflogsumm = requirePeer("pflogsumm", t);
  if (pflogsumm === undefined) return undefined;
  const directory = mkdtempSync(join(tmpdir(), "posthorn-pflogsumm-"));
  try {
    const path = join(directory, "mail.log");
    const writer = createLogWriter({
      settings: logSettings.parse({ ...settings, to: `file:${path}` }),
      catalogue: catalogueOf(mailEvents),
      hostname: "mail.example",
      clock: systemClock,
      process: { role: "server", pid: 500 },
      auto: "stdout",
    });
    writer.write(day());
    await writer.close();
    return execFileSync(pflogsumm, ["--syslog-name=posthorn", "--smtpd-stats", path], { encoding: "utf8" });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The number before a word in pflogsumm's tables. */
function numberOf(summary: string, what: string): number {
  const found = new RegExp(`^\\s*(\\d+)\\s+${what}`, "m").exec(summary);
  return Number(found?.[1] ?? Number.NaN);
}

for (const timestamps of ["classic", "iso"]) {
  test(`pflogsumm counts a day of mail right, with ${timestamps} time stamps`, async (t) => {
    const summary = await summaryOf(t, { timestamps });
    if (summary === undefined) return;
    const counted = Object.fromEntries(
      [
        "received",
        "delivered",
        "deferred",
        "bounced",
        "rejected",
        "bytes received",
        "bytes delivered",
        "senders",
        "sending hosts/domains",
        "recipients",
        "recipient hosts/domains",
        "connections",
        "avg. connect time",
      ].map((what) => [what, numberOf(summary, what.replaceAll(".", "\\."))]),
    );
    assert.deepEqual(counted, {
      received: 2,
      delivered: 2,
      deferred: 1,
      bounced: 1,
      rejected: 1,
      "bytes received": 1500,
      "bytes delivered": 2000,
      senders: 2,
      "sending hosts/domains": 2,
      recipients: 2,
      "recipient hosts/domains": 2,
      connections: 2,
      "avg. connect time": 15,
    });
    assert.match(summary, /^\s*1\s+fred@f\.example|550 5\.1\.1 no such user/m);
    assert.match(summary, /nobody@here\.example/);
    assert.match(summary, /Connection refused/);
    assert.match(summary, /SASL PLAIN authentication failed/);
  });
}
