import assert from "node:assert/strict";
import { test } from "node:test";
import { reply } from "../../protocol/smtp/reply.ts";
import { virtualClock } from "../../simulator/clock.ts";
import { testFacts, testMail } from "../../testing/filter-mail.ts";
import { scriptedFilter, type Script, type ScriptedFilter } from "../../testing/scripted-filter.ts";
import type { SessionFactsForRules } from "../envelope/policy.ts";
import { FilterChain, WHOLE_CHAIN_MS } from "./chain.ts";
import type { FilterQuestion } from "./filter.ts";
import { filterSettings } from "./settings.ts";

const WHO: SessionFactsForRules = { listener: "smtp", isEncrypted: false, sender: "alice@example.net" };
const NO = reply(550, "5.7.1", "No");

function chained(filters: readonly ScriptedFilter[], clock = virtualClock(0)): FilterChain {
  return new FilterChain(filters, testFacts(), { clock, tables: new Map() });
}

function one(name: string, script: Script, clock = virtualClock(0)): ScriptedFilter {
  return scriptedFilter(name, script, { clock });
}

const AT_MAIL: FilterQuestion = { stage: "mail", facts: testFacts() };
const AT_RCPT: FilterQuestion = {
  stage: "rcpt",
  facts: testFacts(),
  recipient: { address: "bob@example.org", parameters: [] },
};
const MAIL = testMail("Subject: x\n\nhello\n");

test("nobody is asked at stages that nobody wants", () => {
  const chain = chained([one("a", { at: ["mail"], ask: () => ({ kind: "proceed" }) })]);
  assert.ok(chain.wants("mail"));
  for (const stage of ["connect", "helo", "auth", "rcpt", "data", "message"] as const) assert.ok(!chain.wants(stage));
});

test("who has nothing more to say of a mail is asked again in the next one, of a session never", async () => {
  const filter = one("a", {
    at: ["helo", "mail", "rcpt"],
    ask: () => ({ kind: "content" }),
    judge: () => ({ fate: { kind: "keep" } }),
  });
  const chain = chained([filter]);
  chain.begin();
  await chain.ask(AT_MAIL, WHO);
  await chain.ask(AT_RCPT, WHO);
  assert.ok(!chain.wants("message"));
  chain.begin();
  assert.ok(chain.wants("mail"));
  await chain.ask({ stage: "helo", verb: "EHLO", name: "x", facts: testFacts() }, WHO);
  chain.begin();
  assert.ok(!chain.wants("mail"));
  assert.deepEqual(filter.asked, ["mail", "helo"]);
});

test("who has nothing more to say of a session since a login or EHLO that another one refuses is asked as before", async () => {
  for (const question of [
    { stage: "helo", verb: "EHLO", name: "partner.example", facts: testFacts() },
    { stage: "auth", facts: testFacts({ account: "ann" }) },
  ] as const) {
    const silent = one("silent", { at: [question.stage, "mail"], ask: () => ({ kind: "content" }) });
    const refusing = one("refusing", { at: [question.stage], ask: () => ({ kind: "refuse", reply: NO }) });
    const chain = chained([silent, refusing]);
    assert.equal((await chain.ask(question, WHO)).kind, "refuse");
    chain.begin();
    assert.ok(chain.wants("mail"), question.stage);
  }
});

test("who seals is told in whose names results of this mail are ours, and of nobody who was not asked about it", async () => {
  const writer = (name: string, mailFrom: string) =>
    one(name, {
      judge: () => ({ fate: { kind: "keep" }, resultsOf: `${name}.example`, tags: ["dmarc=pass"] }),
      settings: { match: filterSettings.parse({ clamd: "127.0.0.1:3310", match: { mailFrom } }).match },
    });
  let seen: readonly string[] | undefined;
  const sealer = one("sealer", {
    judge: ({ facts }) => {
      seen = facts.mail.resultsOf;
      return { fate: { kind: "keep" } };
    },
  });
  await chained([writer("a", "@example.net"), writer("b", "@other.example"), sealer]).judge(MAIL, WHO);
  assert.deepEqual(seen, ["a.example"]);
});

test("the next filter sees what the one before made of it: argument, tags, header, recipients", async () => {
  let seen: FilterQuestion | undefined;
  let mail = MAIL;
  const chain = chained([
    one("first", {
      at: ["rcpt"],
      ask: () => ({ kind: "rewrite", to: "new@example.org", tags: ["moved"] }),
      judge: () => ({
        fate: { kind: "keep" },
        tags: ["seen"],
        edits: [
          { edit: "add-field", name: "X", value: "1" },
          { edit: "add-recipient", recipient: "extra@example.org" },
          { edit: "remove-recipient", recipient: "bob@example.org" },
        ],
      }),
    }),
    one("second", {
      at: ["rcpt"],
      ask: (question) => {
        seen = question;
        return { kind: "proceed" };
      },
      judge: (given) => {
        mail = given;
        return { fate: { kind: "keep" } };
      },
    }),
  ]);
  const outcome = await chain.ask(AT_RCPT, WHO);
  assert.ok(outcome.kind === "proceed" && outcome.rewrite === "new@example.org");
  assert.ok(seen?.stage === "rcpt" && seen.recipient.address === "new@example.org");
  assert.deepEqual(seen.facts.tags, ["moved"]);
  const sifted = await chain.judge(MAIL, WHO);
  assert.equal(mail.header.toString(), "Subject: x\r\nX: 1\r\n");
  assert.deepEqual(
    mail.facts.mail.recipients.map(({ address }) => address),
    ["extra@example.org"],
  );
  assert.deepEqual([sifted.isChanged, sifted.tags, sifted.added], [true, ["seen"], ["extra@example.org"]]);
});

test("refusing wins over all, quarantine over discarding, whoever says it first", async () => {
  const says = (kind: "discard" | "quarantine") => one(kind, { judge: () => ({ fate: { kind } }) });
  const no = one("no", { judge: () => ({ fate: { kind: "refuse", reply: NO } }) });
  const fateOf = async (filters: readonly ScriptedFilter[]) => (await chained(filters).judge(MAIL, WHO)).fate.kind;
  assert.equal(await fateOf([says("discard"), says("quarantine")]), "quarantine");
  assert.equal(await fateOf([says("quarantine"), says("discard")]), "quarantine");
  assert.equal(await fateOf([says("discard"), says("quarantine"), no]), "refuse");
  assert.equal(await fateOf([says("discard")]), "discard");
});

test("mail that is to be discarded or kept in quarantine is not shown to a filter that passes mail on itself", async () => {
  const passes = () =>
    one("proxy", {
      handsOver: true,
      judge: () => ({ fate: { kind: "handed-over", reply: reply(250, "2.0.0", "Ok") } }),
    });
  for (const kind of ["discard", "quarantine"] as const) {
    const early = chained([one("early", { at: ["rcpt"], ask: () => ({ kind }) }), passes()]);
    early.begin();
    await early.ask(AT_RCPT, WHO);
    assert.equal((await early.judge(MAIL, WHO)).fate.kind, kind);
    const proxy = passes();
    const late = chained([one("late", { judge: () => ({ fate: { kind } }) }), proxy]);
    const { fate, told } = await late.judge(MAIL, WHO);
    assert.equal(fate.kind, kind);
    assert.deepEqual(told.at(-1), {
      filter: "proxy",
      stage: "message",
      verdict: "skipped",
      because: "the mail is not to be passed on",
    });
    assert.deepEqual(proxy.asked, []);
  }
  assert.equal((await chained([passes()]).judge(MAIL, WHO)).fate.kind, "handed-over");
});

test("mail that has lost its recipients is not shown to a filter that passes mail on itself, nor refused", async () => {
  const without = one("without", {
    judge: () => ({
      fate: { kind: "keep" },
      edits: [{ edit: "remove-recipient", recipient: "bob@example.org" }],
    }),
  });
  const proxy = one("proxy", {
    handsOver: true,
    judge: () => ({ fate: { kind: "handed-over", reply: reply(554, "5.5.1", "No valid recipients") } }),
  });
  const { fate, told, removed } = await chained([without, proxy]).judge(MAIL, WHO);
  assert.deepEqual([fate.kind, removed, proxy.asked], ["keep", ["bob@example.org"], []]);
  assert.equal(told.at(-1)?.because, "no recipient is left");
});

test("what was said at RCPT holds at the end of that mail, and not of the next", async () => {
  const chain = chained([one("a", { at: ["rcpt"], ask: () => ({ kind: "quarantine" }) })]);
  chain.begin();
  await chain.ask(AT_RCPT, WHO);
  assert.ok(chain.wants("message"));
  assert.equal((await chain.judge(MAIL, WHO)).fate.kind, "quarantine");
  chain.begin();
  assert.ok(!chain.wants("message"));
});

test("mail beyond max-size is not shown, and the log says so", async () => {
  const filter = one("a", { judge: () => ({ fate: { kind: "discard" } }), settings: { maxSize: 10 } });
  const { fate, told } = await chained([filter]).judge(MAIL, WHO);
  assert.equal(fate.kind, "keep");
  assert.deepEqual(
    told.map(({ verdict }) => verdict),
    ["skipped"],
  );
  assert.deepEqual(filter.asked, []);
});

test("a filter is asked only about whom it is for; a sender that is not known yet is nobody", async () => {
  const { match } = filterSettings.parse({ clamd: "127.0.0.1:3310", match: { mailFrom: "@example.net" } });
  const filter = one("a", { at: ["connect", "mail"], ask: () => ({ kind: "refuse", reply: NO }), settings: { match } });
  const chain = chained([filter]);
  const early = { ...testFacts(), mail: undefined };
  assert.equal((await chain.ask({ stage: "connect", facts: early }, WHO)).kind, "proceed");
  assert.equal((await chain.ask(AT_MAIL, WHO)).kind, "refuse");
  const other = { stage: "mail", facts: testFacts({}, { sender: "x@else.example" }) } as const;
  assert.equal((await chain.ask(other, WHO)).kind, "proceed");
});

test("one that hangs is not waited for again in that mail, and is in the next", async () => {
  const clock = virtualClock(0);
  const filter = one(
    "a",
    { at: ["rcpt"], ask: () => new Promise<never>(() => {}), settings: { timeout: 1000 } },
    clock,
  );
  const chain = chained([filter], clock);
  const first = chain.ask(AT_RCPT, WHO);
  await clock.advance(1000);
  assert.equal((await first).kind, "refuse");
  assert.equal((await chain.ask(AT_RCPT, WHO)).kind, "refuse");
  assert.equal(filter.asked.length, 1);
  chain.begin();
  const again = chain.ask(AT_RCPT, WHO);
  await clock.advance(1000);
  await again;
  assert.equal(filter.asked.length, 2);
});

test("an answer after the deadline changes nothing, and all filters together have their limit", async () => {
  const clock = virtualClock(0);
  const slow = (name: string) =>
    one(
      name,
      { judge: () => new Promise<never>(() => {}), settings: { messageTimeout: 5 * 60_000, onFailure: "accept" } },
      clock,
    );
  const chain = chained([slow("a"), slow("b"), slow("c")], clock);
  const judged = chain.judge(MAIL, WHO);
  await clock.advance(WHOLE_CHAIN_MS);
  const { fate, told } = await judged;
  assert.equal(fate.kind, "keep");
  assert.deepEqual(
    told.map(({ verdict }) => verdict),
    ["failed", "failed", "failed"],
  );
});

test("when the session is over nobody is waited for or asked any more, and no filter is blamed", async () => {
  const clock = virtualClock(0);
  let aborted: AbortSignal | undefined;
  const slow = one(
    "slow",
    {
      at: ["rcpt"],
      ask: () => ({ kind: "proceed" }),
      judge: (_mail, signal) => {
        aborted = signal;
        return new Promise<never>(() => {});
      },
      settings: { onFailure: "accept" },
    },
    clock,
  );
  const next = one("next", { judge: () => ({ fate: { kind: "keep" } }) }, clock);
  const chain = chained([slow, next], clock);
  const judged = chain.judge(MAIL, WHO);
  await clock.advance(10);
  chain.end();
  const { fate, told } = await judged;
  assert.equal(fate.kind, "refuse");
  assert.deepEqual(told, []);
  assert.equal(aborted?.aborted, true);
  assert.deepEqual(next.asked, ["end"]);
  assert.equal(slow.trouble.health(slow.filter.health()).failures, 0);
  assert.equal((await chain.ask(AT_RCPT, WHO)).kind, "refuse");
});

test("a reply that is no refusal becomes one, and says nothing that would break the line", async () => {
  const chain = chained([
    one("a", { at: ["mail"], ask: () => ({ kind: "refuse", reply: { code: 250, lines: ["Ok\r\n250 2.0.0 fine"] } }) }),
  ]);
  const outcome = await chain.ask(AT_MAIL, WHO);
  assert.ok(outcome.kind === "refuse");
  assert.deepEqual(outcome.reply, { code: 550, status: "5.7.1", lines: ["Ok 250 2.0.0 fine"] });
});

test("what a filter puts in the place of an argument is what could stand there, or the filter has failed", async () => {
  const saying = async (question: FilterQuestion, to: string) =>
    (await chained([one("a", { at: [question.stage], ask: () => ({ kind: "rewrite", to }) })]).ask(question, WHO)).kind;
  const helo: FilterQuestion = { stage: "helo", verb: "EHLO", name: "x", facts: testFacts() };
  const split = "a@b.example>\r\nRCPT TO:<x@y.example";
  for (const to of [split, "a b@c.example", "nobody", "a@b.example> SIZE=1"]) {
    assert.equal(await saying(AT_MAIL, to), "refuse", to);
    assert.equal(await saying(AT_RCPT, to), "refuse", to);
  }
  for (const to of ["", "a b", "a\r\nb", "x".repeat(300)]) assert.equal(await saying(helo, to), "refuse", to);
  assert.equal(await saying(AT_RCPT, ""), "refuse");
  for (const to of ["", "a@b.example", '"a b"@c.example', "ä@b.example"])
    assert.equal(await saying(AT_MAIL, to), "proceed");
  assert.equal(await saying(AT_RCPT, "postmaster"), "proceed");
  assert.equal(await saying(helo, "[192.0.2.1]"), "proceed");
});

test("a filter that cannot even begin fails at each question, and takes nobody with it", async () => {
  const broken = one("broken", { at: ["mail"], ask: () => ({ kind: "proceed" }), settings: { onFailure: "accept" } });
  const opening = { ...broken, filter: { ...broken.filter, open: () => assert.fail("it broke") } };
  const good = one("good", { at: ["mail"], ask: () => ({ kind: "proceed", because: "fine" }) });
  const { kind, told } = await chained([opening, good]).ask(AT_MAIL, WHO);
  assert.equal(kind, "proceed");
  assert.deepEqual(
    told.map(({ filter, verdict }) => [filter, verdict]),
    [
      ["broken", "failed"],
      ["good", "proceed"],
    ],
  );
});
