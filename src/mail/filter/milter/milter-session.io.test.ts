import assert from "node:assert/strict";
import { test } from "node:test";
import { MILTER_STEPS } from "../../../protocol/milter/negotiation.ts";
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
  upToContent,
} from "../../../testing/milter-dialogue.ts";
import { says, startScriptedMilter } from "../../../testing/scripted-milter.ts";

test("a connection is kept over the mails of a session, and reset with it", async () => {
  await using milter = await startScriptedMilter();
  const dialogue = dialogueWith(milter);
  await upToContent(dialogue);
  await dialogue.judge(testMail(TEXT), NEVER);
  dialogue.note?.({ notice: "commit", message: "3f8Q0000000000001", sizeBytes: 1 });
  await ask(dialogue, { stage: "mail" });
  dialogue.note?.({ notice: "reset" });
  await ask(dialogue, { stage: "mail" });
  assert.deepEqual(milter.commands().slice(-4), ["E ", "M <alice@example.net>|", "A ", "M <alice@example.net>|"]);
  assert.equal(milter.connections, 1);
});

test("a verdict before MAIL is about the session", async () => {
  await using accepting = await startScriptedMilter({ on: at("C", says.accept) });
  const first = dialogueWith(accepting);
  assert.deepEqual(await ask(first, { stage: "connect" }), { kind: "content" });
  assert.deepEqual(await ask(first, { stage: "mail" }), { kind: "content" });
  await accepting.sees("Q");

  await using refusing = await startScriptedMilter({ on: at("H", says.reply("550 5.7.1 go away")) });
  const second = dialogueWith(refusing);
  const verdict = { kind: "refuse", reply: { code: 550, status: "5.7.1", lines: ["go away"] } };
  assert.deepEqual(await ask(second, { stage: "connect" }), { kind: "proceed" });
  assert.deepEqual(await ask(second, { stage: "helo", verb: "EHLO", name: "x" }), verdict);
  // Another greeting does not make it another client.
  assert.deepEqual(await ask(second, { stage: "helo", verb: "EHLO", name: "y" }), verdict);
  assert.deepEqual(await ask(second, { stage: "mail" }), verdict);

  await using closing = await startScriptedMilter({ on: at("C", says.reply("421 4.7.0 busy")) });
  assert.deepEqual(await ask(dialogueWith(closing), { stage: "connect" }), {
    kind: "disconnect",
    reply: { code: 421, status: "4.7.0", lines: ["busy"] },
  });
});

test("a refused recipient is only that, a mail refused at DATA stays refused", async () => {
  await using milter = await startScriptedMilter({
    on: ({ code, text }) =>
      code === "T" ? [says.tempfail] : code === "R" && text.includes("eve") ? [says.reject] : undefined,
  });
  const dialogue = dialogueWith(milter);
  await ask(dialogue, { stage: "mail" });
  const eve = await ask(dialogue, { stage: "rcpt", recipient: { address: "eve@example.org", parameters: [] } });
  assert.equal(eve.kind, "refuse");
  assert.deepEqual(await ask(dialogue, { stage: "rcpt", recipient: BOB }), { kind: "proceed" });
  const refused = await ask(dialogue, { stage: "data" }, {}, { recipients: [BOB] });
  assert.equal(refused.kind, "refuse");
  assert.deepEqual(await ask(dialogue, { stage: "data" }, {}, { recipients: [BOB] }), refused);
  assert.equal((await dialogue.judge(testMail(TEXT), NEVER)).fate.kind, "refuse");
});

test("discarding and accepting a mail end the questions about it", async () => {
  await using milter = await startScriptedMilter({ on: at("R", says.discard) });
  const dialogue = dialogueWith(milter);
  await ask(dialogue, { stage: "mail" });
  assert.deepEqual(await ask(dialogue, { stage: "rcpt", recipient: BOB }), { kind: "discard" });
  assert.deepEqual(await ask(dialogue, { stage: "data" }, {}, { recipients: [BOB] }), { kind: "proceed" });
  assert.equal(milter.commands().at(-1), "R <bob@example.org>|");

  await using content = await startScriptedMilter({ on: at("M", says.accept) });
  assert.deepEqual(await ask(dialogueWith(content), { stage: "mail" }), { kind: "content" });
});

test("recipients that others refused are told to a milter that wants them", async () => {
  await using milter = await startScriptedMilter({ steps: MILTER_STEPS.refusedRecipients });
  const dialogue = dialogueWith(milter);
  await ask(dialogue, { stage: "mail" });
  const facts = testFacts({}, { recipients: [] });
  dialogue.note?.({ notice: "rcpt", outcome: "permfail", recipient: "nobody@example.org", facts });
  await ask(dialogue, { stage: "rcpt", recipient: BOB });
  dialogue.note?.({ notice: "rcpt", outcome: "permfail", recipient: "bob@example.org", facts });
  await ask(dialogue, { stage: "data" }, {}, { recipients: [BOB] });
  assert.deepEqual(milter.commands().slice(-3), ["R <nobody@example.org>|", "R <bob@example.org>|", "T "]);
  const macros = milter.heard.find((line) => line.startsWith("D R") && line.includes("error"));
  assert.match(
    macros ?? "",
    /\{rcpt_addr\}\|550 5\.0\.0 Recipient refused\|\{rcpt_host\}\|5\.0\.0\|\{rcpt_mailer\}\|error\|/,
  );
});

test("commands that nobody knows are told", async () => {
  await using milter = await startScriptedMilter();
  const dialogue = dialogueWith(milter);
  await ask(dialogue, { stage: "connect" });
  for (const [notice, line] of [
    ["client-line", "NOOP"],
    ["server-line", "250 2.0.0 Ok"],
    ["client-line", "HULLO there"],
    ["server-line", "500 5.5.1 Command not recognised"],
  ] as const)
    dialogue.note?.({ notice, line });
  await ask(dialogue, { stage: "mail" });
  assert.deepEqual(milter.commands().slice(1), ["U HULLO there|", "H client.example.net|", "M <alice@example.net>|"]);
});

test("a milter that was not asked before is told everything first", async () => {
  await using milter = await startScriptedMilter();
  const recipients = [BOB, { address: "eve@example.org", parameters: [] }];
  const { fate, edits } = await dialogueWith(milter).judge(testMail(TEXT, { mail: { recipients } }), NEVER);
  assert.deepEqual({ fate, edits }, { fate: { kind: "keep" }, edits: [] });
  assert.equal(codesOf(milter), "CHMRRTLLLNBE");
});

test("a recipient that had its 250 when a milter refuses it is refused with the whole mail, however the milter ends it", async () => {
  const eve = { address: "eve@example.org", parameters: [] };
  const dan = { address: "dan@example.org", parameters: [] };
  const later = { code: 451, status: "4.7.1", lines: ["Service unavailable - try again later"] };
  const about = (address: string, { lines, ...rest }: typeof later) => ({
    ...rest,
    lines: lines.map((line) => `<${address}>: ${line}`),
  });
  const never = about("eve@example.org", { code: 550, status: "5.7.1", lines: ["Command rejected"] });
  for (const end of [says.accept, says.discard, undefined])
    for (const code of ["T", "R"]) {
      await using milter = await startScriptedMilter({
        on: (command) => {
          if (command.code === "R" && command.text.includes("eve")) return [says.reject];
          if (command.code === "R" && command.text.includes("dan")) return [says.tempfail];
          return command.code === code && end !== undefined ? [end] : undefined;
        },
      });
      const judged = async (...recipients: (typeof BOB)[]) =>
        (await dialogueWith(milter).judge(testMail(TEXT, { mail: { recipients } }), NEVER)).fate;
      assert.deepEqual(await judged(eve), { kind: "refuse", reply: never }, `alone, ${code}`);
      assert.deepEqual(await judged(eve, BOB), { kind: "refuse", reply: never }, `beside another, ${code}`);
      // Who comes again finds the others accepted, perhaps.
      const reply = about("dan@example.org", later);
      assert.deepEqual(await judged(eve, dan, BOB), { kind: "refuse", reply }, `for now, ${code}`);

      // Told at RCPT: what it says of the next one is for that, and DATA is for all.
      const dialogue = dialogueWith(milter);
      const said = await ask(dialogue, { stage: "rcpt", recipient: BOB }, {}, { recipients: [eve] });
      assert.equal(said.kind, "proceed");
      const data = await ask(dialogue, { stage: "data" }, {}, { recipients: [eve, BOB] });
      assert.equal(data.kind === "refuse" && data.reply.lines[0], "<eve@example.org>: Command rejected");
    }
});

test("a milter that was started again and has a recipient wait has the mail wait", async () => {
  let isBack = false;
  await using milter = await startScriptedMilter({
    on: ({ code }) => (code === "R" && isBack ? [says.tempfail] : code === "T" ? [says.accept] : undefined),
  });
  const dialogue = dialogueWith(milter);
  await ask(dialogue, { stage: "mail" });
  assert.deepEqual(await ask(dialogue, { stage: "rcpt", recipient: BOB }), { kind: "proceed" });
  isBack = true;
  await dropAll(milter);
  const data = await ask(dialogue, { stage: "data" }, {}, { recipients: [BOB] });
  assert.deepEqual(data.kind === "refuse" && data.reply, {
    code: 451,
    status: "4.7.1",
    lines: ["<bob@example.org>: Service unavailable - try again later"],
  });
  assert.equal((await dialogue.judge(testMail(TEXT), NEVER)).fate.kind, "refuse");
});

test("after STARTTLS the milter hears the new greeting and the cipher", async () => {
  await using milter = await startScriptedMilter();
  const dialogue = dialogueWith(milter);
  await ask(dialogue, { stage: "helo", verb: "EHLO", name: "client.example.net" }, { helo: undefined });
  const tls = { version: "TLSv1.3", cipher: "X" };
  await ask(dialogue, { stage: "helo", verb: "EHLO", name: "client.example.net" }, { helo: undefined, tls });
  await ask(dialogue, { stage: "mail" }, { tls });
  assert.equal(codesOf(milter), "CHHM");
});
