import assert from "node:assert/strict";
import { test } from "node:test";
import { mailFor, NOON } from "../../../testing/local-mail.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import type { AnyEvent } from "../../../foundation/events.ts";
import type { Failure } from "../../envelope/failure.ts";
import type { CommitRequest } from "../../queue/queue.ts";
import { createNotices, type TargetsForNotice } from "./bounce.ts";
import type { MadeNotice, NoticeAbout, NoticeRequest } from "./notices.ts";
import { PLACED_LATER } from "../../envelope/content-filter.ts";
import { bounceSettings } from "./settings.ts";

const refusal: Failure = {
  lasting: "permanent",
  status: "5.1.1",
  cause: { kind: "reply", during: "RCPT" },
  reply: { code: 550, status: "5.1.1", lines: ["<alice@example.org>: no such user"] },
  host: "mx.example.org[192.0.2.1]:25",
};

function request(
  over: Partial<NoticeRequest> = {},
  about: Partial<NoticeAbout> = {},
  notify: readonly ("NEVER" | "SUCCESS" | "FAILURE" | "DELAY")[] = [],
): NoticeRequest {
  const { message, envelope, body } = mailFor("relay", 1, { text: "Subject: lunch\r\n\r\nat noon?\r\n" });
  return {
    kind: "bounce",
    message: { ...message, messageIdField: "<lunch@example.net>" },
    body,
    about: [{ envelope: { ...envelope, notify }, failure: refusal, relay: "mx.example.org[192.0.2.1]:25", ...about }],
    at: NOON,
    ...over,
  };
}

interface Made {
  readonly answer: MadeNotice;
  readonly commit: CommitRequest | undefined;
  readonly text: string;
  readonly told: readonly string[];
}

async function make(
  asked: NoticeRequest,
  over: {
    action?: TargetsForNotice;
    settings?: Parameters<typeof bounceSettings.parse>[0];
    isUnreadable?: boolean;
  } = {},
): Promise<Made> {
  const told: string[] = [];
  const notices = createNotices({
    clock: virtualClock(NOON),
    emit: (event, fields) => void told.push((event as AnyEvent).line(fields as never) ?? ""),
    settings: bounceSettings.parse(over.settings ?? {}),
    hostname: "mail.example.org",
    postmaster: "postmaster@example.org",
    newMessageId: () => "06A7Q2MKZZZ",
    openBody: async (body) => {
      if (body.kind === "file" || over.isUnreadable === true) throw new Error("gone");
      return (async function* () {
        for (let at = 0; at < body.bytes.length; at += 1000) yield body.bytes.subarray(at, at + 1000);
      })();
    },
    chooseTargets: async (recipient) => over.action ?? { kind: "targets", targets: [{ action: "relay", recipient }] },
  });
  const answer = await notices.make(asked);
  const commit = answer.kind === "notice" ? answer.request : undefined;
  const text = commit?.body.kind === "inline" ? Buffer.from(commit.body.bytes).toString("utf8") : "";
  return { answer, commit, text, told };
}

test("a bounce goes to the sender with the null reverse path, and asks for no notice itself", async () => {
  const { commit } = await make(request());
  assert.equal(commit?.message.sender, "");
  assert.equal(commit?.message.origin.listener, "bounce");
  assert.deepEqual(commit?.envelopes, [
    {
      id: "06A7Q2MKZZZ.1",
      message: "06A7Q2MKZZZ",
      recipient: "bob@example.net",
      givenRecipient: undefined,
      originalRecipient: undefined,
      notBeforeAt: undefined,
      notify: ["NEVER"],
      action: "relay",
      sender: undefined,
      target: undefined,
      via: undefined,
      isListMember: undefined,
    },
  ]);
  assert.equal(commit?.message.sizeBytes, commit?.body.kind === "inline" ? commit.body.bytes.length : -1);
});

test("an envelope's own sender is told, but past an address that SRS made for the message's", async () => {
  const [about] = request().about;
  assert.ok(about !== undefined);
  const toldWhen = async (sender: string): Promise<string | undefined> => {
    const asked = request({ about: [{ ...about, envelope: { ...about.envelope, sender } }] });
    return (await make(asked)).commit?.envelopes[0]?.recipient;
  };
  assert.equal(await toldWhen("owner-list@example.org"), "owner-list@example.org");
  assert.equal(await toldWhen("SRS0=abcd=AB=example.net=bob@mail.example.org"), "bob@example.net");
});

test("a bounce shows people the reason and the other host's words, and programs the codes", async () => {
  const { text } = await make(request());
  assert.match(text, /^<alice@example\.org>:\r\n {4}The mail server mx\.example\.org\[192\.0\.2\.1\]:25 refused it/m);
  assert.match(text, /^ {6}> 550 5\.1\.1 <alice@example\.org>: no such user\r$/m);
  assert.match(
    text,
    /^Action: failed\r\nStatus: 5\.1\.1\r\nRemote-MTA: dns; mx\.example\.org\r\nDiagnostic-Code: smtp; 550 5\.1\.1 <alice@example\.org>: no such user\r$/m,
  );
  assert.match(text, /^In-Reply-To: <lunch@example\.net>\r$/m);
});

test("what ran out of time is told with what had gone wrong until then", async () => {
  const expired: Failure = {
    lasting: "permanent",
    status: "4.4.7",
    cause: { kind: "expired", afterMs: 4 * 86_400_000 },
    reply: { code: 450, lines: ["come later"] },
  };
  const { text } = await make(
    request(
      {},
      {
        failure: expired,
        before: { ...refusal, lasting: "temporary", status: "4.2.1", reply: { code: 450, lines: ["come later"] } },
      },
    ),
  );
  assert.match(text, /tried for 4d/);
  assert.equal(text.match(/> 450 come later/g)?.length, 1);
  assert.match(text, /Status: 4\.4\.7\r\nRemote-MTA: dns; mx\.example\.org\r\nDiagnostic-Code: smtp; 450 come later/);
});

test("a host known by its address only is named as an address literal", async () => {
  for (const [host, named] of [
    ["192.0.2.1[192.0.2.1]:25", "[192.0.2.1]"],
    ["2001:db8::1[2001:db8::1]:25", "[IPv6:2001:db8::1]"],
  ] as const) {
    const { text } = await make(request({}, { failure: { ...refusal, host } }));
    assert.ok(text.includes(`Remote-MTA: dns; ${named}\r\n`), text);
  }
});

test("a failure without a word from another host has no Remote-MTA, and our own words as diagnosis", async () => {
  const failure: Failure = {
    lasting: "permanent",
    status: "5.1.2",
    cause: { kind: "no-such-domain", domain: "nowhere.example" },
  };
  const { text } = await make(request({}, { failure, relay: "none" }));
  assert.ok(!text.includes("Remote-MTA"));
  assert.match(text, /Diagnostic-Code: x-posthorn; host or domain name not found: nowhere\.example\r$/m);
});

test("nobody is told of what has the null sender, whatever the kind", async () => {
  for (const kind of ["bounce", "delay", "success"] as const) {
    const asked = request({ kind });
    assert.equal((await make({ ...asked, message: { ...asked.message, sender: "" } })).commit, undefined);
  }
});

test("a null-sender message that failed goes to the postmaster when that is asked for", async () => {
  const asked = request({ to: "postmaster@example.org" }, {}, ["NEVER"]);
  const { commit, text } = await make({ ...asked, message: { ...asked.message, sender: "" } });
  assert.equal(commit?.envelopes[0]?.recipient, "postmaster@example.org");
  assert.equal(commit?.message.sender, "");
  assert.match(text, /the message had the empty sender/);
  const unreturnable = await make(asked);
  assert.match(unreturnable.text, /^Subject: A message could not be delivered\r$/m);
  assert.match(unreturnable.text, /there is no way back to the sender of the\r\nmessage, <bob@example\.net>/);
  assert.match(text, /as its postmaster/);
});

test("NOTIFY decides which notices are made", async () => {
  const wanted = async (
    kind: NoticeRequest["kind"],
    ...notify: ("NEVER" | "SUCCESS" | "FAILURE" | "DELAY")[]
  ): Promise<boolean> => (await make(request({ kind }, { action: "delivered" }, notify))).commit !== undefined;
  assert.deepEqual([await wanted("bounce"), await wanted("delay"), await wanted("success")], [true, true, false]);
  for (const kind of ["bounce", "delay", "success"] as const) assert.equal(await wanted(kind, "NEVER"), false);
  assert.deepEqual(
    [await wanted("bounce", "FAILURE"), await wanted("delay", "FAILURE"), await wanted("success", "FAILURE")],
    [true, false, false],
  );
  assert.deepEqual(
    [await wanted("bounce", "DELAY"), await wanted("delay", "DELAY"), await wanted("success", "DELAY")],
    [false, true, false],
  );
  assert.deepEqual(
    [await wanted("bounce", "SUCCESS"), await wanted("delay", "SUCCESS"), await wanted("success", "SUCCESS")],
    [false, false, true],
  );
});

test("one notice speaks of those recipients only whose notices are wanted", async () => {
  const asked = request();
  const [one] = asked.about;
  assert.ok(one !== undefined);
  const others = (["NEVER", "FAILURE"] as const).map((notify, at) => ({
    ...one,
    envelope: {
      ...one.envelope,
      id: `06A7Q2MK0W1.${at + 2}`,
      recipient: `${notify.toLowerCase()}@example.org`,
      notify: [notify],
    },
  }));
  const { text, answer } = await make({ ...asked, about: [one, ...others] });
  assert.deepEqual(answer.kind === "notice" && answer.about, [one.envelope.id, "06A7Q2MK0W1.3"]);
  assert.match(text, /alice@example\.org/);
  assert.match(text, /failure@example\.org/);
  assert.doesNotMatch(text, /never@example\.org/);
  assert.equal(text.match(/^Final-Recipient/gm)?.length, 2);
});

test("RET says what of a failed message is returned; other notices return the header", async () => {
  const returned = async (kind: NoticeRequest["kind"], dsnReturn?: "FULL" | "HDRS"): Promise<string> => {
    const asked = request({ kind }, { action: "delivered" }, ["SUCCESS", "FAILURE", "DELAY"]);
    const { text } = await make({ ...asked, message: { ...asked.message, dsnReturn } });
    return text.includes("message/rfc822") && text.includes("at noon?")
      ? "message"
      : text.includes("Subject: lunch")
        ? "header"
        : "nothing";
  };
  assert.deepEqual(
    [await returned("bounce"), await returned("bounce", "FULL"), await returned("bounce", "HDRS")],
    ["message", "message", "header"],
  );
  assert.deepEqual([await returned("delay", "FULL"), await returned("success", "FULL")], ["header", "header"]);
});

test("a message above the limit, or that cannot travel in a notice, is returned by its header", async () => {
  const contents = [
    `A: b\r\n\r\n${"x".repeat(70)}\r\n`.padEnd(6000, "y\r\n"),
    `A: b\r\n\r\n${"x".repeat(1200)}\r\n`,
    "A: b\r\n\r\nbare \n\r\n",
    "A: b\r\n\r\n\0\r\n",
  ];
  for (const content of contents) {
    const bytes = Buffer.from(content);
    const asked = request();
    const { text } = await make(
      { ...asked, message: { ...asked.message, sizeBytes: bytes.length }, body: { kind: "inline", bytes } },
      { settings: { returnUpTo: "2KiB" } },
    );
    assert.match(text, /text\/rfc822-headers; charset=us-ascii\r\n\r\nA: b\r\n\r\n--/);
  }
});

test("a header above its limit is cut at the end of a line", async () => {
  const bytes = Buffer.from(`${"A: bcdefg\r\n".repeat(1000)}\r\nbody\r\n`);
  const asked = request();
  const { text } = await make(
    {
      ...asked,
      message: { ...asked.message, sizeBytes: bytes.length, dsnReturn: "HDRS" },
      body: { kind: "inline", bytes },
    },
    { settings: { returnHeaderUpTo: "1KiB" } },
  );
  assert.equal(text.match(/^A: bcdefg\r$/gm)?.length, Math.floor(1024 / 11));
});

test("when the message cannot be read the sender is told all the same", async () => {
  for (const made of [make(request(), { isUnreadable: true }), make(request({ body: undefined }))]) {
    const { commit, text, told } = await made;
    assert.ok(commit !== undefined);
    assert.match(text, /Status: 5\.1\.1/);
    assert.ok(!text.includes("Undelivered message"));
    assert.equal(told.length, 1);
  }
});

test("a delay notice says until when it is tried, and the status stays temporary", async () => {
  const failure: Failure = {
    lasting: "temporary",
    status: "4.4.1",
    cause: { kind: "connect", reason: "timeout", text: "" },
  };
  const { text } = await make(request({ kind: "delay" }, { failure, retryUntilAt: NOON + 86_400_000 }));
  assert.match(text, /Action: delayed\r\nStatus: 4\.4\.1/);
  assert.match(text, /Will-Retry-Until: Sun, 22 Nov 2026 12:00:00 \+0000/);
  assert.match(text, /tried until Sun, 22 Nov 2026/);
  assert.match(text, /^Subject: Your message is delayed\r$/m);
});

test("a success notice tells mailboxes from hosts that will not report", async () => {
  const relayed = await make(
    request({ kind: "success" }, { action: "relayed", status: "2.0.0", text: "250 ok" }, ["SUCCESS"]),
  );
  assert.match(
    relayed.text,
    /Action: relayed\r\nStatus: 2\.0\.0\r\nRemote-MTA: dns; mx\.example\.org\r\nDiagnostic-Code: smtp; 250 ok/,
  );
  const delivered = await make(
    request(
      { kind: "success" },
      { action: "delivered", status: "2.0.0", relay: "maildir:/x", text: "delivered to maildir" },
      ["SUCCESS"],
    ),
  );
  assert.match(delivered.text, /Action: delivered/);
  assert.ok(!delivered.text.includes("Remote-MTA"));
});

test("a success notice says who has the mail, and of a command or an alias no more than that", async () => {
  for (const [taker, sentence] of [
    [undefined, /It is in the mailbox\./],
    ["file", /It is in the file that keeps this recipient's mail\./],
    ["command", /The program that takes this recipient's mail has it\./],
    ["list", /The mailing list has it, and sends it to its members\./],
    ["nobody", /It was accepted and then thrown away, as the settings of this server ask\./],
  ] as const) {
    const success = { action: "delivered", status: "2.0.0", relay: "secret:/x", text: "secret", taker } as const;
    const { text } = await make(request({ kind: "success" }, success, ["SUCCESS"]));
    assert.match(text.replaceAll(/\s+/g, " "), sentence);
    assert.match(
      text,
      taker === "nobody" ? /^Subject: Your message was accepted\r$/m : /^Subject: Your message was delivered\r$/m,
    );
    assert.equal(text.includes("secret"), taker === undefined);
    assert.equal(/in the mailbox|was delivered or/.test(text), taker === undefined);
  }
});

test("a notice for a postmaster that came back from elsewhere is not told to postmaster again", async () => {
  const asked = request({ to: "postmaster@example.org" });
  const first = await make({ ...asked, message: { ...asked.message, sender: "" } });
  assert.match(first.text, /^Message-ID: <20261121120000\.dead-letter\.06A7Q2MKZZZ@mail\.example\.org>\r$/m);
  // As it comes in from elsewhere: another message with the same content.
  const { messageIdField } = first.commit?.message ?? {};
  const { answer, told } = await make({ ...asked, message: { ...asked.message, sender: "", messageIdField } });
  assert.deepEqual(answer, {
    kind: "unroutable",
    about: [asked.about[0]?.envelope.id],
    because: "it is a notice for a postmaster itself, and has come back",
  });
  assert.equal(told.length, 1);
  // With a sender it is somebody's mail, whatever it says; and notices to senders may come back once.
  const withSender = await make({ ...asked, message: { ...asked.message, messageIdField } });
  assert.equal(withSender.answer.kind, "notice");
  const toSender = (await make(request())).commit?.message.messageIdField;
  const back = await make({ ...asked, message: { ...asked.message, sender: "", messageIdField: toSender } });
  assert.equal(back.answer.kind, "notice");
});

test("without a way to the sender the notice is not made, and that is said; nobody misses one that nobody wants", async () => {
  const asked = request();
  const [one] = asked.about;
  assert.ok(one !== undefined);
  const never = { ...one, envelope: { ...one.envelope, id: `${asked.message.id}.2`, notify: ["NEVER"] as const } };
  const action = { kind: "none", because: "no such user here" } as const;
  const { answer, told } = await make({ ...asked, about: [one, never] }, { action });
  assert.deepEqual(answer, {
    kind: "unroutable",
    about: [one.envelope.id],
    because: "there is no way to <bob@example.net>: no such user here",
  });
  assert.deepEqual((await make({ ...asked, about: [never] }, { action })).answer, { kind: "unwanted" });
  const emptyList = await make(asked, { action: { kind: "targets", targets: [] } });
  assert.equal(emptyList.answer.kind, "unroutable");
  assert.deepEqual(told, ["warning: 06A7Q2MK0W1: no bounce notice to <bob@example.net>: no such user here"]);
});

test("a table that cannot be asked is no reason to lose a notice: making it fails, and is tried again", async () => {
  await assert.rejects(make(request(), { action: { kind: "failed", text: "the table is away" } }), /table is away/);
});

test("a success notice whose way cannot be found now is kept, and finds it when it is tried", async () => {
  const asked = request({ kind: "success" }, { action: "delivered", status: "2.0.0", relay: "maildir:/x" }, [
    "SUCCESS",
  ]);
  const { commit, text } = await make(asked, { action: { kind: "failed", text: "the table is away" } });
  assert.match(text, /Action: delivered/);
  const [envelope, another] = commit?.envelopes ?? [];
  assert.equal(another, undefined);
  assert.deepEqual([envelope?.recipient, envelope?.action], ["bob@example.net", PLACED_LATER]);
});

test("ENVID and ORCPT come back as they were given", async () => {
  const asked = request();
  const [one] = asked.about;
  assert.ok(one !== undefined);
  const about = [
    {
      ...one,
      envelope: { ...one.envelope, originalRecipient: "rfc822;Info@example.org", givenRecipient: "info@example.org" },
    },
  ];
  const { text } = await make({ ...asked, about, message: { ...asked.message, dsnEnvelopeId: "QQ314159" } });
  assert.match(text, /^Original-Envelope-Id: QQ314159\r$/m);
  assert.match(text, /^Original-Recipient: rfc822; Info@example\.org\r$/m);
  assert.match(text, /^<info@example\.org>, by way of <alice@example\.org>:\r$/m);
});

test("a sender beyond ASCII gets an internationalised notice", async () => {
  const asked = request();
  const { commit, text } = await make({
    ...asked,
    message: { ...asked.message, sender: "jörg@example.net", isInternational: true },
  });
  assert.equal(commit?.message.isInternational, true);
  assert.equal(commit?.message.content, "8bit");
  assert.match(text, /^To: <jörg@example\.net>\r$/m);
});

test("a list's owner is told of its members without the sender's ENVID, and gets the mail back whatever RET said", async () => {
  const asked = request();
  const about = asked.about.map((one) => ({
    ...one,
    envelope: { ...one.envelope, sender: "owner@example.org", isListMember: true as const },
  }));
  const message = { ...asked.message, dsnReturn: "HDRS", dsnEnvelopeId: "QQ314159" } as const;
  const { text } = await make({ ...asked, message, about });
  assert.match(text, /^To: <owner@example\.org>\r$/m);
  assert.ok(!text.includes("Original-Envelope-Id"));
  assert.match(text, /at noon\?/);
});

test("a notice about very many recipients of a host with very many words stays small, and names them all", async () => {
  const reply = { code: 550, status: "5.7.1", lines: Array.from({ length: 100 }, () => "Go away. ".repeat(200)) };
  const asked = request({}, { failure: { ...refusal, reply } }, ["FAILURE", "SUCCESS"]);
  const about = Array.from({ length: 100 }, (_, at) =>
    asked.about.map((one) => ({ ...one, envelope: { ...one.envelope, recipient: `r${at}@example.org` } })),
  ).flat();
  const bounce = await make({ ...asked, about });
  assert.ok((bounce.commit?.message.sizeBytes ?? Infinity) < 1_200_000, String(bounce.commit?.message.sizeBytes));
  assert.equal(bounce.text.match(/^Diagnostic-Code: smtp; 550 5\.7\.1 Go away\. /gm)?.length, 100);
  const text = reply.lines.join(" ");
  const success = await make({ ...asked, kind: "success", about: about.map((one) => ({ ...one, text })) });
  assert.ok((success.commit?.message.sizeBytes ?? Infinity) < 1_200_000, String(success.commit?.message.sizeBytes));
});
