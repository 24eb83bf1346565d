import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import fc from "fast-check";
import { MILTER_STEPS } from "../../../protocol/milter/negotiation.ts";
import { milterNumber, milterPacket } from "../../../protocol/milter/packet.ts";
import { testFacts, testMail } from "../../../testing/filter-mail.ts";
import {
  BOB,
  NEVER,
  TEXT,
  ask,
  at,
  codesOf,
  dialogueWith,
  dropAll,
  untilClosed,
  upToContent,
} from "../../../testing/milter-dialogue.ts";
import { virtualClock } from "../../../simulator/clock.ts";
import { says, startScriptedMilter } from "../../../testing/scripted-milter.ts";
import { applyEdits } from "../header-edits.ts";

const HUNG = /said nothing for/;
const GONE = /closed the connection|broke the connection/;

interface Fails {
  readonly what: string;
  readonly options: Parameters<typeof startScriptedMilter>[0] & {};
  readonly says: RegExp;
  /** Nothing comes behind this command: time has to pass. */
  readonly hangsAt?: string;
}

const FAILS: readonly Fails[] = [
  { what: "closes at once", options: { negotiation: "close" }, says: GONE },
  { what: "never agrees", options: { negotiation: "silence" }, says: HUNG, hangsAt: "O" },
  {
    what: "answers the offer with a decision",
    options: { negotiation: [says.accept] },
    says: /answered our offer with "accept"/,
  },
  { what: "offers more than we have", options: { version: 7 }, says: /it speaks version 7, and we offered 6/ },
  {
    what: "speaks another language",
    options: { negotiation: [Buffer.from("220 mx ESMTP\r\n")] },
    says: /sent a packet of \d+ bytes/,
  },
  { what: "hangs at MAIL", options: { on: at("M", "silence") }, says: HUNG, hangsAt: "M" },
  { what: "dies at RCPT", options: { on: at("R", "close") }, says: GONE },
  {
    what: "answers nonsense at DATA",
    options: { on: at("T", milterPacket("Z", "what")) },
    says: /sent "Z", which no milter says/,
  },
  {
    what: "gives a reply that is none",
    options: { on: at("T", says.reply("250 ok")) },
    says: /sent a reply that is no 4xx or 5xx/,
  },
  {
    what: "wants a change too early",
    options: { on: at("R", says.addHeader("X", "y")) },
    says: /wants a change \(add-header\) before/,
  },
  {
    what: "discards before there is a mail",
    options: { on: at("C", says.discard) },
    says: /wants to discard a mail before there is one/,
  },
  {
    what: "speaks unasked",
    options: { on: at("M", Buffer.concat([says.continue, says.continue])) },
    says: /spoke without being asked/,
  },
  { what: "hangs in the header", options: { on: at("L", "silence") }, says: HUNG, hangsAt: "L" },
  { what: "closes in the body", options: { on: at("B", "close") }, says: GONE },
  { what: "hangs at the end", options: { on: at("E", says.addHeader("X", "y")) }, says: HUNG, hangsAt: "E" },
  {
    what: "adds fields without end",
    options: { on: at("E", ...Array.from({ length: 400 }, () => says.addHeader("X", "y".repeat(60_000)))) },
    says: /wants changes of one mail that are larger than any header/,
  },
  {
    what: "negotiates in the middle",
    options: { on: at("E", milterPacket("O", milterNumber(6))) },
    says: /began to negotiate anew/,
  },
  {
    what: "stops in the middle of a change",
    options: { on: at("E", says.replaceBody("x").subarray(0, 5)) },
    says: HUNG,
    hangsAt: "E",
  },
];
for (const { what, options, says: reason, hangsAt } of FAILS)
  test(`a milter that ${what} fails, and is never spoken with again on that connection`, async () => {
    let isFirst = true;
    await using milter = await startScriptedMilter({
      ...options,
      on: (command) => (isFirst ? options.on?.(command) : undefined),
    });
    const clock = virtualClock(0);
    const dialogue = dialogueWith(milter, {}, { clock });
    const whole = (async (): Promise<unknown> => {
      await upToContent(dialogue);
      return dialogue.judge(testMail(TEXT), NEVER);
    })();
    const passing = hangsAt === undefined ? undefined : milter.sees(hangsAt).then(() => clock.advance(10 * 60_000));
    await assert.rejects(whole, (thrown: Error & { code?: string }) => {
      assert.equal(thrown.code, "FILTER_FAILED");
      assert.match(thrown.message, /^the milter m at inet:127\.0\.0\.1:\d+ /);
      assert.match(thrown.message, reason);
      return true;
    });
    await passing;
    // Of that mail nothing more is said; the next one begins anew.
    await assert.rejects(ask(dialogue, { stage: "rcpt", recipient: BOB }), { code: "FILTER_FAILED" });
    await assert.rejects(dialogue.judge(testMail(TEXT), NEVER), { code: "FILTER_FAILED" });
    assert.equal(milter.connections, 1);
    if (options.negotiation !== undefined || options.version !== undefined) return;
    isFirst = false;
    assert.deepEqual(await ask(dialogue, { stage: "mail" }), { kind: "proceed" });
    assert.equal(milter.connections, 2);
    assert.deepEqual(milter.commands().slice(-3), [
      "C client.example.net|4\x9c@192.0.2.99|",
      "H client.example.net|",
      "M <alice@example.net>|",
    ]);
    dialogue.end();
  });

test("a milter that nobody listens for fails", async () => {
  const milter = await startScriptedMilter();
  await milter[Symbol.asyncDispose]();
  await assert.rejects(ask(dialogueWith(milter), { stage: "connect" }), {
    code: "FILTER_FAILED",
    message: /^the milter m at inet:127\.0\.0\.1:\d+ can't be reached \(.*ECONNREFUSED/,
  });
});

test("a milter that works on it is waited for anew, and no longer than that", async () => {
  await using milter = await startScriptedMilter({ on: at("E", "silence") });
  const clock = virtualClock(0);
  const heard: string[] = [];
  const trace = { isOn: true, show: (line: string) => void heard.push(line) };
  const dialogue = dialogueWith(milter, { contentTimeout: "1m" }, { clock, trace });
  const until = async (line: string, count: number): Promise<void> => {
    for (let look = 0; heard.filter((one) => one === line).length < count; look++) {
      assert.ok(look < 6000, `${line} in ${heard.join()}`);
      await wait(10);
    }
  };
  await upToContent(dialogue);
  const verdict = dialogue.judge(testMail(TEXT), NEVER);
  await milter.sees("E");
  for (let turn = 1; turn <= 3; turn++) {
    await clock.advance(50_000);
    milter.push(says.progress);
    await until("m < progress", turn);
  }
  await clock.advance(50_000);
  milter.push(Buffer.concat([says.addHeader("X", "y"), says.continue]));
  assert.equal((await verdict).edits?.length, 1);

  await ask(dialogue, { stage: "mail" });
  const second = dialogue.judge(testMail(TEXT), NEVER);
  await milter.sees("E", 2);
  milter.push(says.progress);
  await until("m < progress", 4);
  void clock.advance(60_000);
  await assert.rejects(second, /said nothing for 1m/);
});

test("a milter that stops reading in the middle of a body fails", async () => {
  const { noReplyBody } = MILTER_STEPS;
  await using milter = await startScriptedMilter({
    steps: noReplyBody,
    on: ({ code }) => (code === "B" ? "deafness" : undefined),
  });
  const clock = virtualClock(0);
  const dialogue = dialogueWith(milter, { contentTimeout: "1m" }, { clock });
  await upToContent(dialogue);
  const body = `${"0123456789".repeat(7)}\n`.repeat(300_000);
  const verdict = dialogue.judge(testMail(`A: b\n\n${body}`), NEVER);
  const failed = assert.rejects(verdict, /took nothing for 1m/).then(() => "failed");
  await milter.sees("B");
  while ((await Promise.race([failed, wait(5, "waiting")])) === "waiting") await clock.advance(1000);
});

test("no bytes that a milter sends make anything but a verdict or a failure", async () => {
  const kinds = "ONcartdsp4fyhimb+-2eqlZ".split("");
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          fc
            .tuple(fc.constantFrom(...kinds), fc.uint8Array({ maxLength: 30 }))
            .map(([code, data]) => milterPacket(code, data)),
          fc.constantFrom(says.continue, says.accept, says.progress, says.addHeader("X", "y"), says.replaceBody("z")),
          fc.uint8Array({ minLength: 1, maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
        ),
        { maxLength: 4 },
      ),
      fc.constantFrom("C", "H", "M", "R", "T", "L", "N", "B", "E"),
      async (packets, code) => {
        await using milter = await startScriptedMilter({ on: at(code, Buffer.concat(packets)) });
        const dialogue = dialogueWith(milter, { commandTimeout: "20ms", contentTimeout: "20ms" });
        try {
          await upToContent(dialogue);
          const verdict = await dialogue.judge(testMail(TEXT), NEVER);
          applyEdits(Buffer.from("A: b\r\n"), verdict.edits ?? []);
        } catch (thrown) {
          assert.equal((thrown as { code?: string }).code, "FILTER_FAILED", String(thrown));
        }
        dialogue.end();
      },
    ),
    { numRuns: 40 },
  );
});

test("the filter's own deadline ends the connection at once", async () => {
  await using milter = await startScriptedMilter({ on: at("M", "silence") });
  const dialogue = dialogueWith(milter);
  const controller = new AbortController();
  const { mail: _, ...before } = testFacts();
  await dialogue.ask({ stage: "connect", facts: before }, NEVER);
  const asked = dialogue.ask({ stage: "mail", facts: testFacts({}, { recipients: [] }) }, controller.signal);
  await milter.sees("M");
  controller.abort(new Error("over"));
  await assert.rejects(asked, /took too long/);
  await untilClosed(milter);
});

test("a session that ends in the middle of an answer leaves no connection behind", async () => {
  await using milter = await startScriptedMilter({ on: at("M", "silence") });
  const dialogue = dialogueWith(milter);
  const asked = ask(dialogue, { stage: "mail" });
  await milter.sees("M");
  dialogue.end();
  await assert.rejects(asked, { code: "FILTER_FAILED" });
  await untilClosed(milter);
});

test("a milter that was started again between two questions is told everything anew", async () => {
  await using milter = await startScriptedMilter({
    on: ({ code, connection }) => (code === "R" && connection === 1 ? [says.continue] : undefined),
  });
  const dialogue = dialogueWith(milter);
  await ask(dialogue, { stage: "mail" });
  await ask(dialogue, { stage: "rcpt", recipient: BOB });
  await dropAll(milter);
  assert.deepEqual(await ask(dialogue, { stage: "data" }, {}, { recipients: [BOB] }), { kind: "proceed" });
  assert.equal(milter.connections, 2);
  assert.equal(codesOf(milter), "CHMRCHMRT");
});
