import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import { testFilterWorld } from "../../testing/filter-mail.ts";
import { lenientPolicy, type RawClient } from "../../testing/reception.ts";
import { filtersOf, scriptedFilter } from "../../testing/scripted-filter.ts";
import { says, startScriptedMilter } from "../../testing/scripted-milter.ts";
import { testListener, type TestListener } from "../../testing/test-listener.ts";
import type { EnvelopePolicy, SessionFactsForRules } from "../envelope/policy.ts";
import type { FilterNotice } from "../filter/filter.ts";
import type { FilterInUse } from "../filter/filters.ts";
import { wholeOf } from "../filter/kept-content.ts";
import { milterFilter } from "../filter/milter/milter-filter.io.ts";
import { milterSettings } from "../filter/milter/settings.ts";

const ENVELOPE = "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n";
const MAIL = "Subject: x\r\nX-Old: 1\r\n\r\nhello\r\n.\r\n";
const NO = reply(550, "5.7.1", "Not wanted");

function listen(
  filters: readonly FilterInUse[],
  settings: Record<string, unknown> = {},
  policy?: Partial<EnvelopePolicy>,
): Promise<TestListener> {
  const chooseTargets = (recipient: string) =>
    Promise.resolve(
      recipient.startsWith("nobody@")
        ? ({ kind: "none", because: "no such mailbox" } as const)
        : ({ kind: "targets", targets: [{ recipient, action: "deliver" }] } as const),
    );
  const whole = { ...lenientPolicy(), ...policy };
  return testListener(settings, { world: { filters: filtersOf(filters), chooseTargets, policy: whole } });
}

/** The whole mail, and the last reply. */
async function send(server: TestListener, envelope = ENVELOPE, content = MAIL): Promise<string> {
  const client = await server.hello();
  await client.say(`${envelope}DATA\r\n`, /^354 .*\r\n/m);
  const said = await client.say(content, /^\d{3} .*\r\n$/m);
  client.send("QUIT\r\n");
  await client.rest();
  return said;
}

test("a filter is asked at its stages, in the order of the dialogue, and let go at the end", async () => {
  const all = scriptedFilter("all", {
    at: ["connect", "helo", "mail", "rcpt", "data"],
    ask: () => ({ kind: "proceed" }),
    judge: () => ({ fate: { kind: "keep" } }),
  });
  await using server = await listen([all]);
  assert.match(await send(server), /^250 2\.0\.0 Ok: queued/);
  assert.deepEqual(all.asked, ["connect", "helo", "mail", "rcpt", "data", "message", "end"]);
  assert.ok(server.queue.content(0).endsWith("\r\nSubject: x\r\nX-Old: 1\r\n\r\nhello\r\n"));
  assert.equal(server.queue.openWriters, 0);
});

test("what is refused at connect is refused at MAIL, so that the log knows who it was", async () => {
  const filter = scriptedFilter("strict", { at: ["connect"], ask: () => ({ kind: "refuse", reply: NO }) });
  await using server = await listen([filter]);
  const client = await server.hello();
  assert.match(await client.say("MAIL FROM:<a@b.example>\r\n", /\r\n/), /^550 5\.7\.1 Not wanted/);
  await server.logged(
    /reject: MAIL from localhost.*550 5\.7\.1 .*Not wanted; from=<a@b\.example>.*restriction=<filter strict>/,
  );
});

/** A proxy that has greeted and names whom it speaks for, who greets in turn. */
async function actedFor(server: TestListener, address: string): Promise<RawClient> {
  const proxy = await server.hello();
  await proxy.say(`XCLIENT ADDR=${address} NAME=[UNAVAILABLE]\r\n`, /^220 .*\r\n/m);
  await proxy.say("EHLO stranger.example\r\n", /^250 .*\r\n/m);
  return proxy;
}
const XCLIENT = { xclientFrom: ["127.0.0.1"] };
const STRANGER = "203.0.113.9";

test("whom XCLIENT names is another client to filters, whatever they said of the proxy", async () => {
  // Restrictions stand in front of filters: with them, too.
  for (const stages of [undefined, new Set(["connect"] as const)]) {
    const filter = scriptedFilter("strict", {
      at: ["connect", "mail"],
      ask: ({ stage, facts }) =>
        facts.client.address !== STRANGER
          ? { kind: "content", tags: ["proxy"] }
          : stage === "connect"
            ? { kind: "refuse", reply: NO }
            : { kind: "proceed" },
    });
    await using server = await listen([filter], XCLIENT, stages && { stagesAt: () => stages });
    const client = await actedFor(server, STRANGER);
    assert.match(await client.say("MAIL FROM:<a@b.example>\r\n", /\r\n/), /^550 5\.7\.1 Not wanted/);
    assert.deepEqual(filter.asked, ["connect", "end", "connect"]);
  }
});

test("what a filter refused to the proxy is not refused to whom it names", async () => {
  const filter = scriptedFilter("strict", {
    at: ["connect"],
    ask: ({ facts }) => (facts.client.address === STRANGER ? { kind: "proceed" } : { kind: "refuse", reply: NO }),
  });
  await using server = await listen([filter], XCLIENT);
  const client = await actedFor(server, STRANGER);
  assert.match(await client.say("MAIL FROM:<a@b.example>\r\n", /\r\n/), /^250 /);
});

test("a milter that accepted the proxy is told of whom XCLIENT names on a new connection", async () => {
  await using milter = await startScriptedMilter({
    on: ({ code, text }) => (code === "C" && text.includes("127.0.0.1") ? [says.accept] : undefined),
  });
  const settings = milterSettings.parse({ address: milter.address });
  const used = { ...scriptedFilter("m", {}), filter: milterFilter("m", settings, testFilterWorld()) };
  await using server = await listen([used], XCLIENT);
  const client = await actedFor(server, STRANGER);
  await client.say("MAIL FROM:<a@b.example>\r\n", /^250 .*\r\n/m);
  const told = milter.commands();
  assert.match(told[0] ?? "", /^C .*127\.0\.0\.1/);
  assert.match(told.findLast((line) => line.startsWith("C ")) ?? "", /203\.0\.113\.9/);
  assert.deepEqual(told.slice(-2), ["H stranger.example|", "M <a@b.example>|"]);
});

test("each stage can refuse, and the session goes on", async () => {
  for (const [stage, line] of [
    ["helo", "EHLO again.example"],
    ["mail", "MAIL FROM:<a@b.example>"],
    ["rcpt", "RCPT TO:<c@d.example>"],
    ["data", "DATA"],
  ] as const) {
    let isStrict = false;
    const filter = scriptedFilter("strict", {
      at: [stage],
      ask: () => (isStrict ? { kind: "refuse", reply: NO } : { kind: "proceed" }),
    });
    await using server = await listen([filter]);
    const client = await server.hello();
    if (stage === "rcpt" || stage === "data") await client.say("MAIL FROM:<a@b.example>\r\n", /^250.*\r\n/);
    if (stage === "data") await client.say("RCPT TO:<c@d.example>\r\n", /^250.*\r\n/);
    isStrict = true;
    assert.match(await client.say(`${line}\r\n`, /\r\n/), /^550 5\.7\.1 Not wanted/, stage);
    assert.match(await client.say("NOOP\r\n", /\r\n/), /^250/, stage);
  }
});

test("a chunk of BDAT that a filter refuses is swallowed, and no command is read in it", async () => {
  const filter = scriptedFilter("strict", { at: ["data"], ask: () => ({ kind: "refuse", reply: NO }) });
  await using server = await listen([filter]);
  const client = await server.hello();
  const said = await client.say(`${ENVELOPE}BDAT 6\r\nQUIT\r\nNOOP\r\n`, /^550 [^]*250 2\.0\.0 Ok\r\n$/m);
  assert.match(said, /550 5\.7\.1 Not wanted\r\n250 2\.0\.0 Ok\r\n$/);
  assert.equal(server.queue.commits.length, 0);
  await server.logged(/reject: BDAT from localhost.*550 5\.7\.1 .*restriction=<filter strict>/);
});

test("in LMTP a last chunk that a filter refuses is answered for each accepted recipient", async () => {
  const filter = scriptedFilter("strict", { at: ["data"], ask: () => ({ kind: "refuse", reply: NO }) });
  await using server = await listen([filter], { protocol: "lmtp" });
  const client = await server.hello();
  const two = `${ENVELOPE}RCPT TO:<e@d.example>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n`;
  const said = await client.say(two, /^550 [^]*250 2\.0\.0 Ok\r\n$/m);
  assert.match(
    said,
    /550 5\.7\.1 <c@d\.example> Not wanted\r\n550 5\.7\.1 <e@d\.example> Not wanted\r\n250 2\.0\.0 Ok\r\n$/,
  );
  // The transaction is over.
  assert.match(await client.say("MAIL FROM:<a@b.example>\r\n", /^\d.*\r\n/), /^250 /);
  assert.equal(server.queue.commits.length, 0);
  await server.logged(/reject: END-OF-MESSAGE from localhost.*550 5\.7\.1 .*restriction=<filter strict>/);
});

test("a filter can end the session", async () => {
  const filter = scriptedFilter("strict", {
    at: ["mail"],
    ask: () => ({ kind: "disconnect", reply: reply(421, "4.7.0", "Go away") }),
  });
  await using server = await listen([filter]);
  const client = await server.hello();
  client.send("MAIL FROM:<a@b.example>\r\nNOOP\r\n");
  assert.equal(await client.rest(), "421 4.7.0 Go away\r\n");
});

test("a refusal of the whole mail with 421 ends the session, in SMTP and in LMTP", async () => {
  for (const protocol of ["smtp", "lmtp"] as const) {
    const filter = scriptedFilter("strict", {
      at: ["message"],
      judge: () => ({ fate: { kind: "refuse", reply: reply(421, "4.7.0", "Go away") } }),
    });
    await using server = await listen([filter], { protocol });
    const client = await server.hello();
    await client.say("MAIL FROM:<a@b.example>\r\n", /^250.*\r\n/);
    await client.say("RCPT TO:<c@d.example>\r\n", /^250.*\r\n/);
    await client.say("DATA\r\n", /^354.*\r\n/);
    client.send("Subject: x\r\n\r\nx\r\n.\r\nNOOP\r\n");
    assert.match(await client.rest(), /^421 4\.7\.0 (<c@d\.example> )?Go away\r\n$/);
    assert.equal(server.queue.commits.length, 0);
  }
});

test("HELO, sender and recipient can be given another form, which rules and envelopes have", async () => {
  const filter = scriptedFilter("rewriter", {
    at: ["helo", "mail", "rcpt"],
    ask: (question) => {
      if (question.stage === "helo") return { kind: "rewrite", to: "better.example" };
      return { kind: "rewrite", to: question.stage === "mail" ? "new@b.example" : "moved@d.example" };
    },
  });
  const judged: unknown[] = [];
  const judgeRecipient = async ({ instead }: SessionFactsForRules, recipient: string) => {
    judged.push([recipient, instead]);
    return { kind: "accept", rule: "all", targets: [{ recipient, action: "deliver" }], permittedAt: 2 } as const;
  };
  await using server = await listen([filter], {}, { judgeRecipient });
  assert.match(await send(server), /^250/);
  const [commit] = server.queue.commits;
  assert.equal(commit?.message.sender, "new@b.example");
  // The second answer is about what stands in the first one's place: nobody counts it again.
  assert.deepEqual(judged, [
    ["c@d.example", undefined],
    ["moved@d.example", { permittedAt: 2 }],
  ]);
  assert.deepEqual(
    commit.envelopes.map(({ recipient }) => recipient),
    ["moved@d.example"],
  );
  assert.match(server.queue.content(0), /^Received: from better\.example/);
});

test("a recipient that a filter gives another form is refused when the rules do not want that one", async () => {
  const filter = scriptedFilter("rewriter", { at: ["rcpt"], ask: () => ({ kind: "rewrite", to: "nobody@d.example" }) });
  await using server = await listen([filter]);
  const client = await server.hello();
  assert.match(await client.say(ENVELOPE, /^250[^]*\r\n[^]*\r\n$/), /550 5\.1\.1/);
});

test("header and body can be changed; what was not touched stays byte for byte, our trace field on top", async () => {
  const seen: string[] = [];
  const first = scriptedFilter("first", {
    async judge(mail) {
      seen.push((await wholeOf(mail.content())).toString());
      const room = mail.room();
      await room.write(Buffer.from("good"));
      await room.write(Buffer.from("bye\r\n"));
      return {
        fate: { kind: "keep" },
        edits: [
          { edit: "add-field", name: "X-Top", value: "1", at: 0 },
          { edit: "change-field", name: "X-OLD", nth: 1, value: "2\r\n\tfolded" },
          { edit: "replace-body", body: await room.finish() },
        ],
      };
    },
  });
  const second = scriptedFilter("second", {
    async judge(mail) {
      seen.push((await wholeOf(mail.content())).toString());
      return { fate: { kind: "keep" }, edits: [{ edit: "add-field", name: "X-Last", value: "injected\r\nBcc: evil" }] };
    },
  });
  await using server = await listen([first, second]);
  assert.match(await send(server), /^250/);
  assert.equal(seen[0], "Subject: x\r\nX-Old: 1\r\n\r\nhello\r\n");
  assert.equal(seen[1], "X-Top: 1\r\nSubject: x\r\nX-OLD: 2\r\n\tfolded\r\n\r\ngoodbye\r\n");
  const content = server.queue.content(0);
  assert.match(content, /^Received: from me\.example/);
  assert.ok(
    content.endsWith(
      "\r\nX-Top: 1\r\nSubject: x\r\nX-OLD: 2\r\n\tfolded\r\nX-Last: injected\r\n\tBcc: evil\r\n\r\ngoodbye\r\n",
    ),
    content,
  );
  assert.equal(server.queue.commits[0]?.message.sizeBytes, content.length);
  assert.equal(server.queue.openWriters, 0);
});

test("a mail without header, without body, or without an empty line goes through a filter and back", async () => {
  for (const [content, expected] of [
    ["\r\nonly a body\r\n.\r\n", "X-A: 1\r\n\r\nonly a body\r\n"],
    ["Subject: only a header\r\n.\r\n", "Subject: only a header\r\nX-A: 1\r\n\r\n"],
    ["Subject: x\r\nno field\r\n.\r\n", "Subject: x\r\nX-A: 1\r\n\r\nno field\r\n"],
    [".\r\n", "X-A: 1\r\n\r\n"],
  ] as const) {
    const filter = scriptedFilter("adder", {
      judge: () => ({ fate: { kind: "keep" }, edits: [{ edit: "add-field", name: "X-A", value: "1" }] }),
    });
    await using server = await listen([filter]);
    assert.match(await send(server, ENVELOPE, content), /^250/);
    assert.ok(server.queue.content(0).endsWith(`\r\n${expected}`), JSON.stringify(server.queue.content(0)));
  }
});

test("recipients come and go; one that the rules do not know is told, and the mail goes to the others", async () => {
  const filter = scriptedFilter("router", {
    judge: () => ({
      fate: { kind: "keep" },
      edits: [
        { edit: "add-recipient", recipient: "new@d.example" },
        { edit: "add-recipient", recipient: "nobody@d.example" },
        { edit: "remove-recipient", recipient: "c@D.example" },
        { edit: "sender", sender: "other@b.example" },
      ],
    }),
  });
  await using server = await listen([filter]);
  assert.match(await send(server), /^250/);
  const [commit] = server.queue.commits;
  assert.deepEqual(
    commit?.envelopes.map(({ recipient }) => recipient),
    ["new@d.example"],
  );
  assert.equal(commit.message.sender, "other@b.example");
  await server.logged(/a filter's recipient <nobody@d\.example> is not added: no such mailbox/);
});

test("a recipient that is removed and given anew gets the mail, and one that is added and taken back does not", async () => {
  const first = scriptedFilter("first", {
    judge: () => ({
      fate: { kind: "keep" },
      edits: [
        { edit: "remove-recipient", recipient: "c@d.example" },
        { edit: "add-recipient", recipient: "C@d.example" },
        { edit: "remove-recipient", recipient: "e@d.example" },
        { edit: "add-recipient", recipient: "new@d.example" },
      ],
    }),
  });
  let seen: readonly string[] = [];
  const second = scriptedFilter("second", {
    judge: ({ facts }) => {
      seen = facts.mail.recipients.map(({ address }) => address);
      return {
        fate: { kind: "keep" },
        edits: [
          { edit: "add-recipient", recipient: "e@d.example" },
          { edit: "remove-recipient", recipient: "new@D.example" },
        ],
      };
    },
  });
  await using server = await listen([first, second]);
  assert.match(await send(server, `${ENVELOPE}RCPT TO:<e@d.example>\r\n`), /^250/);
  assert.deepEqual(seen, ["c@d.example", "new@d.example"]);
  assert.deepEqual(
    server.queue.commits[0]?.envelopes.map(({ recipient }) => recipient),
    ["c@d.example", "e@d.example"],
  );
});

test("a mail whose only recipient gives way to one that there is not is kept with its client, not thrown away", async () => {
  const filter = scriptedFilter("router", {
    judge: () => ({
      fate: { kind: "keep" },
      edits: [
        { edit: "remove-recipient", recipient: "c@d.example" },
        { edit: "add-recipient", recipient: "nobody@d.example" },
      ],
    }),
  });
  await using server = await listen([filter]);
  assert.match(await send(server), /^451 4\.3\.0 /);
  assert.equal(server.queue.commits.length, 0);
  assert.equal(server.queue.openWriters, 0);
  await server.logged(/a filter's recipient <nobody@d\.example> is not added: no such mailbox/);
});

test("a mail that a filter puts 8-bit text into is 8-bit mail", async () => {
  const header = scriptedFilter("header", {
    judge: () => ({ fate: { kind: "keep" }, edits: [{ edit: "add-field", name: "X-A", value: "ä" }] }),
  });
  const body = scriptedFilter("body", {
    async judge(mail) {
      const room = mail.room();
      await room.write(Buffer.from("schön\r\n"));
      return { fate: { kind: "keep" }, edits: [{ edit: "replace-body", body: await room.finish() }] };
    },
  });
  for (const filter of [header, body]) {
    await using server = await listen([filter]);
    assert.match(await send(server), /^250/);
    assert.equal(server.queue.commits[0]?.message.content, "8bit");
  }
});

test("a mail that loses all of its recipients is accepted, thrown away, and the log says so", async () => {
  const filter = scriptedFilter("router", {
    judge: () => ({ fate: { kind: "keep" }, edits: [{ edit: "remove-recipient", recipient: "c@d.example" }] }),
  });
  await using server = await listen([filter]);
  assert.match(await send(server), /^250 2\.0\.0 Ok: queued/);
  assert.equal(server.queue.commits.length, 0);
  assert.equal(server.queue.openWriters, 0);
  await server.logged(/discard: from=<a@b\.example>, 1 recipients: no recipient is left/);
});

test("a mail that is put into quarantine and loses all of its recipients is kept for them", async () => {
  const filter = scriptedFilter("router", {
    judge: () => ({
      fate: { kind: "quarantine" },
      because: "virus",
      edits: [{ edit: "remove-recipient", recipient: "c@d.example" }],
    }),
  });
  await using server = await listen([filter]);
  assert.match(await send(server), /^250 2\.0\.0 Ok: queued/);
  const [commit] = server.queue.commits;
  assert.deepEqual(commit?.quarantine, { filter: "router", because: "virus" });
  assert.deepEqual(
    commit.envelopes.map(({ recipient }) => recipient),
    ["c@d.example"],
  );
});

test("discard is accepted and not kept, quarantine is kept with its mark, an action takes the place of the rules'", async () => {
  const fates = [
    [{ fate: { kind: "discard" }, because: "junk" } as const, undefined, undefined],
    [{ fate: { kind: "quarantine" }, because: "virus" } as const, "deliver", { filter: "judge", because: "virus" }],
    [{ fate: { kind: "keep" }, action: "junk" } as const, "junk", undefined],
  ] as const;
  for (const [verdict, action, quarantine] of fates) {
    await using server = await listen([scriptedFilter("judge", { judge: () => verdict })]);
    assert.match(await send(server), /^250 2\.0\.0 Ok: queued/);
    assert.equal(server.queue.commits[0]?.envelopes[0]?.action, action);
    assert.deepEqual(server.queue.commits[0]?.quarantine, quarantine);
    assert.equal(server.queue.openWriters, 0);
  }
});

test("in LMTP every recipient that the client gave gets an answer, whatever filters made of them", async () => {
  const filter = scriptedFilter("router", {
    judge: () => ({ fate: { kind: "keep" }, edits: [{ edit: "remove-recipient", recipient: "c@d.example" }] }),
  });
  await using server = await listen([filter], { protocol: "lmtp" });
  const client = await server.hello();
  await client.say(`${ENVELOPE}RCPT TO:<e@d.example>\r\nDATA\r\n`, /^354 .*\r\n/m);
  const said = await client.say(MAIL, /(?:^250 .*\r\n){2}/m);
  assert.match(said, /^250 2\.0\.0 <c@d\.example> .*\r\n250 2\.0\.0 <e@d\.example>/);
  assert.deepEqual(
    server.queue.commits[0]?.envelopes.map(({ recipient }) => recipient),
    ["e@d.example"],
  );
});

test("rules see the tags of filters", async () => {
  const tags: (readonly string[] | undefined)[] = [];
  const filter = scriptedFilter("tagger", {
    at: ["connect", "mail"],
    ask: ({ stage }) => ({ kind: "proceed", tags: [`at-${stage}`] }),
  });
  await using server = await testListener(
    {},
    {
      world: {
        filters: filtersOf([filter]),
        policy: {
          judgeRecipient(facts, recipient) {
            tags.push(facts.tags);
            return Promise.resolve({ kind: "accept", rule: "test", targets: [{ recipient, action: "deliver" }] });
          },
        },
      },
    },
  );
  await send(server);
  assert.deepEqual(tags, [["at-connect", "at-mail"]]);
});

test("an action that a filter chooses does not keep a mail from its content filter", async () => {
  const filter = scriptedFilter("judge", { judge: () => ({ fate: { kind: "keep" }, action: "junk" }) });
  const policy: EnvelopePolicy = {
    judgeRecipient: (_facts, recipient) =>
      Promise.resolve({ kind: "accept", rule: "test", targets: [{ recipient, action: "content-filter:test" }] }),
  };
  await using server = await testListener({}, { world: { filters: filtersOf([filter]), policy } });
  assert.match(await send(server), /^250 /);
  assert.equal(server.queue.commits[0]?.envelopes[0]?.action, "content-filter:test");
});

test("a filter that throws, hangs or answers nonsense becomes what its settings say, and no mail is lost or torn", async () => {
  const bad: readonly (() => Promise<never> | { fate: { kind: "keep" }; edits: never[]; action: string })[] = [
    () => Promise.reject(new Error("it broke")),
    () => new Promise<never>(() => {}),
    () => ({ fate: { kind: "keep" }, edits: [], action: "no-such-action" }),
  ];
  for (const judge of bad)
    for (const [onFailure, code] of [
      ["defer", 451],
      ["reject", 554],
      ["accept", 250],
    ] as const) {
      const filter = scriptedFilter("bad", { judge, settings: { onFailure, messageTimeout: 50 } });
      await using server = await listen([filter]);
      assert.match(await send(server), new RegExp(`^${code} `));
      assert.equal(server.queue.commits.length, code === 250 ? 1 : 0);
      assert.equal(server.queue.openWriters, 0);
      await server.logged(/filter bad: failed at message: /);
    }
});

test("while one session waits for a filter, others are answered", async () => {
  let isFirst = true;
  const filter = scriptedFilter("slow", {
    judge: () => {
      if (!isFirst) return { fate: { kind: "keep" } };
      isFirst = false;
      return new Promise<never>(() => {});
    },
    settings: { messageTimeout: 60_000 },
  });
  await using server = await listen([filter]);
  const waiting = await server.hello();
  await waiting.say(`${ENVELOPE}DATA\r\n`, /^354 .*\r\n/m);
  waiting.send(MAIL);
  assert.match(await send(server), /^250 2\.0\.0/);
  // A server that ends waits for no filter, and keeps no mail that nobody was told of.
  const startedAt = performance.now();
  await server.listener.close(0);
  assert.ok(performance.now() - startedAt < 30_000);
  assert.equal(server.queue.commits.length, 1);
  assert.equal(server.queue.openWriters, 0);
});

test("a filter that wants to hear the dialogue hears it, without passwords", async () => {
  const notices: FilterNotice[] = [];
  const filter = scriptedFilter("listener", { note: (what) => void notices.push(what) });
  await using server = await listen([filter], { auth: "offer", authWithoutTls: "loopback" });
  const client = await server.hello();
  const secret = Buffer.from("\0ann\0secret").toString("base64");
  await client.say(`AUTH PLAIN ${secret}\r\n`, /^235.*\r\n/m);
  await client.say(
    "MAIL FROM:<a@b.example>\r\nRCPT TO:<nobody@d.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n",
    /^354.*\r\n/m,
  );
  await client.say(MAIL, /^250.*\r\n/m);
  await client.say("MAIL FROM:<a@b.example>\r\nRSET\r\n", /^250[^]*\r\n250.*\r\n$/);
  const kinds = notices.map((one) => ("outcome" in one ? `${one.notice} ${one.outcome}` : one.notice));
  assert.deepEqual(
    kinds.filter((kind) => !kind.endsWith("-line")),
    ["auth pass", "mail ok", "rcpt permfail", "rcpt ok", "data ok", "commit", "mail ok", "rollback", "reset"],
  );
  const lines = notices.flatMap((one) => ("line" in one ? [one.line] : []));
  assert.ok(lines.includes("AUTH PLAIN ********"));
  assert.ok(lines.includes("250 2.1.0 Ok"));
  assert.ok(!lines.join("\n").includes(secret));
});

test("tags that come with the content let the rules choose anew; they refuse the mail when they refuse all", async () => {
  const tagger = scriptedFilter("tagger", { judge: () => ({ fate: { kind: "keep" }, tags: ["spam"] }) });
  const refuse = { kind: "reject", reply: reply(550, "5.7.1", "No spam"), because: "", rule: "no-spam" } as const;
  const later = { kind: "reject", reply: reply(451, "4.3.0", "Later"), because: "the table is away" } as const;
  const junk = (recipient: string) =>
    ({ kind: "accept", rule: "junk", targets: [{ recipient, action: "junk" }] }) as const;
  const two = `${ENVELOPE}RCPT TO:<strict@d.example>\r\n`;
  for (const [judge, code, actions] of [
    [junk, 250, ["junk", "junk"]],
    [(recipient: string) => (recipient.startsWith("strict@") ? refuse : junk(recipient)), 250, ["junk", "deliver"]],
    [() => refuse, 550, undefined],
    [(recipient: string) => (recipient.startsWith("strict@") ? later : junk(recipient)), 451, undefined],
  ] as const) {
    await using server = await testListener(
      {},
      {
        world: {
          filters: filtersOf([tagger]),
          rulesAskTags: true,
          judgeAgain: (facts, recipient) => {
            assert.deepEqual(facts.tags, ["spam"]);
            return Promise.resolve(judge(recipient));
          },
        },
      },
    );
    assert.match(await send(server, two), new RegExp(`^${code} `));
    assert.deepEqual(
      server.queue.commits[0]?.envelopes.map(({ action }) => action),
      actions,
    );
    const kept = server.log.events.find(({ name }) => name === "session.kept");
    if (judge === junk) assert.deepEqual(kept?.fields["rules"], ["junk"]);
    if (code === 550) await server.logged(/reject: END-OF-MESSAGE .* No spam; .* rule=<no-spam>$/m);
  }
});

test("a recipient that a filter takes out has no say in what the rules make of the mail's tags", async () => {
  const filter = scriptedFilter("tagger", {
    judge: () => ({
      fate: { kind: "keep" },
      tags: ["spam"],
      edits: [{ edit: "remove-recipient", recipient: "STRICT@d.example" }],
    }),
  });
  const world = {
    filters: filtersOf([filter]),
    rulesAskTags: true,
    judgeAgain: (_facts: unknown, recipient: string) =>
      Promise.resolve(
        recipient.startsWith("strict@")
          ? ({ kind: "reject", reply: reply(451, "4.3.0", "Later"), because: "the table is away" } as const)
          : ({ kind: "accept", rule: "junk", targets: [{ recipient, action: "junk" }] } as const),
      ),
  };
  await using server = await testListener({}, { world });
  assert.match(await send(server, `${ENVELOPE}RCPT TO:<strict@d.example>\r\n`), /^250 /);
  assert.deepEqual(
    server.queue.commits[0]?.envelopes.map(({ recipient, action }) => [recipient, action]),
    [["c@d.example", "junk"]],
  );
});

test("another sender of a filter's is the one that SRS, VERP and rules make theirs of", async () => {
  const refuse = { kind: "reject", reply: reply(550, "5.7.1", "Not from there"), because: "" } as const;
  const made = ({ sender }: { readonly sender: string }, recipient: string) =>
    sender === ""
      ? ({ kind: "accept", rule: "all", targets: [{ recipient, action: "relay" }] } as const)
      : ({ kind: "accept", rule: "all", targets: [{ recipient, action: "relay", sender: `srs+${sender}` }] } as const);
  for (const [sender, strict, senders] of [
    ["new@b.example", made, ["srs+new@b.example", "srs+new@b.example"]],
    ["", made, [undefined, undefined]],
    // The one that the rules do not take any more keeps its way, but not what was made of the old sender.
    ["new@b.example", () => refuse, ["srs+new@b.example", undefined]],
    ["a@b.example", () => refuse, ["srs+a@b.example", "srs+a@b.example"]],
  ] as const) {
    const filter = scriptedFilter("changer", {
      judge: () => ({ fate: { kind: "keep" }, edits: [{ edit: "sender", sender }] }),
    });
    const world = {
      filters: filtersOf([filter]),
      policy: { judgeRecipient: async (facts: SessionFactsForRules, recipient: string) => made(facts, recipient) },
      judgeAgain: async (facts: SessionFactsForRules, recipient: string) =>
        recipient.startsWith("strict@") ? strict(facts, recipient) : made(facts, recipient),
    };
    await using server = await testListener({}, { world });
    assert.match(await send(server, `${ENVELOPE}RCPT TO:<strict@d.example>\r\n`), /^250 /);
    const [commit] = server.queue.commits;
    assert.equal(commit?.message.sender, sender);
    assert.deepEqual(
      commit?.envelopes.map((one) => one.sender),
      senders,
    );
  }
});

test("a mail that another EHLO ends is over for filters, too, also where they are asked about the name", async () => {
  const notices: FilterNotice[] = [];
  const filter = scriptedFilter("listener", {
    at: ["helo"],
    ask: () => ({ kind: "proceed" }),
    note: (what) => void notices.push(what),
  });
  await using server = await listen([filter]);
  const client = await server.hello();
  await client.say(ENVELOPE, /^250[^]*\r\n250.*\r\n$/);
  await client.say("EHLO again.example\r\n", /^250 .*\r\n$/m);
  await client.say("MAIL FROM:<a@b.example>\r\n", /^250.*\r\n$/);
  const kinds = notices.map(({ notice }) => notice).filter((kind) => !kind.endsWith("-line"));
  assert.deepEqual(kinds, ["mail", "rcpt", "rollback", "mail"]);
});
